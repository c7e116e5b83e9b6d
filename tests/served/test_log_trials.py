"""A log whose disk is full, or gone.

There is a sentence that says so, and everybody is served. When the disk is well again, so is the log,
without a restart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.capsule_folder import configure, page, received, reload, reload_in_vain
from support.disk import fill_up, read_only, small_disk, unmount
from support.process import Serving, serving
from support.waiting import wait_until

pytestmark = pytest.mark.machine

FULL = "cannot be written (No space left on device), lines wait"


@contextmanager
def logging_to_a_disk(folder: Path, log: str = "") -> Iterator[tuple[Serving, Path]]:
    """A server whose ``access.log`` is on a small disk. ``log``: what else is said of the log."""
    disk = folder / "log"
    disk.mkdir()
    with small_disk(disk):
        configure(folder, log=f"access = '{disk}/access.log'\n{log}")
        with serving(folder, home=folder) as server:
            yield server, disk


def test_a_log_on_a_full_disk(folder: Path) -> None:
    with logging_to_a_disk(folder, "format = 'json'") as (server, disk):
        fill_up(disk / "ballast")
        lines = 5
        assert [received(server.address) for _ in range(lines)] == [page()] * lines
        server.wait_for_err(FULL)
        assert received(server.address) == page()
        (disk / "ballast").unlink()
        log = disk / "access.log"
        wait_until(lambda: log.read_text().count("\n"), lines + 1)  # those that have waited, too
        for line in log.read_text().splitlines():
            assert json.loads(line)["status"] == 20
        assert server.stop() == 0
        assert server.err.count(FULL) == 1
        assert "lost" not in server.err


def test_reloads_and_a_stop_with_a_full_disk(folder: Path) -> None:
    with logging_to_a_disk(folder) as (server, disk):
        fill_up(disk / "ballast")
        assert received(server.address) == page()
        server.wait_for_err(FULL)
        reload(server)
        server.wait_for_err("access log: 1 line lost, the disk")  # with the old worker
        assert received(server.address) == page()
        server.wait_for_err(FULL, 2)
        assert server.stop() == 0
        assert server.err.count("access log: 1 line lost, the disk") == 2


def test_a_log_on_a_disk_that_goes_away(folder: Path) -> None:
    with logging_to_a_disk(folder) as (server, disk):
        assert received(server.address) == page()
        with read_only(disk):
            [problem] = reload_in_vain(server)
            assert 'access.log", but it cannot be opened (Read-only file system)' in problem
            assert received(server.address) == page()
        unmount(disk)
        log = disk / "access.log"  # in the folder below
        wait_until(lambda: received(server.address) == page() and log.exists())
        reload(server)
        assert received(server.address) == page()
        assert server.stop() == 0
    assert log.read_text().count("\n") >= 2
