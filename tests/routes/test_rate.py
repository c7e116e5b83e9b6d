import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad19.protocol.failure import SlowDown
from pad19.protocol.rate import Rate
from pad19.routes.rate import MAX_VISITORS, RateLimit

REQUESTS = [  # rate, when requests come and how many seconds each is told to wait (0: none)
    ("1/10s", [(0, 0), (0, 10), (5, 5), (9.5, 1), (10, 0), (10, 10)]),
    (
        "3/30s",
        [(0, 0), (0, 0), (0, 0), (0, 10), (9, 1), (10, 0), (10, 10), (40, 0), (40, 0), (40, 0), (40, 10)],
    ),
    ("2/10s", [(0, 0), (3, 0), (3, 2), (5, 0), (5, 5)]),
    ("3/1s", [(0, 0), (0, 0), (0, 0), (0, 1), (1 / 3, 0), (2 / 3, 0), (2 / 3, 1), (1, 0)]),
]


@pytest.mark.parametrize("start", [0, 123_456.789])
@pytest.mark.parametrize(("rate", "requests"), REQUESTS)
def test_a_limit(rate: str, requests: list[tuple[float, int]], start: float) -> None:
    limit = RateLimit(Rate.parse(rate))
    told = []
    for when, _ in requests:
        try:
            limit.count("somebody", start + when)
            told.append((when, 0))
        except SlowDown as failure:
            told.append((when, failure.seconds))
    assert told == requests


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
    # An even pace with a burst of `count`: never more than twice as many in any such time.
    for begin in accepted:
        assert sum(begin <= moment < begin + seconds for moment in accepted) <= 2 * count


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
