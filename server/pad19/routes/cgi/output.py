"""What programs behind a gateway (CGI, SCGI) write, as a response.

There is no specification. A program writes a whole Gemini response; as in the peers its header may
end in LF alone and have blanks around its text, since that is what ``echo`` and ``print`` give.
Everything else that is not a header is the program's failure (42).
"""

import logging
from typing import Protocol, Self

import trio

from pad19.protocol.failure import CGIError
from pad19.protocol.response import BrokenBody, Reply, header
from pad19.protocol.response_reader import MAX_HEADER, BadHeader, parse_header
from pad19.protocol.status import Status

LOGGER = logging.getLogger("pad19.cgi")


class GatewayFailure(Exception):
    """The program failed. The message is for the log and continues "<name>: "."""

    errormsg = "the program behind this page failed"  # all that the client learns


class TookTooLong(GatewayFailure):
    """The program did not end, or not answer, in time."""

    errormsg = "the program behind this page took too long"


class Source(Protocol):
    """Where output comes from."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    async def read(self) -> bytes:
        """The next bytes; ``b""`` is the end of an output that went well.

        Raises:
            GatewayFailure: There is no more, and it did not go well.
        """

    async def aclose(self) -> None:
        """Nobody reads it any more. Works when cancelled."""


class OutputBody:
    """A response's body as it is written: a chunk is fetched when the one before it was sent."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._begun = b""  # of the body, as it came with the header

    async def head(self) -> tuple[Status, str]:
        """The status and what stands behind it.

        Raises:
            GatewayFailure: The program failed, or what it writes is no header.
        """
        received = b""
        # The longest one ends in CRLF; the blanks of those who add some come out of its text.
        while b"\n" not in received and len(received) < MAX_HEADER:
            data = await self._source.read()
            if not data:
                raise GatewayFailure("it ended within the header" if received else "it wrote nothing")
            received += data
        line, end, self._begun = received.partition(b"\n")
        if not end or len(line) >= MAX_HEADER:
            raise GatewayFailure(f"its header is longer than {MAX_HEADER} bytes")
        return _parse(line)

    async def drain(self) -> None:
        """Let it write to its end, for nobody.

        Raises:
            GatewayFailure: That end is a failure.
        """
        while await self._source.read():
            pass

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next chunk.

        Raises:
            BrokenBody: The program failed.
        """
        if self._begun:
            data, self._begun = self._begun, b""
            return data
        try:
            data = await self._source.read()
        except GatewayFailure as failure:
            raise BrokenBody(f"{self._source.name}: {failure}") from failure
        if not data:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        """Nobody wants the rest."""
        await self._source.aclose()


def _parse(line: bytes) -> tuple[Status, str]:
    try:
        head = parse_header(line.strip())
        status, meta = Status(head.status), head.meta.strip()
        header(status, meta)
    except BadHeader as error:
        raise GatewayFailure(str(error)) from None
    except ValueError as error:  # a status that was never defined, a type or target that cannot be sent
        raise GatewayFailure(f"its header cannot be sent: {error}") from None
    return status, meta


async def respond(source: Source) -> Reply:
    """The response that a program writes; the source is the body's, or closed.

    Only 20 has a body and is sent as it comes. The others are sent when the program has ended well:
    who follows a redirect is to find what was done before it ended, and then it still can fail.

    Raises:
        CGIError: It failed, which is logged.
    """
    body = OutputBody(source)
    try:
        status, meta = await body.head()
        if status is Status.SUCCESS:
            return Reply(status, meta, body)
        await body.drain()
    except GatewayFailure as failure:
        await _close(source)
        LOGGER.error("%s: %s", source.name, failure)  # noqa: TRY400 - a trace of our calls would not add to it
        raise CGIError(failure.errormsg) from failure
    except BaseException:
        await _close(source)
        raise
    await _close(source)
    return Reply(status, meta)


async def _close(source: Source) -> None:
    with trio.CancelScope(shield=True):
        await source.aclose()
