"""What tests of `pad19 put` and `pad19 edit` share."""

import click
from click.testing import CliRunner, Result

from pad19.tls.stream import TLSStream

SAVED = b"30 gemini://localhost/n.gmi\r\n"


def run(command: click.Command, *arguments: str, data: bytes | None = None) -> Result:
    return CliRunner().invoke(command, arguments, input=data, catch_exceptions=False)


class Taking:
    """A script that takes what the line announces, and then says something by the kind of request."""

    def __init__(self, saved: bytes = SAVED, page: bytes = b"20 text/gemini\r\n# Old\n") -> None:
        self.saved = saved
        self.page = page
        self.bodies: list[bytes] = []

    async def __call__(self, stream: TLSStream, request: str) -> None:
        if request.partition("?")[0].endswith(";edit"):
            await stream.finish(self.page)
            return
        size = int(request.partition(";size=")[2].partition(";")[0].partition("?")[0])
        body = b""
        while len(body) < size:
            data = await stream.receive_some()
            if not data:
                break
            body += data
        self.bodies.append(body)
        await stream.finish(self.saved)
