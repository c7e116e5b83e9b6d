"""SCGI: a server behind a socket answers for the paths below a prefix.

The request is a netstring of NUL-separated names and values (python.ca/scgi/protocol.txt); the answer
is a whole Gemini response, which ends when the connection does.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import trio

from pad19.protocol.request import Request
from pad19.protocol.response import Response

from .environment import Gateway, Mount, join, variables
from .output import GatewayFailure, TookTooLong, respond

CHUNK = 64 * 1024  # bytes

Backend = Path | tuple[str, int]


class SCGI:
    """A handler: ``backend`` (a UNIX socket, or host and port) answers for what is below ``prefix``.

    ``timeout``: seconds until the header must be there, and then for each wait for more.
    """

    def __init__(self, prefix: str, backend: Backend, gateway: Gateway, *, timeout: float) -> None:
        self._mount = Mount(prefix)
        self._backend = backend
        self._gateway = gateway
        self._timeout = timeout

    async def __call__(self, request: Request) -> Response:
        """Ask the backend and answer as it does.

        Raises:
            NotFound: The path is not below the prefix.
            CGIError: The backend failed before the whole header was there.
        """
        found = variables(
            request,
            self._gateway,
            datetime.now(UTC),
            script_name=join(self._mount.names),
            path_info=join(self._mount.below(request)),
        )
        connection = _Connection(self._backend, encode(found), self._timeout)
        response = await respond(connection)
        connection.has_answered = True
        return response


def encode(variables: Mapping[str, str]) -> bytes:
    """A request without a body: its length comes first, as the text demands. Nothing holds a NUL."""
    pairs = {"CONTENT_LENGTH": "0", "SCGI": "1", **variables}
    block = b"".join(f"{name}\0{value}\0".encode("utf-8", "surrogateescape") for name, value in pairs.items())
    return b"%d:%b," % (len(block), block)


class _Connection:
    """One request to the backend: a source of output (see `output`), connected by its first reader."""

    def __init__(self, backend: Backend, message: bytes, timeout: float) -> None:
        self.name = f"unix:{backend}" if isinstance(backend, Path) else f"{backend[0]}:{backend[1]}"
        self.has_answered = False
        self._backend = backend
        self._message = message
        self._timeout = timeout
        self._first_deadline = trio.current_time() + timeout
        self._stream: trio.SocketStream | None = None

    async def read(self) -> bytes:
        """The next bytes; ``b""`` when the backend has closed.

        Raises:
            TookTooLong: It neither writes nor closes.
            GatewayFailure: It cannot be reached, or the connection broke.
        """
        deadline = trio.current_time() + self._timeout if self.has_answered else self._first_deadline
        try:
            with trio.fail_at(deadline):
                if self._stream is None:
                    self._stream = await _connect(self._backend)
                    await self._stream.send_all(self._message)
                return await self._stream.receive_some(CHUNK)
        except trio.TooSlowError:
            raise TookTooLong(f"it did not answer within {self._timeout:g} seconds") from None
        except trio.BrokenResourceError as error:
            raise GatewayFailure("it broke the connection") from error
        except OSError as error:
            raise GatewayFailure(f"it cannot be reached: {error.strerror or error}") from error

    async def aclose(self) -> None:
        """Close the connection: that is how the backend learns that nobody wants the rest."""
        if self._stream is not None:
            await self._stream.aclose()


async def _connect(backend: Backend) -> trio.SocketStream:
    if isinstance(backend, Path):
        return await trio.open_unix_socket(backend)
    return await trio.open_tcp_stream(*backend)
