"""Clients that do what they must not: leave, keep silent, say something else.

After each of them the server serves the next client, has every descriptor back, and has exactly one
line in its log for each connection.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from support.capsule_folder import LARGE, configure, make_folder, page, request
from support.process import CHUNK, Serving, connect_socket, connect_tls, fetch, gemini, read_rest, serving

pytestmark = pytest.mark.machine

LIMIT = 1.0  # seconds, of the handshake, the request and the stall


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    limits = f"[limits]\nhandshake_s = {LIMIT}\nrequest_s = {LIMIT}\nstall_s = {LIMIT}"
    folder = configure(make_folder(tmp_path_factory.mktemp("capsule")), rest=limits)
    with serving(folder, home=folder) as server:
        # Threads and caches are there from now on.
        fetch(server.address, gemini(server.address, "/large.bin"))
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
        assert fetch(self.address, gemini(self.address)).received == page()
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
    stream = request(observed.address, "/large.bin", buffer=4096)
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
    with request(observed.address, "/large.bin") as stream:
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
    with request(observed.address, "/large.bin", buffer=4096):
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
