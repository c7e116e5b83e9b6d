from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import titan
from support.capsule_folder import make_folder
from support.process import PATIENCE, Serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


@pytest.fixture
def manager(folder: Path) -> Iterator[socket.socket]:
    """Reads what a service tells systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.bind(str(folder / "notify"))
        yield sock


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Serving]:
    """A server that takes uploads and deletions, and keeps some versions."""
    with titan.served(tmp_path, titan.configuration("delete = true\nfolders = true\nkeep = 3")) as server:
        yield server
