"""Clients that say anything: 20 000 requests, of any kind, each of which has one answer."""

from __future__ import annotations

import random
import re
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from pad19.content.static import StaticFiles
from pad19.dispatch.router import Router
from pad19.protocol.client import Client
from pad19.protocol.failure import Failure
from pad19.protocol.request import MAX_URI, RequestReader
from pad19.protocol.response import header
from support.capsule_folder import configure
from support.cases import CASES, HOSTS, INDEX, SECRET, make_root
from support.disk import descriptors
from support.process import PATIENCE, Address, connect_tls, fetch, gemini, read_rest, serving
from support.server import stdlib_context

pytestmark = pytest.mark.machine

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


# Over the wire


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


@pytest.mark.timeout(180)
def test_20_000_requests_over_the_wire(root: Path, tmp_path: Path) -> None:
    limits = f"[limits]\nhandshake_s = {PATIENCE}\nrequest_s = {PATIENCE}\nstall_s = {PATIENCE}"
    configure(tmp_path, rest=limits, capsule=f"hosts = {[*HOSTS]}\ncontent = '{root}'")
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
