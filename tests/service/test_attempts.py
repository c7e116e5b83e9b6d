import pytest

from pad19.service.attempts import RETRY, RETRY_AT_MOST, Attempts

TAKEN = ("another program has it",)
KILLED = "a worker (process {}) is not ready after 60 s, so it was killed".format


@pytest.fixture
def attempts() -> Attempts:
    return Attempts()


def test_what_has_not_failed_is_not_tried_again(attempts: Attempts) -> None:
    assert not attempts.are_due(1e9)
    attempts.begin(again=False)
    attempts.failed(TAKEN, 0.0, costly=False)
    attempts.begin(again=True)
    assert not attempts.are_due(1e9)  # it is under way
    attempts.succeeded()
    assert not attempts.are_due(1e9)


def test_what_costs_little_is_tried_every_few_seconds(attempts: Attempts) -> None:
    now = 100.0
    attempts.begin(again=False)
    for _ in range(100):
        attempts.failed(TAKEN, now, costly=False)
        assert not attempts.are_due(now + RETRY - 0.1)
        now += RETRY
        assert attempts.are_due(now)
        attempts.begin(again=True)


def test_workers_are_started_less_and_less_often(attempts: Attempts) -> None:
    now, times = 0.0, []
    attempts.begin(again=False)
    for _ in range(8):
        attempts.failed(TAKEN, now, costly=True)
        start = now
        while not attempts.are_due(now):
            now += 1
        times.append(now - start)
        attempts.begin(again=True)
    assert times == [RETRY, 2 * RETRY, 4 * RETRY, 8 * RETRY, 16 * RETRY, *[RETRY_AT_MOST] * 3]
    attempts.begin(again=False)  # somebody has changed something
    attempts.failed(TAKEN, now, costly=True)
    assert attempts.are_due(now + RETRY)


def test_the_same_is_said_once(attempts: Attempts) -> None:
    attempts.begin(again=False)
    assert attempts.failed(TAKEN, 0.0, costly=False)
    for _ in range(3):
        attempts.begin(again=True)
        assert not attempts.failed(TAKEN, 0.0, costly=True)
    attempts.begin(again=True)
    assert attempts.failed(("a.key is missing",), 0.0, costly=False)
    attempts.begin(again=True)
    assert attempts.failed(TAKEN, 0.0, costly=False)
    attempts.begin(again=False)  # who asks is told
    assert attempts.failed(TAKEN, 0.0, costly=False)


def test_another_process_makes_no_other_sentence(attempts: Attempts) -> None:
    attempts.begin(again=False)
    assert attempts.failed((KILLED(1),), 0.0, costly=True)
    attempts.begin(again=True)
    assert not attempts.failed((KILLED(4711),), 0.0, costly=True)


def test_what_is_said_after_a_success_is_news(attempts: Attempts) -> None:
    attempts.begin(again=False)
    attempts.failed(TAKEN, 0.0, costly=False)
    attempts.begin(again=True)
    attempts.succeeded()
    attempts.begin(again=True)
    assert attempts.failed(TAKEN, 0.0, costly=False)


def test_it_can_wait(attempts: Attempts) -> None:
    attempts.begin(again=False)
    attempts.failed(TAKEN, 0.0, costly=False)
    attempts.postpone(RETRY)
    assert not attempts.are_due(RETRY)
    assert attempts.are_due(2 * RETRY)
    attempts.postpone(2 * RETRY, 0.5)
    assert attempts.are_due(2 * RETRY + 0.5)
