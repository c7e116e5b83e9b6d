"""What counts as another state of a file."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pad19.service.signature import signatures
from support.users import NOBODY


def allow(path: Path) -> None:
    path.chmod(0o640)


def give_away(path: Path) -> None:
    try:
        os.chown(path, NOBODY, -1)
    except PermissionError:
        pytest.skip("only root can give a file to somebody else")


def give_to_a_group(path: Path) -> None:
    groups = {*os.getgroups(), NOBODY} - {path.stat().st_gid}
    try:
        os.chown(path, -1, min(groups))
    except PermissionError:
        pytest.skip("this user has one group")


def write(path: Path) -> None:
    path.write_text("longer")


def touch(path: Path) -> None:
    os.utime(path, ns=(0, 1))


def replace(path: Path) -> None:
    status = path.stat()
    new = path.with_name("new")
    new.write_bytes(path.read_bytes())
    new.chmod(status.st_mode)
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
    new.replace(path)


CHANGES = [allow, give_away, give_to_a_group, write, touch, replace, Path.unlink]


@pytest.mark.parametrize("change", CHANGES)
def test_changes(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "a.key"
    path.write_text("key")
    path.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to("a.key")
    before = signatures([path, link])
    assert signatures([path, link]) == before
    change(path)
    after = signatures([path, link])
    assert [name for name in before if after[name] != before[name]] == [*before]


def back_up(path: Path) -> None:
    path.with_name("backup").hardlink_to(path)


def read(path: Path) -> None:
    path.read_text()


@pytest.mark.parametrize("deed", [back_up, read])
def test_what_changes_nothing(tmp_path: Path, deed: Callable[[Path], None]) -> None:
    path = tmp_path / "a.key"
    path.write_text("key")
    before = signatures([path])
    deed(path)
    assert signatures([path]) == before
