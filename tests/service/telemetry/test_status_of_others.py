"""Root asks for the status of everybody's servers, and is not led astray."""

import hashlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pad19.service.telemetry import status_socket
from pad19.service.telemetry.status_socket import NotRunning, ask
from service.telemetry.asking import TEXT
from support.users import NOBODY

pytestmark = pytest.mark.usefixtures("places")


@pytest.fixture
def theirs(places: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that an ordinary user's servers take, made; root asks."""
    if os.geteuid() != 0:
        pytest.skip("only root may ask everybody")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    return own(places / f"tmp/pad19-{NOBODY}")


def own(folder: Path) -> Path:
    folder.mkdir(parents=True, mode=0o700)
    os.chown(folder, NOBODY, NOBODY)
    return folder


@contextmanager
def telling(folder: Path, subject: Path, user: int = NOBODY) -> Iterator[Path]:
    """A server of a user tells, whose socket is in a folder. Yields its path."""
    path = folder / f"{hashlib.sha256(os.fsencode(subject)).hexdigest()[:16]}.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        os.seteuid(user)
        try:
            sock.listen()  # whoever does that is the one who is there
        finally:
            os.seteuid(0)
        thread = threading.Thread(target=tell_once, args=(sock,))
        thread.start()
        yield path
        sock.shutdown(socket.SHUT_RDWR)
        thread.join()


def tell_once(sock: socket.socket) -> None:
    with suppress(OSError), sock.accept()[0] as client:
        client.sendall(TEXT.encode())


@pytest.mark.parametrize("place", ["tmp/pad19-{}", "var/pad19-{}", "users/{}/pad19"])
def test_root_finds_servers_of_others(place: str, theirs: Path, places: Path, subject: Path) -> None:
    folder = places / place.format(NOBODY)
    if folder != theirs:
        own(folder)
    owners: list[int] = []
    with telling(folder, subject):
        assert ask((subject,), owners.append) == TEXT
    assert owners == [NOBODY]


def open_to_others(folder: Path) -> None:
    folder.chmod(0o750)


def of_another(folder: Path) -> None:
    os.chown(folder, 1, 1)


def under_another_name(folder: Path) -> None:
    folder.rename(folder.with_name("pad19-1"))


def without_a_number(folder: Path) -> None:
    folder.rename(folder.with_name("pad19-x"))


def link(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")
    os.chown(folder, NOBODY, NOBODY, follow_symlinks=False)


@pytest.mark.parametrize("make", [open_to_others, of_another, under_another_name, without_a_number, link])
def test_root_is_not_led_astray(make: Callable[[Path], None], theirs: Path, subject: Path) -> None:
    with telling(theirs, subject):
        make(theirs)
        with pytest.raises(NotRunning, match="no pad19 runs"):
            ask((subject,))


def test_nor_by_a_link_to_somebody_elses_socket(theirs: Path, places: Path, subject: Path) -> None:
    with telling(places, subject, user=0) as path:
        (theirs / path.name).symlink_to(path)
        with pytest.raises(NotRunning, match="no pad19 runs"):
            ask((subject,))


def test_who_tells_for_ever_is_not_listened_to_for_ever(
    theirs: Path, subject: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_socket, "PATIENCE", 0.2)
    stop = threading.Event()

    def tell(sock: socket.socket) -> None:
        with suppress(OSError), sock.accept()[0] as client:
            while not stop.wait(0.05):
                client.sendall(b"x")

    monkeypatch.setattr(sys.modules[__name__], "tell_once", tell)
    with telling(theirs, subject):
        with pytest.raises(NotRunning, match="did not answer"):
            ask((subject,))
        stop.set()
