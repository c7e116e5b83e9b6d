import socket
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from trio.testing import MockClock

from pad19.protocol.response_reader import BadHeader, Header
from pad19.tls.client import ConnectFailed, Connection, connect
from pad19.tls.context import client_context
from pad19.tls.errors import Truncated
from pad19.tls.identity import identify
from support.fake_server import FakeServer, Script, answers, floods, running, stalls, truncates
from support.tls import Pair, self_signed


async def body(connection: Connection, max_bytes: int = 16384) -> bytes:
    received = b""
    while data := await connection.read(max_bytes):
        assert len(data) <= max_bytes
        received += data
    return received


@pytest.mark.parametrize(
    "pieces",
    [
        [b"20 text/gemini\r\n", b"# Hello\n"],
        [b"20 text/gemini\r\n# Hello\n"],
        [b"20 te", b"xt/gemini\r", b"\n# Hello\n"],
    ],
)
@pytest.mark.parametrize("max_bytes", [1, 16384])
async def test_one_exchange(pieces: list[bytes], max_bytes: int) -> None:
    async with running(answers(*pieces)) as server:
        connection = await connect("localhost", server.port, client_context())
        async with connection:
            assert server.requests == []
            assert connection.server == identify(server.pair.certificate)
            assert connection.address == "127.0.0.1"
            assert connection.stream.version == "TLSv1.3"
            assert connection.cipher == "TLS_AES_128_GCM_SHA256"
            assert await connection.ask("gemini://localhost/a?b") == Header(20, "text/gemini")
            assert await body(connection, max_bytes) == b"# Hello\n"
    assert server.requests == ["gemini://localhost/a?b"]
    assert server.server_names == ["localhost"]
    assert server.fingerprints == [None]


async def test_how_long_it_took(mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hesitant(FakeServer):
        async def _serve(self, transport: trio.abc.Stream) -> None:
            assert isinstance(transport, trio.SocketStream)
            await trio.lowlevel.wait_readable(transport.socket)  # the client is connected, and has begun
            mock_clock.jump(2)
            await super()._serve(transport)

    async def far_away(host: str, port: int) -> trio.SocketStream:
        mock_clock.jump(0.5)
        return await open_tcp_stream(host, port)

    open_tcp_stream = trio.open_tcp_stream
    monkeypatch.setattr(trio, "open_tcp_stream", far_away)
    async with trio.open_nursery() as nursery:
        server = Hesitant(answers())
        await nursery.start(server.run)
        async with await connect("localhost", server.port, client_context()) as connection:
            assert (connection.connect_seconds, connection.handshake_seconds) == (0.5, 2)
        nursery.cancel_scope.cancel()


async def test_a_large_body_comes_in_pieces() -> None:
    content = bytes(range(256)) * 4000
    async with (
        running(answers(b"20 x/y\r\n" + content)) as server,
        await connect("localhost", server.port, client_context()) as connection,
    ):
        await connection.ask("gemini://localhost/")
        assert await body(connection) == content


async def test_the_client_certificate() -> None:
    pair = self_signed("Ada")
    async with running(answers(b"20 x/y\r\n")) as server:
        context = client_context(pair)  # type: ignore[arg-type]  # a Pair has what is used
        async with await connect("localhost", server.port, context) as connection:
            await connection.ask("gemini://localhost/")
    assert server.fingerprints == [identify(pair.certificate).fingerprint]


@pytest.mark.parametrize(
    ("host", "server_name"),
    [("example.org", "example.org"), ("example.org.", "example.org"), ("127.0.0.1", None), ("[::1]", None)],
)
async def test_via_another_host(host: str, server_name: str | None) -> None:
    async with (
        running(answers(b"51\r\n")) as server,
        await connect(host, 1, client_context(), via=("127.0.0.1", server.port)) as connection,
    ):
        assert await connection.ask(f"gemini://{host}/") == Header(51, "")
    assert server.server_names == [server_name]


async def test_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with (
        running(answers(b"51\r\n"), host="::1") as server,
        await connect("[::1]", server.port, client_context()) as connection,
    ):
        assert connection.address == "::1"
        assert await connection.ask("gemini://[::1]/") == Header(51, "")


# What the certificate is for


def certificate(*names: x509.GeneralName, common_name: str = "cn.test") -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Pair(builder.sign(key, hashes.SHA256()), key)


COVERED = [  # names of the certificate, hosts that it is for, hosts that it is not for
    ([], ["cn.test", "cn.test."], ["a.cn.test", "test"]),
    ([x509.DNSName("A.test")], ["a.test"], ["cn.test", "b.a.test"]),
    ([x509.DNSName("*.a.test")], ["b.a.test", "b.a.test."], ["a.test", "c.b.a.test"]),
    (
        [x509.IPAddress(ip_address("127.0.0.1")), x509.IPAddress(ip_address("::1"))],
        ["127.0.0.1", "[::1]"],
        ["127.0.0.2", "[::2]"],
    ),
    ([x509.DNSName("\x1b[2J.test"), x509.DNSName("b.test")], ["b.test"], ["\x1b[2j.test"]),
]


@pytest.mark.parametrize(("names", "hosts", "others"), COVERED)
async def test_covers(names: list[x509.GeneralName], hosts: list[str], others: list[str]) -> None:
    async with (
        running(answers(), certificate(*names)) as server,
        await connect("localhost", server.port, client_context()) as connection,
    ):
        assert [host for host in hosts + others if connection.covers(host)] == hosts
        assert "".join(connection.names).isprintable()


# Failures


async def failing(port: int, host: str = "localhost") -> str:
    with pytest.raises(ConnectFailed) as failed:
        await connect(host, port, client_context())
    return str(failed.value)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def test_refused() -> None:
    port = closed_port()
    assert (
        await failing(port)
        == f"localhost:{port} cannot be reached (Connection refused): is the server running?"
    )


async def test_no_address() -> None:
    class NoNames(trio.abc.HostnameResolver):
        async def getaddrinfo(self, *_: object) -> list[object]:  # type: ignore[override]  # it never answers
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        async def getnameinfo(self, *_: object) -> tuple[str, str]:
            raise OSError

    trio.socket.set_custom_hostname_resolver(NoNames())
    assert (
        await failing(1965, "a.test")
        == "a.test has no address that could be found (Name or service not known)"
    )


NO_TLS = [  # what a server says first, and what is made of it
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"),
    (b"220 mail.test ESMTP\r\n", "does not speak TLS"),
    (b"20 text/gemini\r\nhello\n", "does not speak TLS"),
    (b"\x15\x03\x03\x00\x02\x02\x28", "agreed on no TLS connection"),  # the alert handshake_failure
    (b"", r"agreed on no TLS connection \(closed during the handshake\)"),
]


@pytest.mark.parametrize(("greeting", "sentence"), NO_TLS)
async def test_no_tls(greeting: bytes, sentence: str) -> None:
    async def greet(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        if greeting:
            await stream.send_all(greeting)
        await stream.send_eof()
        while await stream.receive_some():
            pass

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, greet, 0)
        port = listeners[0].socket.getsockname()[1]
        with pytest.raises(ConnectFailed, match=f"^localhost:{port} {sentence}"):
            await connect("localhost", port, client_context())
        nursery.cancel_scope.cancel()


async def test_a_handshake_that_is_cancelled_leaves_nothing_open() -> None:
    """Else the ResourceWarning of the socket would fail this test."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with trio.move_on_after(0.1) as deadline:
            await connect("localhost", listener.getsockname()[1], client_context())
        assert deadline.cancelled_caught
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(5)
            while accepted.recv(4096):
                pass


@pytest.mark.parametrize(
    ("script", "wrong"),
    [
        (answers(b"hello\r\n"), "two-digit status"),
        (answers(), "without a header"),
        (truncates(b"20 text"), "within the header"),
        (floods(b"x" * 16384), "longer than 1029"),
    ],
    ids=["garbage", "nothing", "truncated", "endless"],
)
async def test_bad_headers(script: Script, wrong: str) -> None:
    async with (
        running(script) as server,
        await connect("localhost", server.port, client_context()) as connection,
    ):
        with pytest.raises(BadHeader, match=wrong):
            await connection.ask("gemini://localhost/")


async def test_a_truncated_body() -> None:
    async with (
        running(truncates(b"20 text/plain\r\nhalf of ")) as server,
        await connect("localhost", server.port, client_context()) as connection,
    ):
        await connection.ask("gemini://localhost/")
        assert await connection.read() == b"half of "
        with pytest.raises(Truncated):
            await connection.read()


async def test_closing_does_not_wait_for_a_server_that_stalls() -> None:
    async with running(stalls(b"20 text/plain\r\n")) as server:
        with trio.fail_after(5):
            async with await connect("localhost", server.port, client_context()) as connection:
                await connection.ask("gemini://localhost/")


async def test_a_preface() -> None:
    """It comes before TLS."""
    received: list[bytes] = []

    async def serve(transport: trio.SocketStream) -> None:
        received.append(await transport.receive_some(5))

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(partial(trio.serve_listeners, serve, [listener]))
        port = listener.socket.getsockname()[1]
        with pytest.raises(ConnectFailed):
            await connect("127.0.0.1", port, client_context(), preface=b"PROXY")
        nursery.cancel_scope.cancel()
    assert received == [b"PROXY"]
