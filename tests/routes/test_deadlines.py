"""How often a route may be asked, and how long it may take."""

import math
import re
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from pad19.protocol.client import Client
from pad19.protocol.failure import Failure, SlowDown
from pad19.protocol.request import Request
from pad19.routes.mounting import Mounted
from pad19.routes.table import Routes
from pad19.testing import identity
from routes.asking import answer, ask


async def test_a_rate_is_each_routes_own_and_is_checked_last(autojump_clock: MockClock) -> None:
    routes = Routes()
    calls = []

    @routes.gemini("/a", rate="2/10s", allow={identity("Ada").fingerprint})
    @routes.gemini("/b", rate="2/10s")
    async def page(request: Request) -> str:
        calls.append(request)
        return ""

    mounted = Mounted(routes)
    ada, bob = (Client("192.0.2.1", certificate=identity(name)) for name in ("Ada", "Bob"))
    for _ in range(3):
        with pytest.raises(Failure, match="not on the list"):
            await mounted(ask("/a", bob))
    for path, client in (("/a", ada), ("/a", ada), ("/b", ada), ("/b", bob)):
        await mounted(ask(path, client))
    for path, client in (("/a", ada), ("/b", ada), ("/b", bob)):
        with pytest.raises(SlowDown) as failure:
            await mounted(ask(path, client))
        assert str(failure.value) == "10"
    assert len(calls) == 4
    await mounted(ask("/b", replace(bob, address="192.0.2.2")))
    await trio.sleep(10)
    await mounted(ask("/a", ada))


@pytest.mark.parametrize("seconds", [30, 10, 0.5])
async def test_a_route_that_takes_too_long(
    seconds: float, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    routes = Routes()
    ended = []

    @routes.gemini("/slow", timeout=seconds)
    async def slow(request: Request) -> str:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    begin = trio.current_time()
    said = await answer(Mounted(routes), ask("/slow?secret"))
    assert said == f"42 the route took longer than {seconds:g} seconds"
    assert ended == [begin + seconds]
    (record,) = caplog.records
    assert record.name == "pad19.routes"
    assert re.match(r"route /slow, .*slow \(line \d+\) took longer than .* for '/slow'$", record.getMessage())


async def test_a_route_has_thirty_seconds(autojump_clock: MockClock) -> None:
    routes = Routes()

    @routes.gemini("/{wait:int}")
    async def slow(request: Request, wait: int) -> str:
        await trio.sleep(wait)
        return "done"

    assert await answer(Mounted(routes), ask("/29")) == "20 done"
    assert await answer(Mounted(routes), ask("/31")) == "42 the route took longer than 30 seconds"


async def test_a_route_without_a_deadline(autojump_clock: MockClock) -> None:
    routes = Routes()

    @routes.gemini("/slow", timeout=math.inf)
    async def slow(request: Request) -> str:
        await trio.sleep(80_000)
        return "done"

    assert await answer(Mounted(routes), ask("/slow")) == "20 done"


async def test_a_stream_may_take_its_time_after_the_first_chunk(autojump_clock: MockClock) -> None:
    routes = Routes()

    @routes.gemini("/{wait:int}", timeout=10)
    async def slow(request: Request, wait: int) -> AsyncIterator[str]:
        await trio.sleep(wait)
        for text in "ab":
            yield text
            await trio.sleep(60)

    mounted = Mounted(routes)
    assert await answer(mounted, ask("/11")) == "42 the route took longer than 10 seconds"
    response = await mounted(ask("/9"))
    assert not isinstance(response.body, bytes)
    assert [chunk async for chunk in response.body] == [b"a", b"b"]


# Threads


async def test_a_thread_is_not_waited_for_longer_than_its_deadline(autojump_clock: MockClock) -> None:
    routes = Routes()
    go_on = threading.Event()

    @routes.gemini("/slow", timeout=5)
    def slow(request: Request) -> str:
        go_on.wait()
        return "late"

    @routes.gemini("/fast", timeout=math.inf)  # the clock jumps whenever a thread is waited for
    def fast(request: Request) -> str:
        return "fast"

    threads = trio.CapacityLimiter(1)
    mounted = Mounted(routes, threads=threads)
    assert await answer(mounted, ask("/slow")) == "42 the route took longer than 5 seconds"
    assert threads.borrowed_tokens == 1  # it keeps its place, so there are never more of them
    assert await answer(mounted, ask("/slow")) == "42 the route took longer than 5 seconds"
    go_on.set()
    assert await answer(mounted, ask("/fast")) == "20 fast"
