"""Accepting connections, as long as there are file descriptors and memory for them."""

import contextlib
import errno
import logging
import socket

import trio

from pad19.tls.socket_stream import SocketStream

from .connection import Connections
from .limits.admission import Admission

LOGGER = logging.getLogger("pad19.dispatch")

# Not trio.serve_listeners(): it runs several checkpoints for each connection, about 10 us each, and
# wraps the socket twice. This many are taken in one go, so that those already taken get their turn.
AT_ONCE = 16
REST = 1024  # connections that are taken at the end; under a flood there is always another one
LOOK_EVERY = 0.01  # seconds, at a socket that does not listen yet
PAUSE = 0.1  # seconds until the next try when the system has nothing left to give
COMPLAIN_EVERY = 60.0  # seconds between two complaints about it
_MEMORY = "free memory, or lower limits.connections"
_EXHAUSTED = {  # and the mend
    errno.EMFILE: "raise LimitNOFILE= or ulimit -n",
    errno.ENFILE: "raise fs.file-max, or end what has so many files open",
    errno.ENOMEM: _MEMORY,
    errno.ENOBUFS: _MEMORY,
}
# The client's network or patience failed before it was taken: accept(2), "Error handling".
_LOST = {
    errno.ECONNABORTED, errno.ECONNRESET, errno.EINTR, errno.EPERM, errno.EPROTO, errno.ENETDOWN,
    errno.ENOPROTOOPT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EOPNOTSUPP, errno.ENETUNREACH,
    errno.ETIMEDOUT, getattr(errno, "ENONET", errno.EPROTO),  # Linux alone has that
}  # fmt: skip


class Listener:
    """Hands the connections of one listening, non-blocking socket on.

    ``port``: the port that URIs must name; None: any. ``stall``: seconds, see `SocketStream`.
    """

    def __init__(
        self,
        sock: socket.socket,
        connections: Connections,
        admission: Admission,
        *,
        port: int | None,
        stall: float,
    ) -> None:
        self._socket = sock
        self._is_dual = sock.family == socket.AF_INET6 and not sock.getsockopt(
            socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
        )
        self._connections = connections
        self._admission = admission
        self._port = port
        self._stall = stall
        self._complained = -COMPLAIN_EVERY

    async def run(self, nursery: trio.Nursery) -> None:
        """Accept until cancelled; connections run in ``nursery``, which outlives this."""
        taken = 0
        while True:
            try:
                sock, address = self._socket.accept()
            except BlockingIOError:
                taken = 0
                await trio.lowlevel.wait_readable(self._socket)
            except OSError as error:
                if error.errno == errno.EINVAL:  # the supervisor has it listen when all workers are ready
                    await trio.sleep(LOOK_EVERY)  # it may do so now, too: asking the socket would be too late
                elif mend := _EXHAUSTED.get(error.errno or 0):
                    self._complain(error, mend)
                    await trio.sleep(PAUSE)
                elif error.errno not in _LOST:
                    raise
            else:
                self._take(sock, address, nursery)
            taken += 1  # those that are lost as well: there may be any number of them
            if taken >= AT_ONCE:
                taken = 0
                await trio.lowlevel.checkpoint()

    def take_rest(self, nursery: trio.Nursery) -> None:
        """Take what the kernel has taken already, which closing the socket right afterwards would reset."""
        with contextlib.suppress(OSError):  # BlockingIOError above all
            for _ in range(REST):
                self._take(*self._socket.accept(), nursery)

    def _take(self, sock: socket.socket, address: tuple[str, int] | str, nursery: trio.Nursery) -> None:
        host, port = address[:2] if isinstance(address, tuple) else ("", 0)
        if self._is_dual and "." in host:  # as systemd makes them: they say ::ffff:192.0.2.1
            host = host.removeprefix("::ffff:")
        sock.setblocking(False)
        self._serve(sock, host, port, nursery)

    def _serve(self, sock: socket.socket, host: str, port: int, nursery: trio.Nursery) -> None:
        transport = SocketStream(sock, self._stall)
        nursery.start_soon(self._connections.serve, transport, host, port, self._port, name="connection")

    def _complain(self, error: OSError, mend: str) -> None:
        now = trio.current_time()
        if now - self._complained >= COMPLAIN_EVERY:
            self._complained = now
            LOGGER.error("new connections wait: %s (%s)", error.strerror, mend)
