"""The tables of what clients do and get, against the whole server: in memory and over real TLS."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from dispatch.capsules import CAPSULES, Capsule
from dispatch.uploads import CONTENT, SENT, Sent, taking_uploads
from dispatch.visits import VISITS, ZONES, Log, There, Visit, leave, reset
from pad19.content.static import StaticFiles
from pad19.dispatch.connection import Deadlines
from pad19.dispatch.router import Handler
from pad19.dispatch.zones.guard import Guard
from pad19.tls.identity import identify
from support.cases import CASES, HOSTS, Case, L, make_root
from support.server import (
    URI_PORT,
    Answer,
    Server,
    ask,
    ask_in_memory,
    keeping_time,
    listening,
    static_server,
    stdlib_context,
)
from support.uploads import files_below
from support.users import unprivileged

HANDSHAKE_TIMEOUT = 4.0  # seconds
REQUEST_TIMEOUT = 7.0  # seconds

# What has its tests elsewhere, and where; no file where there is nothing to test yet.
ELSEWHERE: dict[int, tuple[str, str | None]] = {
    **dict.fromkeys(range(110, 115), ("routes and CGI", "served/test_routes.py")),
    115: ("limits", "dispatch/test_connection.py"),
}


def test_no_case_is_forgotten() -> None:
    rows = {
        *(case.number for case in CASES),
        *(visit.number for visit in VISITS),
        *(capsule.number for capsule in CAPSULES),
        *(sent.number for sent in SENT),
    }
    assert rows.isdisjoint(ELSEWHERE)
    assert rows | ELSEWHERE.keys() == {*range(1, 127)}
    tests = Path(__file__).parents[1]
    assert [file for _, file in ELSEWHERE.values() if file and not (tests / file).is_file()] == []


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cases") / "root"
    make_root(path)
    return path


def check(row: Case | Capsule, answer: Answer) -> None:
    assert answer.status == row.status
    if row.status is None:
        assert answer.received == b""
        return
    assert answer.clean  # every answer ends with close_notify, errors included
    if row.meta is not None:
        assert answer.meta == row.meta
    if row.status != 20:
        assert answer.body == b""
    elif row.body is not None:
        assert answer.body == row.body


# Lines and their answers


@pytest.fixture(scope="module")
def server(root: Path) -> Server:
    return static_server(root, HOSTS, deadlines=Deadlines(HANDSHAKE_TIMEOUT, REQUEST_TIMEOUT))


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_in_memory(case: Case, server: Server, autojump_clock: MockClock) -> None:
    before = len(server.records)
    start = trio.current_time()
    answer = await ask_in_memory(server, [case.request], server_name=case.server_name, closes=case.closes)
    check(case, answer)
    [record] = server.records[before:]
    assert record.status == case.status
    if case.status is None:
        assert record.reason == ("closed before CRLF" if case.closes else "request timeout")
        assert trio.current_time() - start == pytest.approx(0 if case.closes else REQUEST_TIMEOUT)
    else:  # a reason is given where no handler was asked
        assert bool(record.reason) == (case.status == 59 or record.reason == "not found")


@pytest.mark.parametrize("case", [case for case in CASES if len(case.request) < 200], ids=str)
async def test_byte_by_byte(case: Case, server: Server, autojump_clock: MockClock) -> None:
    answer = await ask_in_memory(
        server,
        [case.request[i : i + 1] for i in range(len(case.request))],
        server_name=case.server_name,
        closes=case.closes,
    )
    check(case, answer)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_over_real_tls(case: Case, root: Path) -> None:
    server = static_server(root, HOSTS, deadlines=Deadlines(handshake=5, request=0.3))
    async with listening(server) as address:
        answer = await ask(address, case.request, server_name=case.server_name, closes=case.closes)
    check(case, answer)


# Visits


def make_server(visit: Visit, root: Path) -> tuple[Server, Log]:
    log = Log()
    handlers: dict[str, Handler] = dict.fromkeys(HOSTS, Guard(ZONES, StaticFiles(root)))
    return Server(handlers, records=log, deadlines=Deadlines(handshake=visit.handshake)), log


def check_visit(visit: Visit, answer: Answer | None, log: Log, caplog: pytest.LogCaptureFixture) -> None:
    if answer is not None:
        assert answer.clean
        assert answer.status == visit.status
        assert re.fullmatch(visit.meta or ".*", answer.meta or "")
        same = answer.body == visit.body  # which nobody wants to see compared byte by byte
        assert same, len(answer.body)
    fingerprint = identify(visit.certificate.certificate).fingerprint if visit.certificate else None
    for record in log:
        # Who has left meanwhile gets no header.
        assert record.status == (None if visit.client in {leave, reset} and record.reason else visit.status)
        assert re.fullmatch(visit.reason, record.reason)
        assert record.tls_version == visit.agreed
        assert record.fingerprint == fingerprint
    assert not caplog.records


@pytest.mark.parametrize("visit", [visit for visit in VISITS if not visit.not_in_memory], ids=str)
async def test_visit_in_memory(
    visit: Visit, root: Path, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    server, log = make_server(visit, root)
    start = trio.current_time()
    async with keeping_time(server), trio.open_nursery() as nursery:

        async def connect() -> trio.abc.HalfCloseableStream:
            ours, theirs = memory_stream_pair()
            nursery.start_soon(server.connections.serve, theirs, "127.0.0.1", 50000, URI_PORT)
            return ours

        answer = await visit.client(visit, There(connect, log))
    assert log
    check_visit(visit, answer, log, caplog)
    if visit.reason == "handshake timeout":
        assert trio.current_time() - start == pytest.approx(visit.handshake)


@pytest.mark.parametrize("visit", VISITS, ids=str)
async def test_visit_over_sockets(visit: Visit, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    server, log = make_server(visit, root)
    connections = 0
    async with listening(server, stall=visit.stall) as address:

        async def connect() -> trio.abc.HalfCloseableStream:
            nonlocal connections
            connections += 1
            return await trio.open_tcp_stream(*address)

        answer = await visit.client(visit, There(connect, log))
        await log.has(connections)
    check_visit(visit, answer, log, caplog)
    assert len(log) == connections
    assert server.admission.total == 0


# Capsules of their own


@pytest.fixture
def folder() -> Iterator[Path]:
    """Of somebody whom modes can stop."""
    codecs.lookup("idna")  # sockets import it late, maybe from a folder that is closed to him
    with unprivileged() as folder:
        yield folder


@pytest.mark.parametrize("capsule", CAPSULES, ids=str)
async def test_capsule_in_memory(capsule: Capsule, folder: Path) -> None:
    server = Server({"localhost": capsule.build(folder)})
    check(capsule, await ask_in_memory(server, [f"{L}{capsule.path}\r\n".encode()]))


@pytest.mark.parametrize("capsule", CAPSULES, ids=str)
async def test_capsule_over_real_tls(capsule: Capsule, folder: Path) -> None:
    server = Server({"localhost": capsule.build(folder)})
    async with listening(server) as address:
        check(capsule, await ask(address, f"{L}{capsule.path}\r\n".encode()))


# Uploads


def check_sent(sent: Sent, answer: Answer, server: Server, root: Path) -> None:
    assert answer.clean == (sent.status is not None)
    assert answer.status == sent.status
    assert re.fullmatch(sent.meta or ".*", answer.meta or "")
    assert answer.body == sent.body
    expected = {name: body for name, body in {**CONTENT, **sent.changes}.items() if body}
    assert {name: body for name, body in files_below(root).items() if body} == expected
    [record] = server.records
    assert record.status == sent.status
    assert record.reason == sent.reason or record.reason == answer.meta  # it was not even a request
    assert "sesame" not in record.request


# In pieces: not what is too large for that, and not what goes on when it has been answered already.
PIECES = [sent for sent in SENT if len(sent.request) < 300 and sent.number != 121]


@pytest.mark.parametrize(
    ("sent", "size"),
    [*((sent, len(sent.request)) for sent in SENT), *((sent, size) for sent in PIECES for size in (1, 7))],
    ids=str,
)
async def test_uploads_in_memory(sent: Sent, size: int, tmp_path: Path, autojump_clock: MockClock) -> None:
    async with taking_uploads(tmp_path, delete=sent.delete) as handler:
        server = Server({"localhost": handler}, uploads=True)
        pieces = [sent.request[at : at + size] for at in range(0, len(sent.request), size)]
        answer = await ask_in_memory(server, pieces, certificate=sent.certificate, closes=sent.closes)
    check_sent(sent, answer, server, tmp_path)


@pytest.mark.parametrize("sent", SENT, ids=str)
async def test_uploads_over_real_tls(sent: Sent, tmp_path: Path) -> None:
    context = stdlib_context()
    if sent.certificate:
        pem = tmp_path.with_suffix(".pem")
        pem.write_bytes(sent.certificate.key_pem + sent.certificate.certificate_pem)
        context.load_cert_chain(pem)
    async with taking_uploads(tmp_path, delete=sent.delete) as handler:
        server = Server({"localhost": handler}, uploads=True)
        async with listening(server) as address:
            answer = await ask(address, sent.request, context=context, closes=sent.closes)
    check_sent(sent, answer, server, tmp_path)
