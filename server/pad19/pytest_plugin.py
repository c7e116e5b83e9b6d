"""Fixtures for the tests of a capsule's own routes, which pytest finds by itself.

Routes are loaded as the server loads them, once for a run: what a module keeps in its globals, one
test sees of another. Everything else is new for each test: lifespans, rates, and a store in memory.

A test changes the settings of its capsule by a fixture ``pad19_settings`` of its own, and chooses another
capsule of the file by ``pad19_host``.

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
_CAPSULES = pytest.StashKey[
    dict[tuple[Path, str | None], _Loaded | str]
]()  # by folder and host; text: why it cannot be tested


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
def pad19_host() -> str | None:
    """For tests to override: a host of the capsule that is asked. None: of the first one with routes."""
    return None


@pytest.fixture
def pad19_client(
    request: pytest.FixtureRequest, pad19_settings: Mapping[str, Any], pad19_host: str | None
) -> "Iterator[SyncClient]":
    """Ask the capsule that the test belongs to, within its lifespans, from a plain ``def`` test."""
    from pad19.testing import SyncClient

    with _arguments(request, pad19_settings, pad19_host) as arguments, SyncClient(**arguments) as client:
        yield client


@pytest.fixture
def pad19_async_client(
    request: pytest.FixtureRequest, pad19_settings: Mapping[str, Any], pad19_host: str | None
) -> "Iterator[Client]":
    """The same for ``async def`` tests: lifespans run within ``async with pad19_async_client``."""
    from pad19.testing import Client

    with _arguments(request, pad19_settings, pad19_host) as arguments:
        yield Client(**arguments)


@contextmanager
def _arguments(
    request: pytest.FixtureRequest, settings: Mapping[str, Any], host: str | None
) -> Iterator[dict[str, Any]]:
    import time

    import trio

    from pad19.store.database import Database
    from pad19.store.sqlite import SQLiteStore

    capsule, routes = _loaded(request, host)
    database = Database(None, time.time)
    try:
        yield {
            "routes": routes,
            "host": host or capsule.hosts[0].replace("*.", "www.", 1),
            "hosts": capsule.hosts,
            "settings": {**capsule.settings, **settings},
            "store": SQLiteStore(database),
            "files": capsule.content,
            "lang": capsule.lang,
            "charset": capsule.charset,
            "index": capsule.index,
            "listing": capsule.listing,
            "hidden": capsule.hidden,
            "mimetypes": capsule.mimetypes,
            "titan": capsule.titan is not None,
        }
    finally:
        trio.run(database.aclose)


def _loaded(request: pytest.FixtureRequest, host: str | None) -> _Loaded:
    folder = _folder(request)
    known = request.config.stash.setdefault(_CAPSULES, {})
    if (folder, host) not in known:
        known[folder, host] = _load(folder, host, f"tested_{next(_NUMBERS)}")
    found = known[folder, host]
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


def _load(folder: Path, host: str | None, package: str) -> _Loaded | str:
    from pad19.routes.loading.loader import LoadError, load
    from pad19.service.config.load import load as configure
    from pad19.service.config.model import ConfigError

    file = folder / FILE_NAME
    try:
        config = configure(file)
        if host is None:
            capsule = next((one for one in config.capsules if one.routes or one.mount), config.capsules[0])
        else:
            hosts = {served: one for one in config.capsules for served in one.hosts}
            wild = f"*.{host.partition('.')[2]}"
            if host not in hosts and wild not in hosts:
                return f"pad19_host is {host!r}, but the hosts in {file} are {', '.join(hosts)}"
            capsule = hosts.get(host) or hosts[wild]
        return _Loaded(capsule, load(capsule.routes, capsule.mount, package=package).routes)
    except (ConfigError, LoadError) as error:
        return "\n".join(error.problems)
