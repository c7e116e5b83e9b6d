"""Clients that do what they must not, and a server that has too little of something.

After each of them the server serves the next client, has every descriptor back, and has exactly one
line in its log for each connection.
"""

import random
import re
import resource
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from pad19.content.static import StaticFiles
from pad19.dispatch.router import Router
from pad19.protocol.client import Client
from pad19.protocol.failure import Failure
from pad19.protocol.request import MAX_URI, RequestReader
from pad19.protocol.response import header
from support.cases import CASES, HOSTS, INDEX, SECRET, make_root
from support.process import (
    CHUNK,
    PATIENCE,
    Address,
    Serving,
    connect_socket,
    connect_tls,
    fetch,
    gemini,
    read_rest,
    serving,
)
from support.server import stdlib_context

pytestmark = pytest.mark.machine

PAGE = b"20 text/gemini\r\n# Pad 19\n"
LARGE = 32 * 1024 * 1024  # bytes: more than the kernel's buffers take
LIMIT = 1.0  # seconds, of the handshake, the request and the stall
CONFIGURATION = f"""
[server]
listen = ["127.0.0.1:0"]
[limits]
handshake_s = {LIMIT}
request_s = {LIMIT}
stall_s = {LIMIT}
[log]
format = "json"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("capsule")
    (folder / "content").mkdir()
    (folder / "content/index.gmi").write_text("# Pad 19\n")
    with (folder / "content/large.bin").open("wb") as file:
        file.truncate(LARGE)
    (folder / "pad19.toml").write_text(CONFIGURATION)
    return folder


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[Serving]:
    with serving(folder, home=folder) as server:
        fetch(
            server.address, gemini(server.address, "/large.bin")
        )  # threads and caches are there from now on
        yield server


class Observed:
    """One server during one test."""

    def __init__(self, server: Serving, name: str) -> None:
        self.server = server
        self.address = server.address
        self._name = name
        self._descriptors = 0
        self._before = self._mark("before")
        self._descriptors = server.descriptors

    def _mark(self, when: str) -> int:
        uri = gemini(self.address, f"/{self._name}/{when}")
        assert fetch(self.address, uri).status == 51
        return len(self.server.records_until(uri))

    def end(self, count: int) -> list[dict[str, Any]]:
        """The records of the connections in between, which are so many; the server is as it was."""
        self.server.lines(self._before + count)
        assert fetch(self.address, gemini(self.address)).received == PAGE
        after = self._mark("after")
        records = self.server.records(after)[self._before : after - 2]
        assert len(records) == count, records
        assert self.server.descriptors <= self._descriptors
        return records


@pytest.fixture
def observed(shared: Serving, request: pytest.FixtureRequest) -> Observed:
    return Observed(shared, re.sub(r"\W+", "-", request.node.name))


def reset(sock: socket.socket) -> None:
    """Close with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def until_closed(sock: socket.socket) -> bytes:
    """What the server says before it closes."""
    received = b""
    with suppress(ConnectionResetError):
        while data := sock.recv(CHUNK):
            received += data
    return received


def hello() -> bytes:
    """The first flight of a handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


# Clients that leave


def reset_in_hello(observed: Observed) -> None:
    sock = connect_socket(observed.address)
    sock.sendall(hello()[:100])
    reset(sock)


def reset_after_hello(observed: Observed) -> None:
    sock = connect_socket(observed.address)
    sock.sendall(hello())
    assert sock.recv(5)
    reset(sock)


def reset_before_request(observed: Observed) -> None:
    reset(connect_tls(observed.address))


def reset_in_request(observed: Observed) -> None:
    stream = connect_tls(observed.address)
    stream.sendall(b"gemini://local")
    reset(stream)


def reset_in_answer(observed: Observed) -> None:
    stream = connect_tls(observed.address, buffer=4096)
    stream.sendall(f"{gemini(observed.address, '/large.bin')}\r\n".encode())
    assert stream.recv(2) == b"20"
    reset(stream)


RESET = "client left: Connection reset by peer"
# A send that fails takes the reset with it, and what is read then looks like an end.
LEAVING: list[tuple[Callable[[Observed], None], set[str], int | None]] = [  # how, reasons, status
    (reset_in_hello, {RESET}, None),
    (reset_after_hello, {RESET}, None),
    (reset_before_request, {RESET, "closed before CRLF"}, None),
    (reset_in_request, {RESET, "closed before CRLF"}, None),
    (reset_in_answer, {RESET, "client left: Broken pipe"}, 20),
]


@pytest.mark.parametrize(("leave", "reasons", "status"), LEAVING)
def test_reset(
    leave: Callable[[Observed], None], reasons: set[str], status: int | None, observed: Observed
) -> None:
    leave(observed)
    [record] = observed.end(1)
    assert record["reason"] in reasons
    assert record["status"] == status
    assert record["bytes"] < LARGE


def test_close_in_the_handshake(observed: Observed) -> None:
    for sent in (hello()[:100], hello()):
        with connect_socket(observed.address) as sock:
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
            until_closed(sock)
    reasons = {record["reason"] for record in observed.end(2)}
    assert reasons == {"handshake failed: closed during the handshake"}


def test_half_close_after_the_request(observed: Observed) -> None:
    uri = gemini(observed.address, "/large.bin")
    with connect_tls(observed.address) as stream:
        stream.sendall(f"{uri}\r\n".encode())
        socket.socket.shutdown(stream, socket.SHUT_WR)  # a FIN without close_notify
        answer = read_rest(stream)
    assert (answer.status, len(answer.body), answer.clean) == (20, LARGE, True)
    [record] = observed.end(1)
    assert (record["request"], record["status"], record["reason"]) == (uri, 20, "")


# Clients that are slow


def test_silence(observed: Observed) -> None:
    with connect_socket(observed.address) as sock:
        assert until_closed(sock) == b""
    [record] = observed.end(1)
    assert (record["status"], record["reason"], record["tls"]) == (None, "handshake timeout", "")


def test_a_handshake_byte_by_byte(observed: Observed) -> None:
    with connect_socket(observed.address) as sock:
        assert drip(sock, hello()) == b""
    [record] = observed.end(1)
    assert record["reason"] == "handshake timeout"
    assert record["duration_ms"] < 3000 * LIMIT


def test_a_request_byte_by_byte(observed: Observed) -> None:
    with connect_tls(observed.address) as stream:
        assert drip(stream, f"{gemini(observed.address)}\r\n".encode()) == b""
    [record] = observed.end(1)
    assert record["reason"] == "request timeout"
    assert record["status"] is None
    assert gemini(observed.address).startswith(record["request"])
    assert 1000 * LIMIT <= record["duration_ms"] < 3000 * LIMIT


def drip(sock: socket.socket, data: bytes) -> bytes:
    """Send a byte every 0.2 s until the server answers or closes."""
    sock.settimeout(0.2)
    for byte in data:
        try:
            sock.sendall(bytes([byte]))
            return sock.recv(1)
        except TimeoutError:
            continue
        except (ConnectionError, ssl.SSLError):
            return b""
    pytest.fail("the server takes whatever time the client takes")


def test_a_client_that_reads_nothing(observed: Observed) -> None:
    with connect_tls(observed.address, buffer=4096) as stream:
        stream.sendall(f"{gemini(observed.address, '/large.bin')}\r\n".encode())
        [record] = observed.end(1)
    assert record["reason"] == "client left: client read nothing for 1 s"
    assert record["status"] == 20
    assert record["bytes"] < LARGE


# Clients that say something else


PLAIN = [
    b"gemini://localhost/\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\0" * 1000,
    b"\x16\x03\x01\xff\xff" + b"x" * 500,
]


@pytest.mark.parametrize("text", PLAIN, ids=["gemini", "http", "zeros", "no hello"])
def test_no_tls(text: bytes, observed: Observed) -> None:
    with connect_socket(observed.address) as sock:
        sock.sendall(text)
        sock.shutdown(socket.SHUT_WR)
        answer = until_closed(sock)
    assert answer[:1] in {b"", b"\x15"}  # nothing, or a TLS alert
    assert len(answer) <= 7
    [record] = observed.end(1)
    assert record["reason"].startswith("handshake failed: ")
    assert (record["request"], record["status"], record["tls"]) == ("", None, "")


@pytest.mark.parametrize("size", [300_000, 1_000_000])
def test_floods(size: int, observed: Observed) -> None:
    before = 0
    for number in range(50):
        if number == 5:
            before = observed.server.memory
        with connect_tls(observed.address) as stream:
            with suppress(ConnectionError, ssl.SSLError):
                stream.sendall(b"x" * size)
            assert read_rest(stream).received == b"59 the URI is longer than 1024 bytes\r\n"
    assert observed.server.memory - before < 4 * 1024 * 1024
    records = observed.end(50)
    assert {(record["status"], len(record["request"]), record["reason"]) for record in records} == {
        (59, 1027, "the URI is longer than 1024 bytes")
    }


# A server that has too little


def test_no_descriptors_left(folder: Path) -> None:
    with serving(folder, home=folder) as server, ExitStack() as crowd:
        fetch(server.address, gemini(server.address, "/large.bin"))
        server.records(1)
        free = 10
        limit = server.descriptors + free
        resource.prlimit(server.worker, resource.RLIMIT_NOFILE, (limit, limit))
        socks = [crowd.enter_context(connect_socket(server.address)) for _ in range(2 * free)]
        for sock in socks:
            sock.sendall(b"\x16")  # so that it is handed over
        server.wait_for_err("new connections wait: Too many open files (raise LimitNOFILE= or ulimit -n)")
        assert server.descriptors == limit
        for sock in socks:
            sock.close()
        for _ in range(2):
            assert fetch(server.address, gemini(server.address)).received == PAGE
        assert fetch(server.address, gemini(server.address, "/large.bin")).clean
        records = server.records(1 + len(socks) + 3)
        assert server.stop() == 0
        assert server.err.count("new connections wait") == 1
    reasons = Counter(record["reason"] for record in records)
    assert reasons == {"": 4, "handshake failed: closed during the handshake": len(socks)}


# Clients that say anything


SEED = 1965
ASKED = 20_000
CLIENTS = 4  # that ask at the same time
PIECES = [
    b"gemini://", b"localhost", b":1965", b"/", b"..", b"%2e", b"%00", b"%ff", b"?", b"#", b"@", b"[", b"::1",
    b"]", b"\r", b"\n", b"\r\n", b"\0", b"\xff", b"\xc3\xa9", b"a.txt", b"docs", b"//", b";size=3",
    b"titan:", b" ",
]  # fmt: skip
LIMITED = MAX_URI + 1  # bytes that the server waits behind for CRLF, or its LF


def anything(chance: random.Random) -> Iterator[bytes]:
    """Random bytes; pieces of requests in any order; and whole requests, some with bytes changed."""
    requests = [case.request for case in CASES if len(case.request) < 2000]
    while True:
        yield chance.randbytes(chance.randrange(60))
        yield b"".join(chance.choices(PIECES, k=chance.randrange(12)))
        changed = bytearray(chance.choice(requests))
        for _ in range(chance.randrange(4)):
            if changed:
                changed[chance.randrange(len(changed))] = chance.randrange(256)
        yield bytes(changed)


@dataclass(frozen=True, slots=True)
class Sent:
    """What one client sends."""

    number: int
    data: bytes
    closes: bool  # behind it; else the client waits

    def __str__(self) -> str:
        return f"seed {SEED}, number {self.number}: {self.data!r}{' and FIN' * self.closes}"

    @property
    def is_answered(self) -> bool:
        """Is there a line, or too much of one?"""
        return b"\r\n" in self.data or len(self.data) > LIMITED


def anything_at(port: int) -> Iterator[Sent]:
    """The same for a server at that port: some lines with no end, some far too long, some both."""
    chance = random.Random(SEED)  # noqa: S311 - the same every time
    for number, text in enumerate(islice(anything(chance), ASKED)):
        data = re.sub(rb"(?<=//localhost)(?=[/?\r])", b":%d" % port, text)
        if chance.randrange(16) == 0:
            data += b"/" + chance.randbytes(chance.randrange(LIMITED, 40_000))
        if closes := chance.randrange(4) == 0:
            data = data.removesuffix(b"\r\n")
        elif len(data) <= LIMITED or chance.randrange(2):
            data += b"\r\n"
        yield Sent(number, data, closes)


def answer(address: Address, context: ssl.SSLContext, sent: Sent) -> int | None:
    """The status of the answer, which is one; None: dropped."""
    try:
        with connect_tls(address, context) as stream:
            stream.sendall(sent.data)
            if sent.closes:
                socket.socket.shutdown(stream, socket.SHUT_WR)
            heard = read_rest(stream)
    except OSError as error:  # a timeout above all
        raise AssertionError(str(sent)) from error
    if not sent.is_answered:
        assert heard.received == b"", str(sent)
        return None
    assert heard.clean, str(sent)
    return check(heard.received, str(sent))


def open_connections(address: Address) -> int:
    """To there, from the server's side, as the kernel counts them (proc(5): net/tcp)."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    over = {"0A", "06"}  # LISTEN, and TIME_WAIT: only the kernel knows of those any more
    return sum(
        local.endswith(f":{address[1]:04X}") and state not in over
        for _, local, _, state, *_ in map(str.split, lines)
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cases") / "root"
    make_root(path)
    return path


def check(received: bytes, asked: str) -> int:
    """The status of an answer that is one."""
    found = re.fullmatch(rb"(20|31|51|53|59) [^\r\n]{1,1024}\r\n(.*)", received, re.DOTALL)
    assert found, (asked, received)
    assert not found[2] or found[1] == b"20", asked
    assert SECRET not in received, asked
    return int(found[1])


async def test_20_000_requests_of_any_kind(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    router = Router({"localhost": StaticFiles(root)})
    client = Client("192.0.2.1", 50000, "localhost", "TLSv1.3", None)
    before = descriptors()
    statuses = set()
    chance = random.Random(SEED)  # noqa: S311 - the same every time
    for number, text in enumerate(islice(anything(chance), ASKED)):
        try:
            request = RequestReader(client).receive(text + b"\r\n")
            assert request
            response = await router.handler(request, 1965)(request)
            assert isinstance(response.body, bytes)
            received = header(response.status, response.meta) + response.body
        except Failure as failure:
            received = header(failure.status, str(failure))
        statuses.add(check(received, f"seed {SEED}, number {number}: {text!r}"))
    assert statuses == {20, 31, 51, 53, 59}  # so they were not all alike
    assert not caplog.records
    assert descriptors() == before


@pytest.mark.timeout(180)
def test_20_000_requests_over_the_wire(root: Path, tmp_path: Path) -> None:
    (tmp_path / "pad19.toml").write_text(
        f"{CONFIGURATION}[[capsule]]\nhosts = {[*HOSTS]}\ncontent = '{root}'\n".replace(
            f"_s = {LIMIT}", f"_s = {PATIENCE}"
        )
    )
    with serving(tmp_path, home=tmp_path) as server, ThreadPoolExecutor(CLIENTS) as clients:
        address = server.address
        honest = gemini(address)
        assert fetch(address, honest).status == 20
        server.records(1)
        before = (server.descriptors, open_connections(address), server.err)
        ask = partial(answer, address, stdlib_context())
        statuses = Counter(clients.map(ask, anything_at(address[1])))
        assert statuses.keys() == {None, 20, 31, 51, 53, 59}  # so they were not all alike
        assert fetch(address, honest).received == b"20 text/gemini\r\n" + INDEX
        records = server.records(1 + ASKED + 1)
        assert Counter(record["status"] for record in records[1:-1]) == statuses
        assert len(records) == 1 + ASKED + 1
        assert (server.descriptors, open_connections(address), server.err) == before


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])
