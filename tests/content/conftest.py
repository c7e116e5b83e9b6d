import pytest

from support.disk import TomorrowsClock


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are kept at once, so that a change is noticed by its witnesses or not at all."""
    monkeypatch.setattr("pad19.content.sidecars.time", TomorrowsClock)
