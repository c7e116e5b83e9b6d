import asyncio
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pad19.routes.interface import Background, Capsule, Lifespan
from pad19.routes.lifespan import CALM, living
from pad19.routes.table import Routes, declared

CAPSULE = Capsule({"title": "x"})


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def lifespan(self, name: str) -> Lifespan:
        async def lifespan(capsule: Capsule) -> AsyncIterator[None]:
            assert capsule is CAPSULE
            self.lines.append(f"{name} begins")
            try:
                yield
            finally:
                self.lines.append(f"{name} ends")

        return lifespan

    def background(self, name: str) -> Background:
        async def background(capsule: Capsule) -> None:
            assert capsule is CAPSULE
            self.lines.append(f"{name} runs")
            try:
                await trio.sleep_forever()
            finally:
                self.lines.append(f"{name} stops")

        return background


async def test_other_forms_of_lifespans() -> None:
    log, routes = Log(), Routes()

    class Connection:
        def __init__(self, capsule: Capsule) -> None:
            assert capsule is CAPSULE

        async def __aenter__(self) -> None:
            log.lines.append("class begins")

        async def __aexit__(self, *_error: object) -> None:
            log.lines.append("class ends")

    @routes.lifespan
    @asynccontextmanager
    async def manager(capsule: Capsule) -> AsyncIterator[str]:
        assert capsule is CAPSULE
        log.lines.append("manager begins")
        yield "a value"
        log.lines.append("manager ends")

    @wraps(begin := log.lifespan("wrapped"))
    def wrapped(capsule: Capsule) -> Any:
        return begin(capsule)

    routes.lifespan(Connection)
    routes.lifespan(wrapped)
    async with living(CAPSULE, declared(routes).lifespans, []):
        assert log.lines == ["manager begins", "class begins", "wrapped begins"]
    assert log.lines[3:] == ["wrapped ends", "class ends", "manager ends"]


async def test_lifespans_enclose_each_other_and_the_tasks() -> None:
    log = Log()
    async with living(CAPSULE, [log.lifespan("a"), log.lifespan("b")], [log.background("task")]):
        await trio.testing.wait_all_tasks_blocked()
        log.lines.append("requests")
    assert log.lines == [
        "a begins",
        "b begins",
        "task runs",
        "requests",
        "task stops",
        "b ends",
        "a ends",
    ]


async def fails_to_begin(capsule: Capsule) -> AsyncIterator[None]:
    raise ConnectionRefusedError("no database")
    yield


async def fails_to_end(capsule: Capsule) -> AsyncIterator[None]:
    yield
    raise ConnectionResetError("no database any more")


async def test_a_lifespan_that_cannot_begin() -> None:
    log = Log()
    with pytest.raises(ConnectionRefusedError, match="no database"):
        async with living(CAPSULE, [log.lifespan("a"), fails_to_begin, log.lifespan("b")], []):
            pytest.fail("nobody may ask")
    assert log.lines == ["a begins", "a ends"]


async def test_a_lifespan_that_cannot_end() -> None:
    log = Log()
    with pytest.raises(ConnectionResetError):
        async with living(CAPSULE, [log.lifespan("a"), fails_to_end], []):
            pass
    assert log.lines == ["a begins", "a ends"]


async def test_what_is_raised_within_stays_as_it_is() -> None:
    log = Log()
    with pytest.raises(ZeroDivisionError):
        async with living(CAPSULE, [log.lifespan("a")], [log.background("task")]):
            raise ZeroDivisionError
    assert log.lines[-1] == "a ends"


async def test_cancelling_ends_it() -> None:
    log = Log()
    with trio.CancelScope() as scope:
        async with living(CAPSULE, [log.lifespan("a")], [log.background("task")]):
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert log.lines == ["a begins", "task runs", "task stops", "a ends"]


class Crashing:
    """A task that runs for so many seconds each time, then fails; at the end it returns."""

    def __init__(self, runs: Iterable[float], error: BaseException) -> None:
        self.runs = [*runs]
        self.error = error
        self.starts: list[float] = []

    async def background(self, capsule: Capsule) -> None:
        self.starts.append(trio.current_time())
        if self.runs:
            await trio.sleep(self.runs.pop(0))
            raise self.error


CRASHES: list[tuple[list[float], list[float]]] = [  # seconds of each run, seconds of each start
    ([], [0]),
    ([0, 0, 0, 0], [0, 1, 3, 7, 15]),
    ([0] * 8, [0, 1, 3, 7, 15, 31, 63, 123, 183]),
    ([10, 10], [0, 11, 23]),
    ([0, 0, CALM, 0], [0, 1, 3, 3 + CALM + 1, 3 + CALM + 3]),
]


@pytest.mark.parametrize(("runs", "starts"), CRASHES)
async def test_a_task_that_fails_starts_again(
    runs: list[float], starts: list[float], autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    task = Crashing(runs, ZeroDivisionError("by nobody"))
    begin = trio.current_time()
    async with living(CAPSULE, [], [task.background]):
        await trio.sleep(1000)
    assert [start - begin for start in task.starts] == starts
    assert len(caplog.records) == len(runs)
    for record in caplog.records:
        assert "test_lifespan.Crashing.background (line " in record.getMessage()
        assert "ZeroDivisionError: by nobody" in caplog.text


PANICS = [
    SystemExit(1),
    asyncio.CancelledError(),
    GeneratorExit(),
    BaseExceptionGroup("", [SystemExit(1)]),  # of its own nursery
]


@pytest.mark.parametrize("panic", PANICS, ids=repr)
async def test_exit_in_a_task_does_not_end_the_worker(
    panic: BaseException, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    task = Crashing([0], panic)
    async with living(CAPSULE, [], [task.background]):
        await trio.sleep(10)
    assert len(task.starts) == 2
    assert "starts again in 1 seconds" in caplog.text


async def test_one_task_does_not_disturb_another(autojump_clock: MockClock) -> None:
    log = Log()
    task = Crashing([0, 0], ZeroDivisionError())
    async with living(CAPSULE, [], [task.background, log.background("other")]):
        await trio.sleep(10)
        assert log.lines == ["other runs"]
    assert len(task.starts) == 3


async def test_a_pause_does_not_delay_the_end(autojump_clock: MockClock) -> None:
    task = Crashing([0] * 10, ZeroDivisionError())
    begin = trio.current_time()
    async with living(CAPSULE, [], [task.background]):
        await trio.sleep(100)
    assert trio.current_time() - begin == 100


async def test_a_task_that_fails_when_it_is_stopped_is_not_started_again(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    starts: list[float] = []

    async def fails() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise SystemExit

    async def background(capsule: Capsule) -> None:
        starts.append(trio.current_time())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails)
            nursery.start_soon(trio.sleep_forever)

    async with living(CAPSULE, [], [background]):
        await trio.sleep(10)
    assert len(starts) == 1
    assert "SystemExit" in caplog.text


async def test_interrupting_a_task_is_not_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    # Who was started with & ignores it, and then nobody can have meant it.
    monkeypatch.setattr(signal, "getsignal", lambda _number: signal.default_int_handler)
    task = Crashing([0], KeyboardInterrupt())
    with pytest.raises(BaseExceptionGroup) as interruption:  # it comes on the way
        async with living(CAPSULE, [], [task.background]):
            await trio.sleep_forever()
    assert interruption.group_contains(KeyboardInterrupt)
