import errno
import fcntl
import os
import socket
import stat
from pathlib import Path

import pytest

from pad19.service import unix_listener
from pad19.service.unix_listener import BACKLOG, UnixListener
from support.users import unprivileged


def connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(str(path))
    except BaseException:
        sock.close()
        raise
    return sock


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_it_listens_and_leaves_nothing_behind(mode: int, tmp_path: Path) -> None:
    listener = UnixListener.bind(tmp_path / "a.sock", mode)
    assert stat.S_IMODE(listener.path.stat().st_mode) == mode
    with pytest.raises(BlockingIOError):
        listener.socket.accept()
    with connect(listener.path):
        listener.socket.accept()[0].close()
    listener.close()
    listener.close()
    assert [*tmp_path.iterdir()] == []


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    killed = UnixListener.bind(path, 0o600)
    killed.socket.close()
    assert path.is_socket()
    listener = UnixListener.bind(path, 0o600)
    with connect(path):
        listener.close()


def test_the_first_one_keeps_it(tmp_path: Path) -> None:
    first = UnixListener.bind(tmp_path / "a.sock", 0o600)
    with pytest.raises(OSError, match="in use") as caught:
        UnixListener.bind(first.path, 0o600)
    assert caught.value.errno == errno.EADDRINUSE
    with connect(first.path):  # still there
        first.close()


def test_one_that_is_busy_keeps_it_too(tmp_path: Path) -> None:
    first = UnixListener.bind(tmp_path / "a.sock", 0o600)
    waiting = [connect(first.path) for _ in range(BACKLOG + 1)]  # as many as the kernel lets wait
    with pytest.raises(OSError, match="in use"):
        UnixListener.bind(first.path, 0o600)
    for sock in waiting:
        sock.close()
    first.close()


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    path.write_text("letter")
    with pytest.raises(OSError, match="in use"):
        UnixListener.bind(path, 0o600)
    assert path.read_text() == "letter"


def test_what_somebody_else_put_there_is_left_alone(tmp_path: Path) -> None:
    old = UnixListener.bind(tmp_path / "a.sock", 0o600)
    old.path.unlink()
    new = UnixListener.bind(old.path, 0o600)
    old.close()
    with connect(new.path):
        new.close()


def test_who_keeps_the_folder_locked_keeps_nobody_from_listening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_listener, "LOCK_TIMEOUT", 0.05)
    locked = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(locked, fcntl.LOCK_EX)
        listener = UnixListener.bind(tmp_path / "a.sock", 0o600)
        with connect(listener.path):
            listener.close()
    finally:
        os.close(locked)


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.EBADF, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_folder_that_cannot_be_locked(error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS, which wants a file that is open for writing, and on what containers get from outside."""

    def flock(fd: int, operation: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "flock", flock)
    listener = UnixListener.bind(tmp_path / "a.sock", 0o600)
    with connect(listener.path):
        listener.close()


def test_a_folder_that_may_not_be_looked_into() -> None:
    with unprivileged() as folder:
        folder.chmod(0o300)
        listener = UnixListener.bind(folder / "a.sock", 0o600)
        with connect(listener.path):
            listener.close()
        folder.chmod(0o700)


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with pytest.raises(FileNotFoundError):
        UnixListener.bind(folder / "a.sock", 0o600)
    folder.mkdir()
    listener = UnixListener.bind(folder / "a.sock", 0o600)
    listener.path.unlink()
    folder.rmdir()
    listener.close()
    assert listener.socket.fileno() == -1


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        UnixListener.bind(tmp_path / ("a" * 108), 0o600)
    assert [*tmp_path.iterdir()] == []
