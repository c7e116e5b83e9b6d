"""Files that replace others, on disks that fail late; the rest is tested with uploads."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pad19.content import inodes
from pad19.content.file_tree import FileTree, Place, Quota
from support.disk import descriptors

PLACE = Place((), "a.txt")


@pytest.fixture
def tree(tmp_path: Path) -> FileTree:
    (tmp_path / "content").mkdir()
    return FileTree(str(tmp_path / "content"), tmp_path / "locks", keep=5)


def put(tree: FileTree, data: bytes, *quotas: Quota) -> None:
    draft = tree.draft(PLACE, len(data), quotas=quotas)
    try:
        draft.write(data)
        draft.publish()
    finally:
        draft.close()


def failing(function: Callable[..., Any], fails: Callable[..., bool], number: int) -> Callable[..., Any]:
    """The same, but some calls do nothing and fail."""

    def call(*arguments: Any, **options: Any) -> Any:
        if fails(*arguments):
            raise OSError(number, os.strerror(number))
        return function(*arguments, **options)

    return call


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EROFS])
def test_versions_that_cannot_be_removed_keep_nobody_from_storing(
    tree: FileTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for data in (b"1" * 10, b"2" * 10, b"3" * 10):
        put(tree, data)
    oldest, newer = sorted((tmp_path / "content/.titan/a.txt").iterdir())
    monkeypatch.setattr(os, "unlink", failing(os.unlink, lambda path, *_: path == oldest, number))
    put(tree, b"4" * 10, Quota((), 30))
    assert (tmp_path / "content/a.txt").read_bytes() == b"4" * 10
    assert oldest.exists()
    assert not newer.exists()  # in its place


def test_a_disk_that_cannot_be_looked_over_keeps_nobody_from_storing(
    tree: FileTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tree, b"1" * 10)
    path = tmp_path / "content/a.txt"

    def is_new(looked: object, *_: object) -> bool:
        return looked == path and path.read_bytes() != b"1" * 10

    monkeypatch.setattr(os, "stat", failing(os.stat, is_new, errno.EIO))
    monkeypatch.setattr(os, "lstat", failing(os.lstat, is_new, errno.EIO))
    put(tree, b"2" * 10, Quota((), 30))
    assert path.read_bytes() == b"2" * 10


@pytest.mark.parametrize("has_names", [False, True])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_draft_whose_file_fails_when_it_is_closed(
    tree: FileTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, has_names: bool
) -> None:
    """As on NFS, which writes then."""
    if has_names:
        monkeypatch.setattr(inodes, "_O_TMPFILE", 0)
    before = descriptors()
    quota = Quota((), 10)
    close = os.close
    late: set[int] = set()

    def closing(fd: int) -> None:
        close(fd)
        if fd in late:
            late.remove(fd)
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "close", closing)
    draft = tree.draft(PLACE, 10, quotas=[quota])
    draft.write(b"12345")
    late.add(draft._fd)
    draft.close()
    assert not late
    assert descriptors() == before
    assert [*(tmp_path / "content").iterdir()] == []
    monkeypatch.undo()
    put(tree, b"x" * 10, quota)  # there is room for it
