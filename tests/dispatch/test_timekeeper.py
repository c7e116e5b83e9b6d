import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pad19.dispatch.timekeeper import Timekeeper


class Stream:
    def __init__(self) -> None:
        self.aborted: float | None = None

    async def abort(self) -> None:
        await trio.lowlevel.checkpoint()
        self.aborted = trio.current_time()


async def test_each_has_its_own_time(autojump_clock: MockClock) -> None:
    keeper = Timekeeper(10)
    first, second, done, third = (Stream() for _ in range(4))
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        keeper.begin(first)
        await trio.sleep(4)
        keeper.begin(second)
        keeper.begin(done)
        await trio.sleep(1)
        keeper.done(done)
        keeper.done(done)  # which does no harm
        await trio.sleep(30)
        keeper.begin(third)
        await trio.sleep(9.9)
        assert third.aborted is None
        await trio.sleep(0.2)
        nursery.cancel_scope.cancel()
    times = [stream.aborted for stream in (first, second, done, third)]
    assert [time and time - start for time in times] == [10, 14, None, 45]


async def test_nobody_waits_for_one_that_is_done(mock_clock: MockClock) -> None:
    keeper = Timekeeper(10)
    early, late = Stream(), Stream()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        keeper.begin(early)
        await wait_all_tasks_blocked()
        mock_clock.jump(5)
        keeper.done(early)
        keeper.begin(late)
        for seconds, aborted in [(5, False), (4.9, False), (0.2, True)]:
            mock_clock.jump(seconds)
            await wait_all_tasks_blocked()
            assert (late.aborted is not None) is aborted
        nursery.cancel_scope.cancel()
    assert early.aborted is None


async def test_it_need_not_run_before_the_first_begins(autojump_clock: MockClock) -> None:
    keeper = Timekeeper(10)
    stream = Stream()
    keeper.begin(stream)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        await trio.sleep(11)
        nursery.cancel_scope.cancel()
    assert stream.aborted is not None
