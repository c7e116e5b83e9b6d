import pytest

from pad19.service.restarts import BACK_OFF, DEATHS_WITHIN, FREE_DEATHS, Restarts

NOW = 1000.0


@pytest.mark.parametrize("size", [1, 3])
def test_some_deaths_are_bad_luck_and_more_are_a_pattern(size: int) -> None:
    restarts = Restarts(size)
    delays = [restarts.plan(0, NOW) for _ in range(FREE_DEATHS * size + 5)]
    assert delays == [0.0] * FREE_DEATHS * size + [0.1, 0.2, 0.4, 0.8, 1.6]


def test_nobody_waits_longer_than_that() -> None:
    restarts = Restarts(64)
    delays = [restarts.plan(number % 64, NOW) for number in range(FREE_DEATHS * 64 + 2000)]
    assert delays[-1] == max(delays) == BACK_OFF[1]


def test_old_deaths_are_forgotten() -> None:
    restarts = Restarts(1)
    for times in range(10):
        for _ in range(FREE_DEATHS):
            assert restarts.plan(0, NOW + times * (DEATHS_WITHIN + 1)) == 0.0


def test_each_comes_back_once_when_it_is_time() -> None:
    restarts = Restarts(2)
    for _ in range(2 * FREE_DEATHS):
        restarts.plan(0, NOW)
    assert restarts.plan(1, NOW) == 0.1
    assert restarts.take_due(NOW) == [0]
    assert restarts.take_due(NOW) == []
    assert restarts.take_due(NOW + 0.1) == [1]
    assert restarts.take_due(NOW + 0.1) == []


def test_those_that_are_cancelled_do_not_come() -> None:
    restarts = Restarts(1)
    restarts.plan(0, NOW)
    restarts.cancel()
    assert restarts.take_due(NOW + DEATHS_WITHIN) == []
