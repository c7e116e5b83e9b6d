"""When a change has come to rest, without a file and without a second passing."""

import math

import pytest

from pad19.service.settling import PATIENCE, Settling
from pad19.service.signature import Signatures

QUIET = 0.5  # seconds; adds up without rounding


def state(size: int) -> Signatures:
    return {"pad19.toml": (1, 2, size, 0, 0o100644, 0, 0)}


class Files:
    """What there is to see; None: no news."""

    def __init__(self) -> None:
        self.now: Signatures | None = None
        self.looks = 0

    def look(self) -> Signatures | None:
        self.looks += 1
        return self.now


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def settling(files: Files) -> Settling:
    return Settling(files.look, QUIET)


def test_nothing_has_changed(files: Files, settling: Settling) -> None:
    assert settling.wait(0.0) == math.inf
    assert not settling.is_over(10.0)
    assert files.looks == 0
    settling.begin(10.0)
    assert not settling.is_under_way
    assert settling.wait(10.0) == math.inf
    assert not settling.is_over(20.0)


def test_one_change(files: Files, settling: Settling) -> None:
    files.now = state(1)
    settling.begin(10.0)
    assert settling.is_under_way
    assert settling.wait(10.0) == QUIET
    assert not settling.is_over(10.0 + QUIET / 2)
    assert settling.wait(10.0 + QUIET / 2) == QUIET / 2
    assert settling.wait(20.0) == 0.0
    assert settling.is_over(10.0 + QUIET)
    assert not settling.is_under_way
    assert not settling.is_over(20.0)


@pytest.mark.parametrize("is_told", [False, True])
def test_a_change_goes_on(files: Files, settling: Settling, is_told: bool) -> None:
    """Whether each part of it is told or not: files on a network are looked at now and then."""
    files.now = state(0)
    settling.begin(0.0)
    for step in range(1, 9):
        files.now = state(step)
        if is_told:
            settling.begin(step * QUIET)
        assert not settling.is_over(step * QUIET), step
    assert settling.is_over(9 * QUIET)


def test_a_change_that_never_ends_counts_at_last(files: Files, settling: Settling) -> None:
    ends = []
    for step in range(100):
        now = step * QUIET
        files.now = state(step)
        settling.begin(now)
        if settling.is_over(now):
            ends.append(now)
    assert ends[:3] == [PATIENCE, 2 * PATIENCE + QUIET, 3 * PATIENCE + 2 * QUIET]


def test_a_change_that_is_undone(files: Files, settling: Settling) -> None:
    files.now = state(1)
    settling.begin(0.0)
    files.now = None  # or somebody has read it meanwhile
    assert not settling.is_over(QUIET)
    assert not settling.is_under_way
    files.now = state(1)
    assert not settling.is_over(2 * QUIET)
    settling.begin(3 * QUIET)
    assert settling.is_over(4 * QUIET)
