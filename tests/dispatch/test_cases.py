"""The table of requests and answers, against the whole server: in memory and over real TLS."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from pad19.dispatch.connection import Deadlines
from support.cases import CASES, HOSTS, Case, make_root
from support.server import Answer, Server, ask, ask_in_memory, listening, static_server

REQUEST_TIMEOUT = 10.0  # seconds


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cases") / "root"
    make_root(path)
    return path


@pytest.fixture(scope="module")
def server(root: Path) -> Server:
    return static_server(root, HOSTS)


def check(case: Case, answer: Answer) -> None:
    assert answer.status == case.status
    if case.status is None:
        assert answer.received == b""
        return
    assert answer.clean  # every answer ends with close_notify, errors included
    if case.meta is not None:
        assert answer.meta == case.meta
    if case.status != 20:
        assert answer.body == b""
    elif case.body is not None:
        assert answer.body == case.body


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_in_memory(case: Case, server: Server, autojump_clock: MockClock) -> None:
    before = len(server.records)
    start = trio.current_time()
    answer = await ask_in_memory(server, [case.request], server_name=case.server_name, closes=case.closes)
    check(case, answer)
    if case.status is None and not case.closes:
        assert trio.current_time() - start == pytest.approx(REQUEST_TIMEOUT)
    [record] = server.records[before:]
    assert record.status == case.status
    # A reason is given where no handler was asked: dropped, or refused for what it is.
    assert bool(record.reason) == (case.status in {None, 59} or record.reason == "not found")


@pytest.mark.parametrize("case", [case for case in CASES if len(case.request) < 200], ids=str)
async def test_byte_by_byte(case: Case, server: Server, autojump_clock: MockClock) -> None:
    answer = await ask_in_memory(
        server,
        [case.request[i : i + 1] for i in range(len(case.request))],
        server_name=case.server_name,
        closes=case.closes,
    )
    check(case, answer)


@pytest.fixture
async def address(root: Path) -> AsyncIterator[tuple[str, int]]:
    server = static_server(root, HOSTS, deadlines=Deadlines(handshake=5, request=0.3))
    async with listening(server) as address:
        yield address


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_over_real_tls(case: Case, address: tuple[str, int]) -> None:
    answer = await ask(address, case.request, server_name=case.server_name, closes=case.closes)
    check(case, answer)
