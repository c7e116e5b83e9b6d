from __future__ import annotations

import gc
import logging
import resource
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from types import ModuleType

import pytest

from pad19.service.fleet import Fleet
from support.fleet import FakeChild, FakeOwner
from support.mounting import forget


@pytest.fixture
def owner(caplog: pytest.LogCaptureFixture) -> FakeOwner:
    caplog.set_level(logging.INFO, "pad19.service")
    return FakeOwner()


@pytest.fixture
def fleet(owner: FakeOwner) -> Fleet[FakeChild]:
    return owner.fleet


@pytest.fixture
def restored_process() -> Iterator[None]:
    """A worker changes the collector and the limits of its process; that of the tests gets them back."""
    threshold = gc.get_threshold()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()  # as before: see tests/conftest.py
    gc.set_threshold(*threshold)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def fresh_imports() -> Iterator[None]:
    """Each test is a fresh process, as far as imports of routes are concerned."""
    forget()
    yield
    forget()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What routes say, by ``from said import said``."""
    module = ModuleType("said")
    said: list[str] = []
    module.said = said.append  # type: ignore[attr-defined]  # a module that is made up
    monkeypatch.setitem(sys.modules, "said", module)
    return said
