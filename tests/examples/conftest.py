import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType

import pytest

from pad19.routes.loading.loader import load
from pad19.routes.naming import package_of
from pad19.store.interface import Store
from pad19.store.sqlite import open_store

CAPSULE = Path(__file__).parents[2] / "capsule"


@pytest.fixture(scope="session")
def example() -> Callable[[str], ModuleType]:
    """The modules of the example routes, as the server loads them."""
    load(CAPSULE / "routes", {}, package="examples")
    return lambda name: sys.modules[f"{package_of('examples')}.{name}"]


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with open_store(None) as store:
        yield store
