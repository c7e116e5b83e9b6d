"""An answer as a client has it when it has read a response to its end."""

from dataclasses import dataclass
from email.message import Message

from pad19.protocol.response import Response, header
from pad19.protocol.response_reader import parse_header
from pad19.protocol.status import Status
from pad19.routes.results import close


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client receives."""

    status: int
    meta: str  # a type, a prompt, a target or an errormsg, as it stands in the header
    body: bytes = b""  # streams are collected

    @property
    def text(self) -> str:
        """The body as text, in the charset that the type names, or UTF-8.

        Raises:
            UnicodeDecodeError: It is in another one.
        """
        message = Message()
        message["content-type"] = self.meta if self.status == Status.SUCCESS else "text/plain"
        return self.body.decode(message.get_content_charset("utf-8"))


async def received(response: Response) -> Answer:
    """Read a response as a client does."""
    head = parse_header(header(response.status, response.meta).removesuffix(b"\r\n"))
    body = response.body
    if not isinstance(body, bytes):
        try:
            body = b"".join([bytes(chunk) async for chunk in body])
        finally:
            await close(response.body)
    return Answer(head.status, head.meta, body)
