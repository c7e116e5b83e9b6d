from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from content.capsule import Capsule
from pad19.store.sqlite import open_store
from support.disk import TomorrowsClock, descriptors


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are kept at once, so that a change is noticed by its witnesses or not at all."""
    monkeypatch.setattr("pad19.content.sidecars.time", TomorrowsClock)


@pytest.fixture
async def capsule(tmp_path: Path) -> AsyncIterator[Capsule]:
    root = tmp_path / "content"
    (root / "notes").mkdir(parents=True)
    (root / "old.gmi").write_text("old")
    async with open_store(None) as store:
        before = descriptors()
        yield Capsule(root, store)
        assert descriptors() == before
