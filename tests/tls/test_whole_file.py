import errno
import os
import stat
from pathlib import Path

import pytest

from pad19.tls.whole_file import written_beside


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666])
def test_it_is_whole_before_it_has_its_name(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.crt"
    path.write_bytes(b"old")
    with written_beside(path, b"new", mode) as temporary:
        assert (path.read_bytes(), temporary.read_bytes()) == (b"old", b"new")
        assert stat.S_IMODE(temporary.stat().st_mode) == mode
        assert temporary.name.startswith(".")
        temporary.replace(path)
    assert path.read_bytes() == b"new"
    assert [*tmp_path.iterdir()] == [path]


def test_what_gets_no_name_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyError), written_beside(tmp_path / "a", b"new", 0o600):
        raise KeyError
    assert [*tmp_path.iterdir()] == []


def test_a_part_of_it_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), written_beside(tmp_path / "a", b"new", 0o600):
        pytest.fail("it is not on the disk")
    assert [*tmp_path.iterdir()] == []


def test_an_owner_that_cannot_be_given_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def refuse(_descriptor: int, *owner: int) -> None:
        given.append(owner)
        raise PermissionError

    monkeypatch.setattr(os, "fchown", refuse)
    with written_beside(tmp_path / "a", b"new", 0o600, (1, 2)) as temporary:
        assert temporary.read_bytes() == b"new"
    assert given == [(1, 2)]
