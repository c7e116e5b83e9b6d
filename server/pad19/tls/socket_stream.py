"""A socket as a trio stream that asks the kernel first and waits only when it must.

`trio.SocketStream` runs a checkpoint in every call, about 10 us each; a request makes several calls
and has its data waiting in most of them. This stream skips those checkpoints, so it suits code that
owns its loop (the TLS engine), and whoever loops over it for long yields by himself.
"""

import contextlib
import fcntl
import math
import socket
import termios

import trio

from .errors import CutOff

RECEIVE_SIZE = 16384 + 512  # bytes; one full TLS record with its overhead
DRAIN_BYTES = 2 * 1024 * 1024  # unread input that is thrown away so that the answer arrives
DRAIN_SECONDS = 3.0
_NONE = bytes(4)  # the answer to FIONREAD, an int, when nothing is there
_MSG_MORE = getattr(socket, "MSG_MORE", 0)  # Linux
_TCP_QUICKACK = getattr(socket, "TCP_QUICKACK", None)  # Linux


class SocketStream(trio.abc.HalfCloseableStream):
    """Owns a non-blocking, connected stream socket.

    ``stall``: seconds without progress after which a send gives up with BrokenResourceError. That is a
    `CutOff` if the kernel has taken a part.
    """

    __slots__ = ("_emptied", "_fd", "_socket", "_stall", "_waiting")

    def __init__(self, sock: socket.socket, stall: float = math.inf) -> None:
        self._socket = sock
        self._fd = sock.fileno()
        self._stall = stall
        self._emptied = False
        self._waiting = 0  # tasks that a close must wake

    @property
    def descriptor(self) -> int:
        """Of the socket, as long as that is open."""
        return self._fd

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Bytes as they come; ``b""`` at the end. No checkpoint if something should be there already."""
        size = max_bytes or RECEIVE_SIZE
        data = None if self._emptied else self._receive(size)
        while data is None:
            self._waiting += 1
            try:
                await trio.lowlevel.wait_readable(self._fd)
            finally:
                self._waiting -= 1
            data = self._receive(size)
        # Less than there was room for: the next call need not try before it waits.
        self._emptied = len(data) < size
        return data

    def _receive(self, size: int) -> bytes | None:
        try:
            return self._socket.recv(size)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._translated(error) from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """No checkpoint if the kernel takes it all at once."""
        await self._send(data, 0)

    async def _send(self, data: bytes | bytearray | memoryview, flags: int) -> None:
        try:
            sent = self._socket.send(data, flags)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise self._translated(error) from error
        if sent < len(data):
            try:
                await self._send_rest(memoryview(data)[sent:], flags)
            except trio.BrokenResourceError as error:
                if not sent:
                    raise
                raise CutOff(str(error)) from error

    async def _send_rest(self, data: memoryview, flags: int) -> None:
        while data:
            # Progress renews the time: slow readers are welcome, absent ones are not.
            with trio.move_on_after(self._stall) as waiting:
                await self.wait_send_all_might_not_block()
            if waiting.cancelled_caught:
                raise trio.BrokenResourceError(f"client read nothing for {self._stall:g} s")
            try:
                data = data[self._socket.send(data, flags) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._translated(error) from error

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the kernel takes something."""
        if self._socket.fileno() < 0:
            raise trio.ClosedResourceError("this stream was closed")
        self._waiting += 1
        try:
            await trio.lowlevel.wait_writable(self._fd)
        finally:
            self._waiting -= 1

    async def send_eof(self) -> None:
        """FIN; receiving goes on."""
        with contextlib.suppress(OSError):  # the other side is gone: it needs no FIN
            self._socket.shutdown(socket.SHUT_WR)

    async def finish(self, data: bytes, *, drain: bool) -> None:
        """Send the last bytes and FIN together, and close so that they arrive.

        Closing a socket with unread input resets the connection, and the reset can overtake the
        answer. So input that is there, or expected (``drain``), is read and thrown away first,
        within DRAIN_BYTES and DRAIN_SECONDS.
        """
        try:
            drain = drain or self._has_input()
            # MSG_MORE holds the last segment back until the FIN joins it.
            await self._send(data, _MSG_MORE)
            if drain:
                await self.send_eof()
                await self._drain()
        finally:
            self.close()

    def acknowledge(self) -> None:
        """Have the kernel tell at once that everything has arrived, which it puts off for 40 ms otherwise."""
        if _TCP_QUICKACK is not None:
            with contextlib.suppress(OSError):  # no TCP, or the other side is gone
                self._socket.setsockopt(socket.IPPROTO_TCP, _TCP_QUICKACK, 1)

    def _has_input(self) -> bool:
        # Not recv(): it has the kernel send an acknowledgement, a segment of its own just before the
        # answer, which costs 20 us.
        return fcntl.ioctl(self._fd, termios.FIONREAD, _NONE) != _NONE

    async def _drain(self) -> None:
        left = DRAIN_BYTES
        with trio.move_on_after(DRAIN_SECONDS), contextlib.suppress(trio.BrokenResourceError):
            while left > 0 and (data := await self.receive_some()):
                left -= len(data)

    def close(self) -> None:
        """Close without a checkpoint. Closing twice is fine."""
        if self._socket.fileno() >= 0:
            self._emptied = False  # the next call sees that it is closed, and waits for nobody
            if self._waiting:
                trio.lowlevel.notify_closing(self._fd)
            self._socket.close()

    async def aclose(self) -> None:
        """Close, with a checkpoint."""
        self.close()
        await trio.lowlevel.checkpoint()

    def _translated(self, error: OSError) -> Exception:
        if self._socket.fileno() < 0:
            return trio.ClosedResourceError("this stream was closed")
        return trio.BrokenResourceError(error.strerror or str(error))


class RewindableStream(SocketStream):
    """A `SocketStream` that takes back what was read too far."""

    __slots__ = ("_returned",)

    def __init__(self, sock: socket.socket, stall: float = math.inf) -> None:
        super().__init__(sock, stall)
        self._returned = b""

    def push_back(self, data: bytes) -> None:
        """Let the next `receive_some` begin with ``data``."""
        self._returned = data + self._returned

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """As in `SocketStream`, after what was pushed back."""
        if not self._returned:
            return await super().receive_some(max_bytes)
        size = max_bytes or RECEIVE_SIZE
        data, self._returned = self._returned[:size], self._returned[size:]
        return data
