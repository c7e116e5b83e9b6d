from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import titan
from support.capsule_folder import make_folder
from support.manager import manager_at
from support.process import Serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


@pytest.fixture
def manager(folder: Path) -> Iterator[socket.socket]:
    """Reads what a service tells systemd."""
    with manager_at(str(folder / "notify")) as sock:
        yield sock


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Serving]:
    """A server that takes uploads and deletions, and keeps some versions."""
    with titan.served(tmp_path, titan.configuration("delete = true\nfolders = true\nkeep = 3")) as server:
        yield server
