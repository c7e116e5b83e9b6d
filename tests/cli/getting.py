"""What tests of `pad19 get` share, some of it with those of other clients."""

import sys
from pathlib import Path

from click.testing import CliRunner, Result

from pad19.cli.get import get
from pad19.tls.stream import TLSStream
from support.fake_server import Script

PAGE = b"20 text/gemini\r\n# Hello\n\x1b[2J"  # not text for a terminal, but that is nobody's business here
COMMAND = [sys.executable, "-c", "from pad19.cli import main; main()", "get"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(get, arguments, catch_exceptions=False)


def remembered() -> list[str]:
    file = Path("pad19/known_hosts")
    return file.read_text().splitlines()[1:] if file.exists() else []


def said(result: Result) -> list[str]:
    """What was said, without the line of a first visit."""
    return [line for line in result.stderr.splitlines() if not line.startswith("First visit")]


def by_path(**headers: str) -> Script:
    """Headers by the last segment of the path."""

    async def script(stream: TLSStream, request: str) -> None:
        path = request.partition("?")[0].rpartition("/")[2]
        await stream.finish(f"{headers[path]}\r\n".encode())

    return script
