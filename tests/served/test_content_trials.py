"""Content that goes away, comes back, or may not be read: whoever can be served still is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from support.capsule_folder import (
    NOT_FOUND,
    UNREACHABLE,
    assert_whole,
    page,
    received,
    reload,
    reload_in_vain,
    slow_download,
    write_page,
)
from support.disk import fill_up, small_disk, unmount
from support.process import serving
from support.waiting import kill_worker

pytestmark = pytest.mark.machine

GONE = "content' cannot be entered (No such file or directory)"
# Root as others are: what has mode 000 is closed to it, too.
ORDINARY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def test_content_that_goes_away_and_comes_back(folder: Path) -> None:
    content, away = folder / "content", folder / "away"
    with serving(folder, home=folder) as server:
        assert received(server.address) == page()
        for _ in range(2):
            before = server.err.count(GONE)
            content.rename(away)
            for path in ("/", "/missing", "/sub/page.gmi"):
                # Not 51: nobody knows whether it is gone.
                assert received(server.address, path) == UNREACHABLE
            assert server.err.count(GONE) == before + 1
            [problem] = reload_in_vain(server)
            assert "there is no such folder" in problem
            kill_worker(server)
            assert received(server.address) == UNREACHABLE
            away.rename(content)
            assert received(server.address) == page()
            assert received(server.address, "/missing") == NOT_FOUND
            reload(server)
        write_page(away, "# Another one\n")
        content.rename(folder / "old")
        away.rename(content)
        assert received(server.address).endswith(b"# Another one\n")
        assert server.stop() == 0


def test_content_that_is_removed_while_it_is_sent(folder: Path) -> None:
    with serving(folder, home=folder) as server, slow_download(server.address) as stream:
        shutil.rmtree(folder / "content")
        assert received(server.address) == UNREACHABLE
        assert_whole(stream)


def test_content_that_may_not_be_read(folder: Path) -> None:
    if os.geteuid() == 0 and not shutil.which(ORDINARY[0]):
        pytest.skip("without setpriv(1), root may read everything")
    content = folder / "content"
    launcher = ORDINARY if os.geteuid() == 0 else []
    with serving(folder, home=folder, launcher=launcher) as server:
        try:
            content.chmod(0)
            for _ in range(3):
                assert received(server.address) == UNREACHABLE
            server.wait_for_err("content' cannot be entered (Permission denied)")
            content.chmod(0o700)
            assert received(server.address) == page()
            (content / "index.gmi").chmod(0)
            assert received(server.address) == NOT_FOUND
            server.wait_for_err("content/' is answered with 51: Permission denied. Let this process read it")
        finally:
            content.chmod(0o700)
        assert server.stop() == 0
        assert server.err.count("cannot be entered") == 1


def test_a_disk_with_content(folder: Path) -> None:
    content = folder / "content"
    (content / "index.gmi").unlink()
    with small_disk(content):
        write_page(content)
        with serving(folder, home=folder) as server:
            assert received(server.address) == page()
            unmount(content)
            assert received(server.address) == NOT_FOUND  # an empty folder like any other
            with small_disk(content):
                write_page(content, "# Another disk\n")
                assert received(server.address).endswith(b"# Another disk\n")
                fill_up(content / "ballast")
                assert received(server.address).endswith(b"# Another disk\n")
            assert server.stop() == 0
