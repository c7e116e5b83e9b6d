"""Fixtures for the tests of a capsule's own routes, which pytest finds by itself.

Routes are loaded as the server loads them, once for a run: what a module keeps in its globals, one
test sees of another. Everything else is new for each test: lifespans, rates, and a store in memory.

A test changes the settings of its capsule by a fixture ``pad19_settings`` of its own.

pad19 is imported when a fixture is used, because this module is loaded by every run of pytest here.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from pad19 import Routes
    from pad19.service.config.capsule import Capsule
    from pad19.testing import Client, SyncClient

OPTION = "pad19_capsule"
FILE_NAME = "pad19.toml"


class _Loaded(NamedTuple):
    capsule: "Capsule"
    routes: "Routes"


_NUMBERS = count(1)  # a package of routes has a name that no other one had in this process
_CAPSULES = pytest.StashKey[dict[Path, _Loaded | str]]()  # by the folder; text: why it cannot be tested


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option for the configuration file."""
    parser.addini(
        OPTION,
        "The folder of the capsule for pad19_client, from the folder of this file on. "
        f"Without it: the nearest one with a {FILE_NAME} in it, from the test upwards.",
        default="",
    )


@pytest.fixture
def pad19_settings() -> Mapping[str, Any]:
    """For tests to override: settings beside those of the capsule, or in their place."""
    return {}


@pytest.fixture
def pad19_client(request: pytest.FixtureRequest, pad19_settings: Mapping[str, Any]) -> "Iterator[SyncClient]":
    """Ask the capsule that the test belongs to, within its lifespans, from a plain ``def`` test."""
    from pad19.testing import SyncClient

    with _arguments(request, pad19_settings) as arguments, SyncClient(**arguments) as client:
        yield client


@pytest.fixture
def pad19_async_client(
    request: pytest.FixtureRequest, pad19_settings: Mapping[str, Any]
) -> "Iterator[Client]":
    """The same for ``async def`` tests: lifespans run within ``async with pad19_async_client``."""
    from pad19.testing import Client

    with _arguments(request, pad19_settings) as arguments:
        yield Client(**arguments)


@contextmanager
def _arguments(request: pytest.FixtureRequest, settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    import time

    import trio

    from pad19.store.database import Database
    from pad19.store.sqlite import SQLiteStore

    capsule, routes = _loaded(request)
    database = Database(None, time.time)
    try:
        yield {
            "routes": routes,
            "host": capsule.hosts[0].replace("*.", "www.", 1),
            "hosts": capsule.hosts,
            "settings": {**capsule.settings, **settings},
            "store": SQLiteStore(database),
            "files": capsule.content,
            "lang": capsule.lang,
        }
    finally:
        trio.run(database.aclose)


def _loaded(request: pytest.FixtureRequest) -> _Loaded:
    folder = _folder(request)
    known = request.config.stash.setdefault(_CAPSULES, {})
    if folder not in known:
        known[folder] = _load(folder, f"tested_{next(_NUMBERS)}")
    found = known[folder]
    if isinstance(found, str):
        pytest.fail(found, pytrace=False)
    return found


def _folder(request: pytest.FixtureRequest) -> Path:
    chosen: str = request.config.getini(OPTION)
    if chosen:
        return request.config.rootpath / chosen
    for folder in request.path.parents:
        if (folder / FILE_NAME).exists():
            return folder
    pytest.fail(
        f"there is no {FILE_NAME} at {request.path.parent} or above: "
        f"name the folder that has it as {OPTION} in the configuration of pytest",
        pytrace=False,
    )


def _load(folder: Path, package: str) -> _Loaded | str:
    from pad19.routes.loading.loader import LoadError, load
    from pad19.service.config.load import load as configure
    from pad19.service.config.model import ConfigError

    try:
        config = configure(folder / FILE_NAME)
        capsule = next((one for one in config.capsules if one.routes or one.mount), config.capsules[0])
        return _Loaded(capsule, load(capsule.routes, capsule.mount, package=package).routes)
    except (ConfigError, LoadError) as error:
        return "\n".join(error.problems)
