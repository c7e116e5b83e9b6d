import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pad19.dispatch.limits.buckets import BUCKET
from pad19.dispatch.limits.rate_limit import RateLimit
from pad19.dispatch.limits.shared_counts import SharedCounts, prepare, size
from pad19.protocol.rate import Rate
from support.clock import Clock
from support.rates import SCRIPTS

ADA, BOB = "192.0.2.1", "192.0.2.2"
COLUMNS = 4


def area() -> bytearray:
    buffer = bytearray(size(COLUMNS))
    prepare(buffer)
    return buffer


def limits(rate: Rate, clock: Clock, workers: int, buffer: bytearray | None = None) -> list[RateLimit]:
    """One for each worker; ``buffer`` None: of a server with a single one, which shares nothing."""
    if buffer is None:
        return [RateLimit(rate, clock=clock)]
    return [
        RateLimit(rate, SharedCounts(buffer, COLUMNS, number, worker=number, workers=workers), clock)
        for number in range(workers)
    ]


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize(("rate", "script"), SCRIPTS)
def test_a_rate(rate: Rate, script: list[tuple[float, int]], workers: int) -> None:
    clock = Clock()
    those = limits(rate, clock, workers, area() if workers else None)
    for number, (pause, told) in enumerate(script):
        clock.advance(pause)
        assert those[number % len(those)].take(ADA) == told, f"step {number}"


def test_each_group_has_its_own() -> None:
    limit = RateLimit(Rate(1, 10), clock=Clock())
    assert [limit.take(group) for group in (ADA, BOB, "", ADA, BOB, "")] == [0, 0, 0, 10, 10, 10]


@pytest.mark.parametrize("seconds", range(1, 10))
def test_who_waits_for_as_long_as_told_is_let_in(seconds: int) -> None:
    """However often they asked too early."""
    clock = Clock(0.123)
    limit = RateLimit(Rate(5, 10), clock=clock)
    assert [limit.take(ADA) for _ in range(5)] == [0] * 5
    clock.advance(seconds + 0.0004)
    told = {limit.take(ADA) for _ in range(1000)}
    assert told == {10 - seconds}
    clock.advance(told.pop())
    assert limit.take(ADA) == 0


def test_a_clock_that_stands_still_lets_in_so_many() -> None:
    limit = RateLimit(Rate(1_000, 1), clock=Clock(0))
    assert [limit.take(ADA) for _ in range(1_002)] == [0] * 1_000 + [1, 1]


def test_a_clock_that_goes_backwards_does_no_lasting_harm() -> None:
    clock = Clock()
    limit = RateLimit(Rate(1, 10), clock=clock)
    assert limit.take(ADA) == 0
    clock.advance(-500)
    assert limit.take(ADA) == 0
    assert limit.take(ADA) == 10
    clock.advance(10)
    assert limit.take(ADA) == 0


def test_a_window_of_a_longer_rate_is_forgotten_after_a_reload() -> None:
    clock, buffer = Clock(), area()
    assert limits(Rate(1, 86_400), clock, 2, buffer)[0].take(ADA) == 0
    after = limits(Rate(1, 10), clock, 2, buffer)
    assert [limit.take(ADA) for limit in after] == [0, 10]


def test_a_successor_goes_on_where_its_predecessor_stopped() -> None:
    clock, buffer = Clock(), area()
    for _ in range(3):
        assert limits(Rate(3, 10), clock, 2, buffer)[1].take(ADA) == 0
    assert [limit.take(ADA) for limit in limits(Rate(3, 10), clock, 2, buffer)] == [10, 10]


@pytest.mark.parametrize("fewer", [1, 2])
def test_another_number_of_workers(fewer: int) -> None:
    """Who has less to read knows less, and nothing breaks."""
    clock, buffer = Clock(), area()
    assert limits(Rate(1, 10), clock, 4, buffer)[fewer - 1].take(ADA) == 0
    assert limits(Rate(1, 10), clock, fewer, buffer)[0].take(ADA) == 10
    assert limits(Rate(1, 10), clock, 4, buffer)[3].take(ADA) == 10


Visits = st.lists(
    st.tuples(st.sampled_from([0, 0, 0.4, 1, 3, 11]), st.integers(0, 2), st.sampled_from("abc")), max_size=80
)


@settings(deadline=None)
@given(Visits, st.sampled_from([Rate(1, 1), Rate(2, 3), Rate(5, 10)]))
def test_workers_count_together(visits: list[tuple[float, int, str]], rate: Rate) -> None:
    clock = Clock()
    those = limits(rate, clock, 3, area())
    windows: dict[str, tuple[int, int]] = {}  # group to begin and count
    for pause, worker, group in visits:
        clock.advance(pause)
        begin, count = windows.get(group, (0, 0))
        age = (clock() - begin) / 1e9
        if age >= rate.seconds:
            begin, count, age = clock(), 0, 0
        told = those[worker].take(group)
        if count < rate.count:
            windows[group] = (begin, count + 1)
            assert told == 0
        else:
            assert told - 1 < rate.seconds - age <= told


# Full buckets


def neighbours(limit: RateLimit, count: int) -> list[str]:
    """Groups of one bucket."""
    first, _ = limit._place(ADA)
    found = [ADA]
    number = 0
    while len(found) < count:
        group = f"neighbour {number}"
        if limit._place(group)[0] == first:
            found.append(group)
        number += 1
    return found


def test_a_full_bucket_forgets_who_came_least_often() -> None:
    limit = RateLimit(Rate(3, 10), clock=Clock())
    groups = neighbours(limit, BUCKET + 2)
    for group in groups[:BUCKET]:
        assert [limit.take(group) for _ in range(3 if group != groups[4] else 2)][-1] == 0
    assert limit.take(groups[BUCKET]) == 0  # displaces groups[4]
    assert limit.take(groups[BUCKET + 1]) == 0  # displaces that one
    for group in groups[:BUCKET]:
        if group != groups[4]:
            assert limit.take(group) == 10
    assert [limit.take(groups[4]) for _ in range(4)] == [0, 0, 0, 10]


def test_a_full_bucket_forgets_windows_that_are_over_first() -> None:
    clock = Clock()
    limit = RateLimit(Rate(3, 10), clock=clock)
    groups = neighbours(limit, BUCKET + 1)
    for _ in range(3):
        limit.take(groups[0])
    clock.advance(9)
    for group in groups[1:BUCKET]:
        limit.take(group)
    clock.advance(1)
    limit.take(groups[BUCKET])
    assert [limit.take(group) for group in groups[1:] for _ in range(3)][2::3] == [9] * (BUCKET - 1) + [10]


def test_a_new_window_does_not_begin_with_the_count_of_another() -> None:
    limit = RateLimit(Rate(9, 10), clock=Clock())
    groups = neighbours(limit, BUCKET + 1)
    for group in groups[:BUCKET]:
        for _ in range(5):
            limit.take(group)
    assert [limit.take(groups[BUCKET]) for _ in range(10)] == [0] * 9 + [10]


def test_a_flood_does_not_hide_who_comes_too_often() -> None:
    limit = RateLimit(Rate(5, 10), clock=Clock())
    for _ in range(5):
        assert limit.take(ADA) == 0
    for number in range(100_000):
        assert limit.take(f"2001:0db8:{number >> 16:04x}:{number & 0xFFFF:04x}::/64") == 0
    assert limit.take(ADA) == 10
    assert limit.take("honest") == 0
