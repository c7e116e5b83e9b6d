from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pad19.store.interface import Store, StoreError
from pad19.store.sqlite import open_store


class Clock:
    """Unix time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0  # seconds

    def __call__(self) -> float:
        return self.now


def sentence(caught: pytest.ExceptionInfo[StoreError], path: Path) -> str:
    """What a message says behind the name of the file."""
    message = str(caught.value)
    assert message.startswith(f"the store {path} ")
    assert "\n" not in message
    return message.removeprefix(f"the store {path} ")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "store.sqlite3"


@pytest.fixture(params=["in memory", "in a file"])
async def store(request: pytest.FixtureRequest, path: Path, clock: Clock) -> AsyncIterator[Store]:
    async with open_store(path if request.param == "in a file" else None, clock) as store:
        yield store
