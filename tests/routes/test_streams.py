import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pad19.protocol.response import Stream
from pad19.routes.streams import CLOSE_TIME, Streamed, stream
from support.waiting import wait_until


async def started(body: Streamed, threads: int = 1) -> Streamed:
    await body.start("route /x, mine.x", trio.CapacityLimiter(threads))
    return body


class Witness:
    """A generator that tells what happens to it."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def generator(self) -> AsyncIterator[str]:
        try:
            for number in range(3):
                self.seen.append(f"{number}")
                yield f"{number}"
        except trio.Cancelled:
            self.seen.append("cancelled")
            raise
        except GeneratorExit:
            self.seen.append("left")
            raise
        finally:
            self.seen.append("closed")

    async def waiting(self) -> AsyncIterator[str]:
        try:
            yield "first"
            await trio.sleep_forever()
        finally:
            self.seen.append("closed")

    def in_thread(self) -> Iterator[str]:
        try:
            for number in range(3):
                self.seen.append("main" if threading.current_thread() is threading.main_thread() else "other")
                yield f"{number}"
        finally:
            self.seen.append("closed")


@pytest.fixture
def witness() -> Witness:
    return Witness()


async def test_it_is_a_stream(witness: Witness) -> None:
    assert isinstance(stream(witness.generator()), Stream)


async def test_nothing_is_made_before_it_is_wanted(witness: Witness) -> None:
    body = await started(stream(witness.generator()))
    assert witness.seen == ["0"]
    assert await anext(body) == b"0"
    assert witness.seen == ["0"]
    assert await anext(body) == b"1"
    assert witness.seen == ["0", "1"]
    await body.aclose()
    assert witness.seen == ["0", "1", "left", "closed"]
    await body.aclose()  # twice is once
    assert witness.seen == ["0", "1", "left", "closed"]
    with pytest.raises(StopAsyncIteration):
        await anext(body)


async def test_starting_twice_is_starting_once(witness: Witness) -> None:
    body = await started(await started(stream(witness.generator())))
    assert [chunk async for chunk in body] == [b"0", b"1", b"2"]


async def test_the_end_is_reached(witness: Witness) -> None:
    body = await started(stream(witness.generator()))
    assert [chunk async for chunk in body] == [b"0", b"1", b"2"]
    await body.aclose()
    assert witness.seen == ["0", "1", "2", "closed"]


async def test_closing_before_it_starts(witness: Witness) -> None:
    await stream(witness.generator()).aclose()
    await stream(witness.in_thread()).aclose()
    assert witness.seen == []


async def test_it_is_cancelled_while_it_waits(witness: Witness) -> None:
    body = await started(stream(witness.waiting()))
    assert await anext(body) == b"first"
    async with trio.open_nursery() as nursery:

        async def ask_for_more() -> None:
            await anext(body)

        nursery.start_soon(ask_for_more)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert witness.seen == ["closed"]
    await body.aclose()


async def test_a_start_that_is_cancelled_closes(autojump_clock: MockClock) -> None:
    sender, receiver = trio.open_memory_channel[str](0)
    with trio.move_on_after(1) as deadline:
        await started(stream(receiver))
    assert deadline.cancelled_caught
    with pytest.raises(trio.BrokenResourceError):  # nobody is there any more
        await sender.send("x")


async def test_a_generator_in_threads(witness: Witness) -> None:
    body = await started(stream(witness.in_thread()))
    assert await anext(body) == b"0"
    assert await anext(body) == b"1"
    await body.aclose()
    assert witness.seen == ["other", "other", "closed"]


async def test_threads_come_from_the_pool() -> None:
    threads = trio.CapacityLimiter(2)
    borrowed: list[int] = []

    def chunks() -> Iterator[str]:
        for _ in range(2):
            borrowed.append(threads.borrowed_tokens)
            yield "x"

    body = stream(chunks())
    await body.start("", threads)
    assert [chunk async for chunk in body] == [b"x", b"x"]
    assert borrowed == [1, 1]


async def test_empty_chunks_are_left_out() -> None:
    body = await started(stream(iter(["", "a", "", "", "b", ""])))
    assert [chunk async for chunk in body] == [b"a", b"b"]


async def test_what_is_iterated_is_closed_and_not_what_can_be(witness: Witness) -> None:
    class Chunks:
        def __aiter__(self) -> AsyncIterator[str]:
            return witness.generator()

    body = await started(stream(Chunks()))
    await body.aclose()
    assert witness.seen == ["0", "left", "closed"]


async def test_a_thread_that_is_left_alone_is_not_waited_for(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = threading.Event()
    closed = threading.Event()

    def chunks() -> Iterator[str]:
        try:
            yield "first"
            go_on.wait()
            yield "second"
        finally:
            closed.set()

    body = await started(stream(chunks()))
    assert await anext(body) == b"first"
    with trio.move_on_after(1) as deadline:
        await anext(body)
    assert deadline.cancelled_caught
    left = trio.current_time()
    await body.aclose()
    assert trio.current_time() == left
    assert not caplog.records
    assert not closed.is_set()
    del body
    go_on.set()
    assert await trio.to_thread.run_sync(closed.wait, 10)


VISITOR: ContextVar[str] = ContextVar("visitor", default="nobody")


async def test_the_thread_that_is_left_alone_closes_in_its_own_context(
    caplog: pytest.LogCaptureFixture,
) -> None:
    entered, go_on, closed = threading.Event(), threading.Event(), threading.Event()
    seen = []

    def chunks() -> Iterator[str]:
        try:
            entered.set()
            go_on.wait()
            yield "first"
        finally:
            seen.append(VISITOR.get())
            closed.set()
            raise ZeroDivisionError

    VISITOR.set("Ada")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(started, stream(chunks()))
        assert await trio.to_thread.run_sync(entered.wait, 10)
        nursery.cancel_scope.cancel()
    go_on.set()
    assert await trio.to_thread.run_sync(closed.wait, 10)
    assert seen == ["Ada"]
    wait_until(lambda: caplog.messages, ["route /x, mine.x: its stream failed when it was closed"])


async def test_a_thread_that_comes_too_late_begins_nothing(witness: Witness) -> None:
    body = stream(witness.in_thread())
    limiter = trio.CapacityLimiter(1)
    async with limiter:
        with trio.move_on_after(0.01):
            await body.start("route /x, mine.x", limiter)
            raise AssertionError
    assert witness.seen == []


@pytest.mark.parametrize("chunks", [["a", "b"], ("a", "b"), {"a": 1, "b": 2}, iter(["a", "b"])])
async def test_whatever_can_be_iterated(chunks: Iterable[str]) -> None:
    body = await started(stream(chunks))
    assert [chunk async for chunk in body] == [b"a", b"b"]


@pytest.mark.parametrize("chunks", ["text", b"bytes", None, 5])
def test_what_needs_no_stream(chunks: Any) -> None:
    kind = type(chunks).__name__
    with pytest.raises(TypeError, match=f"^stream takes an iterable of str or bytes, not {kind}$"):
        stream(chunks)


async def test_an_error_on_the_way_is_raised() -> None:
    async def chunks() -> AsyncIterator[str]:
        yield "x"
        raise ZeroDivisionError

    body = await started(stream(chunks()))
    assert await anext(body) == b"x"
    with pytest.raises(ZeroDivisionError):
        await anext(body)


async def never_ends() -> AsyncIterator[str]:
    try:
        yield "x"
    finally:
        await trio.sleep_forever()


async def fails_in_the_end() -> AsyncIterator[str]:
    try:
        yield "x"
    finally:
        raise ZeroDivisionError


async def exits_in_the_end() -> AsyncIterator[str]:
    try:
        yield "x"
    finally:
        raise SystemExit


CLEANUPS: list[tuple[Callable[[], AsyncIterator[str]], float, str]] = [
    (never_ends, CLOSE_TIME, "route /x, mine.x: its stream did not close within 5 seconds"),
    (fails_in_the_end, 0, "route /x, mine.x: its stream failed when it was closed"),
    (exits_in_the_end, 0, "route /x, mine.x: its stream failed when it was closed"),
]


@pytest.mark.parametrize(("make", "seconds", "message"), CLEANUPS)
async def test_cleaning_up_harms_nobody_else(
    make: Callable[[], AsyncIterator[str]],
    seconds: float,
    message: str,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = await started(stream(make()))
    start = trio.current_time()
    with trio.CancelScope(shield=True):
        await body.aclose()
    assert trio.current_time() - start == seconds
    assert [record.getMessage() for record in caplog.records] == [message]
    assert caplog.records[0].levelno >= logging.WARNING
