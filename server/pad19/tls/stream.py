"""TLS over any trio stream, with OpenSSL working on memory BIOs.

General theory of operation. OpenSSL never touches a socket. It reads ciphertext from one memory BIO
that we fill (`_fill`) and writes ciphertext to another that we empty (`_flush`). Every operation is:
call OpenSSL; when it wants more input, send what it has to say, wait for ciphertext, call it again.

pyOpenSSL and not the standard ssl module, because that one refuses a self-signed client certificate
as soon as it asks for certificates, and self-signed is what Gemini clients have.

`receive_some`, `send_all` and `aclose` follow trio's rules, checkpoints included. `read`, `write`
and `finish` do the same work but yield only when they have to wait: a checkpoint costs about 10 us,
a twentieth of a request.
"""

import trio
from cryptography import x509
from OpenSSL import SSL, crypto

from pad19.protocol.client import Identity

from .errors import CutOff, HandshakeFailed, Truncated, clear_errors, reason
from .identity import identify_der
from .socket_stream import SocketStream

RECORD = 16384  # bytes of plaintext in one TLS record at most (RFC 8446, section 5.1)
BATCH = 8 * RECORD  # plaintext encrypted in one call: fewer calls, bounded memory
_BATCH_OVERHEAD = 8 * 64  # header, tag and padding of the records of a batch, generously
_SMALL = 4096  # what tickets and alerts need on top of a body
_LEFT = "closed during the handshake"  # with a word or without
_CUT = "an earlier send was cut off"
ALERT_SECONDS = 1.0  # for a client that is told why the handshake failed


class TLSStream(trio.abc.Stream):
    """One TLS connection over ``transport``, which it owns.

    Call `do_handshake` first. One task may send while another receives.

    Raises (all methods):
        trio.BrokenResourceError: The connection is of no more use; `HandshakeFailed` and
            `Truncated` say more.
        trio.ClosedResourceError: It was closed on this side.
        trio.BusyResourceError: Two tasks do the same thing at once.
    """

    __slots__ = (
        "_broken", "_closed", "_flushed", "_flushing", "_has_spoken", "_receiving", "_sending",
        "_server_side", "_tls", "_transport",
    )  # fmt: skip

    def __init__(
        self,
        transport: trio.abc.Stream,
        context: SSL.Context,
        *,
        server_side: bool = True,
        server_name: str = "",
    ) -> None:
        self._transport = transport
        self._tls = SSL.Connection(context, None)
        self._server_side = server_side
        if server_side:
            self._tls.set_accept_state()
        else:
            self._tls.set_connect_state()
            if server_name:
                self._tls.set_tlsext_host_name(server_name.encode("ascii"))
        self._closed = self._broken = self._sending = self._receiving = self._flushing = False
        self._has_spoken = False
        self._flushed: trio.Event | None = None  # somebody waits for the flush under way

    @property
    def closed(self) -> bool:
        """Was it closed, or is it closing, on this side?"""
        return self._closed

    @property
    def descriptor(self) -> int | None:
        """Of the socket; None if there is none underneath."""
        return self._transport.descriptor if isinstance(self._transport, SocketStream) else None

    # What is known after the handshake

    @property
    def server_name(self) -> str | None:
        """The SNI that the client sent: lower case, without a trailing dot. None without one."""
        name = self._tls.get_servername()
        return name.decode("ascii", "replace").lower().removesuffix(".") if name else None

    @property
    def version(self) -> str:
        """``"TLSv1.3"`` or ``"TLSv1.2"``."""
        return self._tls.get_protocol_version_name()

    @property
    def cipher(self) -> str:
        """OpenSSL's name of the cipher suite."""
        return self._tls.get_cipher_name() or ""

    @property
    def peer_certificate(self) -> x509.Certificate | None:
        """What the other side presented, in this handshake or in the one it resumed.

        Raises:
            ValueError: OpenSSL took it, but cryptography cannot read it.
        """
        return self._tls.get_peer_certificate(as_cryptography=True)

    @property
    def identity(self) -> Identity | None:
        """The client certificate as a value, however broken it is."""
        certificate = self._tls.get_peer_certificate()
        if certificate is None:
            return None
        clear_errors()
        # As DER: what OpenSSL takes may be more than cryptography can read.
        return identify_der(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate))

    # The handshake

    async def do_handshake(self, *, tickets: bool = True) -> None:
        """Agree on keys. What the server says afterwards (tickets) leaves with its first answer.

        ``tickets``: whether a server gives the client something to resume this session with. Those
        that the client brings are taken in any case.

        Raises:
            HandshakeFailed: They could not agree, or the other side left.
        """
        if not self._server_side:  # the client speaks first
            self._shake()
            await self._flush()
        while True:
            if not await self._fill():
                raise HandshakeFailed(_LEFT)
            try:
                if self._shake():
                    break
            except HandshakeFailed:
                with trio.move_on_after(ALERT_SECONDS):
                    await self._flush_quietly()  # the alert tells the client why, if it still listens
                raise
            if not tickets:  # only now: at the beginning it would also refuse those of the client
                self._tls.set_options(SSL.OP_NO_TICKET)
            await self._flush()
        if not self._server_side:
            await self._flush()

    def _shake(self) -> bool:
        """One step of the handshake. False: it takes more from the other side."""
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.ZeroReturnError:
            raise HandshakeFailed(_LEFT) from None
        except SSL.Error as error:
            raise HandshakeFailed(reason(error)) from None
        return True

    async def acknowledge(self) -> None:
        """Let the client know that its part of the handshake is here, if its request is not.

        A session of TLS 1.2 that is resumed begins with a last word of the client, which gets no answer.
        With Nagle's algorithm on, it holds the request back until TCP acknowledges that.
        """
        await self._flush_quietly()  # in a new session the last word is ours, and does it
        if isinstance(self._transport, SocketStream):
            self._transport.acknowledge()

    # Receiving

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Decrypted bytes; ``b""`` after the other side's close_notify."""
        if max_bytes is not None and max_bytes < 1:
            raise ValueError("max_bytes must be at least 1")
        self._check_open()
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving")
        await trio.lowlevel.checkpoint()
        return await self.read(max_bytes or RECORD)

    async def read(self, max_bytes: int = RECORD) -> bytes:
        """Like `receive_some`, but yields only to wait.

        Raises:
            Truncated: The other side closed without close_notify.
        """
        self._check_open()
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving")
        self._receiving = True
        try:
            rounds = 0
            while (data := self.decrypt(max_bytes)) is None:
                if rounds:  # ciphertext without plaintext (key updates) must not keep us from others
                    await trio.lowlevel.checkpoint()
                rounds += 1
                if not (self._flushing or self._keeps_tickets):  # a flush under way takes it along
                    await self._flush_quietly()  # what came in before the other side left still counts
                await self._fill()
                self._check_open()
            return data
        finally:
            self._receiving = False

    @property
    def _keeps_tickets(self) -> bool:
        """Whether there is nothing to say but tickets, which can wait for the first answer.

        Over a transport without a buffer they must: the client may be waiting to send, and reads later. A
        socket takes them, and tells a client with Nagle's algorithm on to go on.
        """
        return (
            not self._has_spoken
            and self._server_side
            and not isinstance(self._transport, SocketStream)
            and self.version == "TLSv1.3"
        )

    def decrypt(self, max_bytes: int = RECORD) -> bytes | None:
        """What has arrived already, ``b""`` at the end, None if it takes more input.

        A function of its own also because an exception that is handled in `read` while that waits would keep
        pyOpenSSL's frame alive, with its buffer of 16 KiB for each idle connection.
        """
        try:
            return self._tls.recv(max_bytes)
        except SSL.WantReadError:
            return None
        except SSL.ZeroReturnError:
            return b""
        except SSL.SysCallError:
            raise Truncated("closed without close_notify") from None
        except SSL.Error as error:
            raise trio.BrokenResourceError(reason(error)) from None

    async def _fill(self) -> bool:
        data = await self._transport.receive_some(RECORD + 512)
        if data:
            self._tls.bio_write(data)
        else:
            self._tls.bio_shutdown()
        return bool(data)

    # Sending

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send everything."""
        self._check_open()
        if self._sending:
            raise trio.BusyResourceError("another task is sending")
        await trio.lowlevel.checkpoint()
        await self.write(data)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Like `send_all`, but yields only to wait."""
        self._check_open()
        if self._sending:
            raise trio.BusyResourceError("another task is sending")
        self._sending = True
        try:
            view = memoryview(data)
            for start in range(0, len(view), BATCH):
                self._encrypt(view[start : start + BATCH])
                while self._flushing:  # by the task that reads: one at a time
                    if self._flushed is None:
                        self._flushed = trio.Event()
                    await self._flushed.wait()
                await self._flush(BATCH + _BATCH_OVERHEAD + _SMALL)
        finally:
            self._sending = False

    def _encrypt(self, data: bytes | memoryview) -> None:
        if self._broken:
            raise trio.BrokenResourceError(_CUT)
        self._has_spoken = True
        try:
            self._tls.send(data)
        except SSL.Error as error:
            raise trio.BrokenResourceError(reason(error)) from None

    async def _flush(self, size: int = _SMALL) -> None:
        """Send what OpenSSL wants to say. ``size``: the most that is expected, in bytes."""
        if self._broken:  # maybe by the flush that somebody has just waited for
            raise trio.BrokenResourceError(_CUT)
        while True:
            try:
                data = self._tls.bio_read(size)
            except SSL.WantReadError:
                return
            self._flushing = True
            try:
                await self._transport.send_all(data)
            except BaseException:
                self._broken = True  # part of a record may be out: nothing can follow it
                raise
            finally:
                self._flushing = False
                if self._flushed is not None:
                    self._flushed.set()
                    self._flushed = None
            if len(data) < size:
                return

    def _take(self, size: int) -> bytes:
        """All that OpenSSL wants to say: more than ``size`` if tickets hold a large certificate."""
        parts: list[bytes] = []
        try:
            while not parts or len(parts[-1]) == size:
                parts.append(self._tls.bio_read(size))
        except SSL.WantReadError:
            pass  # nothing (more)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _flush_quietly(self) -> None:
        try:
            await self._flush()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def wait_send_all_might_not_block(self) -> None:
        """As trio says; TLS may have more to send than it seems."""
        self._check_open()
        if self._sending:
            raise trio.BusyResourceError("another task is sending")
        await self._transport.wait_send_all_might_not_block()

    # Ending

    async def finish(self, data: bytes | memoryview = b"", *, drain: bool = False) -> None:
        """Send ``data``, close_notify and the end of the stream in as few segments as they fit in.

        ``drain``: more input is to be expected, which must be read before the close (see
        `SocketStream.finish`).

        Raises:
            CutOff: A part of ``data`` is out, and it may be all but the end.
        """
        self._check_open()
        if len(data) > BATCH:
            await self._finish_large(memoryview(data), drain=drain)
            return
        if data:
            self._encrypt(data)
        elif self._broken:
            raise trio.BrokenResourceError(_CUT)
        self._shutdown()
        self._closed = True
        transport = self._transport
        if isinstance(transport, SocketStream):
            last = self._take(len(data) + _BATCH_OVERHEAD + _SMALL)
            await transport.finish(last, drain=drain)
        else:
            try:
                await self._flush(len(data) + _SMALL)
            finally:
                await transport.aclose()

    async def _finish_large(self, data: memoryview, *, drain: bool) -> None:
        await self.write(data[:BATCH])
        rest = data[BATCH:]
        try:
            await self.write(rest[:-BATCH])
            await self.finish(rest[-BATCH:], drain=drain)
        except trio.BrokenResourceError as error:
            raise CutOff(str(error)) from error

    async def aclose(self) -> None:
        """Send close_notify, as far as that is possible without waiting long, and close."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        try:
            self._shutdown()
            if not (self._flushing or self._broken):  # a send that is stuck would hold this one up as well
                await self._flush_quietly()
        finally:
            await self._transport.aclose()

    async def abort(self) -> None:
        """Close without close_notify, so that the client sees that something is missing."""
        self._closed = True
        await trio.aclose_forcefully(self._transport)

    def _shutdown(self) -> None:
        try:
            self._tls.shutdown()
        except SSL.Error:
            return  # before the handshake, or after a fatal alert: there is nothing to close

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream was closed")
