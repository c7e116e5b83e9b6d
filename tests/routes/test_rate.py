import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad19.protocol.failure import SlowDown
from pad19.protocol.rate import Rate
from pad19.routes.rate import MAX_VISITORS, RateLimit
from support.rates import SCRIPTS


@pytest.mark.parametrize("start", [0, 123_456.789])
@pytest.mark.parametrize(("rate", "script"), SCRIPTS)
def test_a_limit(rate: Rate, script: list[tuple[float, int]], start: float) -> None:
    limit = RateLimit(rate)
    now = start
    for number, (pause, expected) in enumerate(script):
        now += pause
        told = 0
        try:
            limit.count("somebody", now)
        except SlowDown as failure:
            told = failure.seconds
        assert told == expected, f"step {number}"


@given(
    st.integers(1, 20),
    st.integers(1, 60),
    st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=60),
)
def test_who_waits_as_told_is_welcome(count: int, seconds: int, pauses: list[float]) -> None:
    limit = RateLimit(Rate(count, seconds))
    now = 1000.0
    accepted: list[float] = []
    for pause in pauses:
        now += pause
        try:
            limit.count("somebody", now)
        except SlowDown as failure:
            now += max(failure.seconds, 1)
            limit.count("somebody", now)
        accepted.append(now)
    while accepted:  # one window behind the other
        end = accepted[0] + seconds - 1e-6
        assert sum(moment < end for moment in accepted) <= count
        accepted = [moment for moment in accepted if moment >= end]


def test_visitors_do_not_count_for_each_other() -> None:
    limit = RateLimit(Rate(1, 60))
    limit.count("Ada", 0)
    limit.count("Bob", 0)
    with pytest.raises(SlowDown):
        limit.count("Ada", 0)


def test_of_many_visitors_those_are_forgotten_that_asked_first() -> None:
    limit = RateLimit(Rate(2, 60))
    for number in range(MAX_VISITORS):
        limit.count(f"{number}", 0)
    limit.count("0", 0)  # so "1" is now the first one
    limit.count("new", 0)
    limit.count("1", 0)
    limit.count("1", 0)
    with pytest.raises(SlowDown):
        limit.count("1", 0)
    with pytest.raises(SlowDown):
        limit.count("0", 0)
