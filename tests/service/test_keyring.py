"""Keys in memory that several processes share."""

import errno
import os

import pytest

from pad19.service import keyring
from pad19.service.keyring import NONE


def test_what_the_first_one_leaves_the_others_find() -> None:
    fd = keyring.make()
    assert not os.get_inheritable(fd)
    assert keyring.take(fd) == b""
    keyring.put(fd, b"secret" * 100_000)
    for _ in range(2):
        assert keyring.take(fd) == b"secret" * 100_000
    keyring.close(fd)


def test_without_such_memory_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    fd = keyring.make()
    assert fd == NONE  # no file on a disk
    keyring.put(fd, b"secret")
    assert keyring.take(fd) == b""
    keyring.close(fd)


def test_without_room_nothing_is_left_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fd = keyring.make()
    write = os.pwrite

    def short(fd: int, data: bytes, offset: int) -> int:
        if offset:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data[:3], offset)

    monkeypatch.setattr(os, "pwrite", short)
    keyring.put(fd, b"secret")
    assert keyring.take(fd) == b""
    keyring.close(fd)
