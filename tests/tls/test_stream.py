import re
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio
from OpenSSL import SSL
from trio.testing import MockClock, check_two_way_stream, lockstep_stream_pair, memory_stream_pair

from pad19.tls.context import client_context
from pad19.tls.errors import CutOff, HandshakeFailed, Truncated
from pad19.tls.socket_stream import SocketStream
from pad19.tls.stream import BATCH, TLSStream
from support.tls import Pair, expired, memory_pair, self_signed, server_contexts, shaken, socket_pair


@pytest.mark.parametrize("is_server_first", [False, True])
async def test_is_a_trio_stream(is_server_first: bool) -> None:
    async def clogged() -> tuple[TLSStream, TLSStream]:
        client, server = await shaken(*lockstep_stream_pair())
        return (server, client) if is_server_first else (client, server)

    await check_two_way_stream(memory_pair, clogged)


async def test_is_a_trio_stream_over_sockets() -> None:
    async def make() -> tuple[TLSStream, TLSStream]:
        return await shaken(*socket_pair())

    await check_two_way_stream(make, None)


@pytest.mark.parametrize("size", [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH + 7])
@pytest.mark.parametrize("over", ["memory", "socket"])
async def test_finish_delivers_everything_and_close_notify(size: int, over: str) -> None:
    client, server = await memory_pair() if over == "memory" else await shaken(*socket_pair())
    body = bytes(i % 251 for i in range(size))
    got = bytearray()

    async def receive() -> None:
        while data := await client.receive_some():
            got.extend(data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await server.finish(body)
    assert bytes(got) == body  # and b"" at the end, not Truncated: there was a close_notify
    with pytest.raises(trio.ClosedResourceError):
        await server.send_all(b"x")
    await client.aclose()


async def test_abort_is_a_truncation() -> None:
    client, server = await memory_pair()
    await server.send_all(b"half of ")
    await server.abort()
    assert await client.receive_some() == b"half of "
    with pytest.raises(Truncated, match="without close_notify"):
        await client.receive_some()


async def test_read_and_write_wait_only_when_they_must() -> None:
    client, server = await shaken(*socket_pair())
    with trio.testing.assert_no_checkpoints():
        await server.write(b"20 text/gemini\r\n")
    while not (data := await client.receive_some()):
        pass
    assert data == b"20 text/gemini\r\n"
    await client.aclose()
    await server.aclose()


# What the server knows of the client


@pytest.mark.parametrize(
    ("sent", "seen"),
    [("localhost", "localhost"), ("LOCALHOST", "localhost"), ("localhost.", "localhost"), ("", None)],
)
async def test_server_name(sent: str, seen: str | None) -> None:
    _, server = await memory_pair(server_name=sent)
    assert server.server_name == seen


@pytest.mark.parametrize(
    "pair",
    [self_signed("Ada"), self_signed(None), expired(), self_signed("rsa", rsa_bits=2048)],
    ids=["named", "nameless", "expired", "rsa"],
)
async def test_any_client_certificate_gets_through_the_handshake(pair: Pair) -> None:
    _, server = await memory_pair(pair)
    identity = server.identity
    assert identity is not None
    assert identity.fingerprint.startswith("sha256:")
    assert server.peer_certificate == pair.certificate


async def test_a_weak_key_gets_through_the_handshake_and_is_told_apart() -> None:
    context = client_context()
    pair = self_signed("weak", rsa_bits=1024)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")  # or our own side would refuse to load it
    context.use_certificate(pair.certificate)
    context.use_privatekey(pair.private_key)
    ours, theirs = memory_stream_pair()
    client = TLSStream(ours, context, server_side=False)
    server = TLSStream(theirs, server_contexts().default)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        nursery.start_soon(server.do_handshake)
    assert server.identity is not None
    assert server.identity.defect


async def test_no_certificate_is_no_identity() -> None:
    _, server = await memory_pair()
    assert server.identity is None
    assert server.version == "TLSv1.3"


# Independent TLS: the standard library's


async def stdlib_client(
    server: SocketStream, use: Callable[[ssl.SSLSocket], bytes], sock: socket.socket, context: ssl.SSLContext
) -> bytes:
    def run() -> bytes:
        sock.setblocking(True)
        with context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False) as tls:
            return use(tls)

    return await trio.to_thread.run_sync(run)


def stdlib_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_speaks_with_the_standard_library(version: ssl.TLSVersion) -> None:
    theirs, ours = socket.socketpair()
    ours.setblocking(False)

    def use(tls: ssl.SSLSocket) -> bytes:
        tls.sendall(b"hello\r\n")
        received = b""
        while data := tls.recv(1 << 16):
            received += data
        return received

    async def serve() -> None:
        server = TLSStream(SocketStream(ours), server_contexts().default)
        await server.do_handshake()
        assert await server.receive_some() == b"hello\r\n"
        assert server.version == version.name.replace("_", ".")
        await server.finish(b"x" * 300_000)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        received = await stdlib_client(SocketStream(ours), use, theirs, stdlib_context(version))
    assert received == b"x" * 300_000


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_resumed_session_keeps_the_identity(version: ssl.TLSVersion, tmp_path: Path) -> None:
    """Also when the server gives out no tickets just then: those that it gave before are good."""
    contexts = server_contexts("localhost", "other.test")
    pair = self_signed("Ada")
    context = stdlib_context(version)
    pem = tmp_path / "ada.pem"
    pem.write_bytes(pair.key_pem + pair.certificate_pem)
    context.load_cert_chain(pem)
    session: ssl.SSLSession | None = None
    fingerprints = []
    for resumed, tickets in ((False, True), (True, True), (True, False)):
        theirs, ours = socket.socketpair()
        ours.setblocking(False)

        def run(
            theirs: socket.socket = theirs, resumed: bool = resumed, session: ssl.SSLSession | None = session
        ) -> ssl.SSLSession | None:
            theirs.setblocking(True)
            with context.wrap_socket(theirs, server_hostname="localhost", session=session) as tls:
                tls.sendall(b"hello\r\n")
                assert tls.recv(100) == b"bye"
                assert tls.recv(100) == b""
                assert tls.session_reused == resumed
                return tls.session

        async def serve(ours: socket.socket = ours, tickets: bool = tickets) -> None:
            server = TLSStream(SocketStream(ours), contexts.default)
            await server.do_handshake(tickets=tickets)
            await server.receive_some()
            assert server.identity is not None
            fingerprints.append(server.identity.fingerprint)
            await server.finish(b"bye")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            session = await trio.to_thread.run_sync(run)
    assert len(fingerprints) == 3
    assert len(set(fingerprints)) == 1


# Failures


async def failing_handshake(data: bytes) -> str:
    ours, theirs = memory_stream_pair()
    await ours.send_all(data)
    await ours.send_eof()
    with pytest.raises(HandshakeFailed) as failed:
        await TLSStream(theirs, server_contexts().default).do_handshake()
    return str(failed.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "closed during the handshake"),
        (b"\x16\x03\x01\x00", "closed during the handshake"),
        (b"gemini://localhost/\r\n", "wrong version number|http request|packet length"),
        (b"GET / HTTP/1.0\r\n\r\n", "http request"),
        (bytes(range(256)) * 4, ""),
    ],
)
async def test_a_failed_handshake_says_why(data: bytes, reason: str) -> None:
    message = await failing_handshake(data)
    assert re.search(reason, message)
    assert message.isprintable()


async def test_a_client_that_gives_up_politely() -> None:
    hello = SSL.Connection(client_context(), None)
    hello.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        hello.do_handshake()
    close_notify = b"\x15\x03\x03\x00\x02\x01\x00"
    assert await failing_handshake(hello.bio_read(4096) + close_notify) == "closed during the handshake"


async def test_a_cut_off_send_leaves_the_stream_broken(autojump_clock: MockClock) -> None:
    client, server = await shaken(*socket_pair())
    with trio.move_on_after(1):
        await server.send_all(bytes(50_000_000))
    for send in (partial(server.send_all, b"more"), partial(server.finish, b"more"), server.finish):
        with trio.fail_after(1), pytest.raises(trio.BrokenResourceError, match="cut off"):
            await send()
        assert not server.closed
    await server.aclose()
    await client.aclose()


class Sticky(trio.abc.Stream):
    """A transport that, once it is stuck, takes a part of what is sent, and waits for ever."""

    def __init__(self, transport: trio.abc.Stream) -> None:
        self._transport = transport
        self.is_stuck = False
        self.taken: list[bytes] = []

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._transport.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.is_stuck:
            self.taken.append(bytes(data[:1]))
            await trio.sleep_forever()
        await self._transport.send_all(data)

    async def wait_send_all_might_not_block(self) -> None: ...

    async def aclose(self) -> None:
        await self._transport.aclose()


async def test_nothing_follows_what_a_reader_sent_in_part() -> None:
    """Who reads may have to send, too: here the tickets. Who writes waits until that is out, or cancelled."""
    ours, theirs = memory_stream_pair()
    transport = Sticky(theirs)
    _, server = await shaken(ours, transport)
    transport.is_stuck = True

    async def write() -> None:
        with pytest.raises(trio.BrokenResourceError, match="cut off"):
            await server.write(b"more")

    async with trio.open_nursery() as writing, trio.open_nursery() as reading:
        reading.start_soon(server.read)
        await trio.testing.wait_all_tasks_blocked()
        writing.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        reading.cancel_scope.cancel()
        writing.cancel_scope.deadline = trio.current_time() + 5
    assert len(transport.taken) == 1


# What is out when it breaks


class Leaving(Sticky):
    """A transport whose other side is gone after some sends."""

    left = 10

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if not self.left:
            raise trio.BrokenResourceError("gone")
        self.left -= 1
        await super().send_all(data)


@pytest.mark.parametrize(
    ("size", "sends", "is_cut"),
    [
        (1, 0, False),
        (BATCH, 0, False),
        (BATCH + 1, 0, False),
        (BATCH + 1, 1, True),
        (5 * BATCH, 0, False),
        (5 * BATCH, 1, True),
        (5 * BATCH, 4, True),
    ],
)
async def test_finish_tells_whether_a_part_is_out(size: int, sends: int, is_cut: bool) -> None:
    ours, theirs = memory_stream_pair()
    transport = Leaving(theirs)
    _, server = await shaken(ours, transport)
    transport.left = sends
    with pytest.raises(trio.BrokenResourceError, match="gone") as broken:
        await server.finish(bytes(size))
    assert isinstance(broken.value, CutOff) is is_cut


async def test_ciphertext_without_plaintext_does_not_keep_us_from_others() -> None:
    """Key updates, for example: a client can send them as fast as we take them."""

    class Flooded(trio.abc.Stream):
        rounds = 0

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            self.rounds += 1
            return b"" if self.rounds > 1000 else b"\x17\x03\x03\x00\x00"

        async def send_all(self, data: bytes | bytearray | memoryview) -> None: ...

        async def wait_send_all_might_not_block(self) -> None: ...

        async def aclose(self) -> None: ...

    class Deaf(TLSStream):
        def decrypt(self, max_bytes: int = 0) -> bytes | None:
            return None if flooded.rounds <= 1000 else b""

    flooded = Flooded()
    stream = Deaf(flooded, server_contexts().default)
    with trio.CancelScope() as scope:
        scope.cancel()
        await stream.read()
    assert flooded.rounds < 3
