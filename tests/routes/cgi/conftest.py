from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.scripts import Lifeline


@pytest.fixture
async def lifeline(tmp_path: Path) -> AsyncIterator[Lifeline]:
    async with Lifeline(tmp_path / "lifeline") as lifeline:
        yield lifeline
