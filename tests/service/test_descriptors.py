import resource

import pytest

from pad19.service.descriptors import BESIDES, make_room


class Limits:
    """A process whose limits are just two numbers."""

    def __init__(self, soft: int, hard: int) -> None:
        self.now = (soft, hard)

    def getrlimit(self, _which: int) -> tuple[int, int]:
        return self.now

    def setrlimit(self, _which: int, limits: tuple[int, int]) -> None:
        self.now = limits


@pytest.mark.parametrize(
    ("soft", "hard", "after", "complains"),
    [
        (1024, 1_000_000, 4096 + BESIDES, False),
        (1024, resource.RLIM_INFINITY, 4096 + BESIDES, False),
        (1_000_000, 1_000_000, 1_000_000, False),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY, False),
        (1024, 2048, 2048, True),
        (1024, 1024, 1024, True),
    ],
)
def test_room_is_made(
    soft: int,
    hard: int,
    after: int,
    complains: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = Limits(soft, hard)
    monkeypatch.setattr(resource, "getrlimit", limits.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", limits.setrlimit)
    make_room(4096)
    assert limits.now == (after, hard)
    assert ("LimitNOFILE=" in caplog.text) == complains
