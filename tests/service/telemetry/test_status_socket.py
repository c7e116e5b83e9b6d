import hashlib
import logging
import os
import selectors
import socket
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from pad19.service.telemetry import status_socket
from pad19.service.telemetry.status_socket import (
    MAX_CLIENTS,
    NotRunning,
    StatusSocket,
    ask,
    open_socket,
    subjects,
)
from support.descriptors import no_descriptors
from support.status import Loop
from support.users import NOBODY, unprivileged

TEXT = "all is well\n"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine where nothing runs: no service manager, a user's runtime folder, one for temporary files."""
    for name in ("xdg", "tmp", "etc"):
        (tmp_path / name).mkdir()
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "xdg"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(status_socket, "SYSTEM_FOLDER", tmp_path / "run")
    monkeypatch.setattr(status_socket, "USERS_FOLDER", tmp_path / "users")
    monkeypatch.setattr(status_socket, "TEMPORARY_FOLDERS", (str(tmp_path / "var"),))
    monkeypatch.setattr(status_socket, "PATIENCE", 5.0)
    return tmp_path


@pytest.fixture
def subject(places: Path) -> Path:
    return places / "etc/pad19.toml"


@pytest.fixture
def server(subject: Path) -> Iterator[StatusSocket]:
    found = open_socket(subject)
    assert found
    yield found
    found.close()


def sockets(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.sock"))


def connect(folder: Path) -> socket.socket:
    [name] = sockets(folder)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(5)
    sock.connect(str(folder / name))
    return sock


def is_ready(server: StatusSocket) -> bool:
    """Whether the owner's loop would wake up."""
    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        return bool(selector.select(0))


def read_all(sock: socket.socket) -> bytes:
    parts = []
    while data := sock.recv(65536):
        parts.append(data)
    return b"".join(parts)


# Asking and telling


def test_who_asks_is_told(server: StatusSocket, subject: Path) -> None:
    texts = iter(["one", "two", "", "\udcff é\n"])
    with Loop(server, lambda: next(texts)):
        assert [ask((subject,)), ask((subject,))] == ["one", "two"]
        with pytest.raises(NotRunning, match="closed the connection"):
            ask((subject,))
        assert ask((subject,)) == "\\udcff é\n"


def test_a_long_status(server: StatusSocket, subject: Path) -> None:
    text = "x" * 3_000_000
    with Loop(server, lambda: text):
        assert ask((subject,)) == text


def test_nobody_asks(server: StatusSocket) -> None:
    assert not is_ready(server)
    server.answer(lambda: pytest.fail("nobody asked"))


def test_who_reads_slowly_holds_nobody_up(server: StatusSocket, places: Path) -> None:
    text = "x" * 2_000_000
    with connect(places) as slow, connect(places) as quick:
        server.answer(lambda: text)
        server.answer(lambda: text)
        assert not is_ready(server)  # both have as much as the kernel takes, and the loop may sleep
        received = b""
        while len(received) < len(text):
            received += quick.recv(65536)
            server.answer(lambda: pytest.fail("nobody else asked"))
        assert quick.recv(1) == b""
        assert slow.recv(1) == b"x"


def test_who_leaves_is_forgotten(server: StatusSocket, places: Path) -> None:
    for _ in range(MAX_CLIENTS + 1):
        sock = connect(places)
        server.answer(lambda: "x" * 2_000_000)
        sock.close()
        assert is_ready(server)
        server.answer(lambda: pytest.fail("nobody asked"))
        assert not is_ready(server)


def test_too_many_that_do_not_read(server: StatusSocket, places: Path) -> None:
    text = "x" * 1_000_000
    dead = []
    for _ in range(MAX_CLIENTS + 2):
        dead.append(connect(places))
        server.answer(lambda: text)
    # The first two were given up, in the middle of the text; the others have their places.
    assert [len(read_all(sock)) < len(text) for sock in dead[:2]] == [True, True]
    dead[2].setblocking(False)
    with pytest.raises(BlockingIOError):
        read_all(dead[2])
    server.close()
    for sock in dead:
        sock.close()


def test_who_left_before_being_taken(server: StatusSocket, places: Path) -> None:
    connect(places).close()
    server.answer(lambda: TEXT)
    assert not is_ready(server)


def test_who_asks_when_no_descriptor_is_left(server: StatusSocket, places: Path) -> None:
    [name] = sockets(places)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        with no_descriptors():
            client.connect(str(places / name))
            server.answer(lambda: pytest.fail("it cannot be told"))
            assert client.recv(1) == b""
    assert not is_ready(server)


def test_who_asks_for_what_cannot_be_told(server: StatusSocket, places: Path, subject: Path) -> None:
    def fail() -> str:
        raise ValueError("broken")

    with connect(places) as client:
        with pytest.raises(ValueError, match="broken") as caught:
            server.answer(fail)
        assert client.recv(1) == b""  # though the error is looked at still
        assert caught.type is ValueError
    with Loop(server, lambda: TEXT):
        assert ask((subject,)) == TEXT


# Where


def test_a_place_that_is_ones_own(server: StatusSocket, places: Path) -> None:
    [name] = sockets(places)
    path = places / name
    assert path.parent == places / "xdg/pad19"
    assert len(path.stem) == 16
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    server.close()
    server.close()
    assert sockets(places) == []


def test_the_name_is_the_hash_of_the_path(places: Path) -> None:
    path = b"/srv/caf\xe9/pad19.toml"  # not UTF-8
    server = open_socket(Path(os.fsdecode(path)))
    assert server
    assert sockets(places) == [f"xdg/pad19/{hashlib.sha256(path).hexdigest()[:16]}.sock"]
    server.close()


def test_a_python_without_its_own_hashes(
    server: StatusSocket, subject: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_sha2", "_sha256"):
        monkeypatch.setitem(sys.modules, name, None)
    with Loop(server, lambda: TEXT):
        assert ask((subject,)) == TEXT


PLACES: list[tuple[dict[str, str | None], str]] = [  # the environment, where the socket goes
    ({}, "xdg/pad19"),
    ({"RUNTIME_DIRECTORY": "{}/etc"}, "etc"),
    ({"RUNTIME_DIRECTORY": "{}/etc:{}/tmp"}, "etc"),
    ({"RUNTIME_DIRECTORY": ""}, "xdg/pad19"),
    ({"RUNTIME_DIRECTORY": "etc"}, "xdg/pad19"),
    ({"RUNTIME_DIRECTORY": "{}/none"}, "xdg/pad19"),
    ({"XDG_RUNTIME_DIR": None}, f"tmp/pad19-{os.geteuid()}"),
    ({"XDG_RUNTIME_DIR": "xdg"}, f"tmp/pad19-{os.geteuid()}"),
    ({"XDG_RUNTIME_DIR": "{}/none"}, f"tmp/pad19-{os.geteuid()}"),
    ({"XDG_RUNTIME_DIR": "{}/" + "a" * 90}, f"tmp/pad19-{os.geteuid()}"),  # too long for a socket
]


@pytest.mark.parametrize(("variables", "folder"), PLACES)
def test_places(
    variables: dict[str, str | None],
    folder: str,
    places: Path,
    subject: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (places / ("a" * 90)).mkdir()
    for name, value in variables.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value.replace("{}", str(places)))
    server = open_socket(subject)
    assert server
    assert [Path(name).parent.as_posix() for name in sockets(places)] == [folder]
    assert caplog.messages == []
    with Loop(server, lambda: TEXT):
        assert ask((subject,)) == TEXT
    server.close()


def make_link(folder: Path) -> None:
    (folder.parent / "other").mkdir(mode=0o700)
    folder.symlink_to("other")


def make_open(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o750)


def make_somebody_elses(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    try:
        os.chown(folder, 65534, 65534)
    except PermissionError:
        pytest.skip("only root can give a folder to somebody else")


UNSAFE = [
    (make_link, "somebody else's"),
    (make_open, "others may enter it"),
    (make_somebody_elses, "somebody else's"),
    (Path.touch, "File exists"),
]


@pytest.mark.parametrize(("make", "reason"), UNSAFE)
def test_a_folder_where_others_could_have_been(
    make: Callable[[Path], Any],
    reason: str,
    places: Path,
    subject: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    folder = places / f"tmp/pad19-{os.geteuid()}"
    make(folder)
    assert open_socket(subject) is None
    [message] = caplog.messages
    assert message.startswith(f"`pad19 status` will not work: {folder} cannot be used")
    assert reason in message
    assert sockets(places) == []


def test_nobody_is_asked_in_such_a_folder(
    places: Path, subject: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    server = open_socket(subject)
    assert server
    (places / f"tmp/pad19-{os.geteuid()}").chmod(0o777)
    with Loop(server, lambda: "trap"), pytest.raises(NotRunning, match="no pad19 runs"):
        ask((subject,))
    server.close()


def test_no_place_at_all(
    places: Path, subject: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none() -> str:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(places / "none"))
    assert open_socket(subject) is None
    assert [(entry.levelno, entry.getMessage()) for entry in caplog.records] == [
        (
            logging.WARNING,
            f"`pad19 status` will not work: {places}/none/pad19 cannot be used (No such file or directory)",
        )
    ]
    with pytest.raises(NotRunning):
        ask((subject,))


def test_two_servers_of_one_configuration(
    server: StatusSocket, places: Path, subject: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert open_socket(subject) is None
    assert caplog.messages == [
        f"`pad19 status` will not work: another pad19 serves {subject}, and is the one that it shows"
    ]
    with Loop(server, lambda: TEXT):
        assert ask((subject,)) == TEXT
    other = open_socket(places / "etc/other.toml")
    assert other
    other.close()


def test_after_a_crash(places: Path, subject: Path, caplog: pytest.LogCaptureFixture) -> None:
    (places / "xdg/pad19").mkdir(mode=0o700)
    first = open_socket(subject)
    assert first
    stale = places / sockets(places)[0]
    os.link(stale, stale.with_name("kept"))
    first.close()
    stale.with_name("kept").rename(stale)
    with pytest.raises(NotRunning, match="no pad19 runs"):
        ask((subject,))
    server = open_socket(subject)
    assert server
    assert caplog.messages == []
    with Loop(server, lambda: TEXT):
        assert ask((subject,)) == TEXT
    server.close()


# Looking for it


def test_a_service_is_found_from_a_shell(
    places: Path, subject: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (places / "run").mkdir(mode=0o755)  # as systemd makes it
    with monkeypatch.context() as service:
        service.setenv("RUNTIME_DIRECTORY", str(places / "run"))
        server = open_socket(subject)
    assert server
    with Loop(server, lambda: TEXT):
        assert ask((subject,)) == TEXT
    server.close()


@pytest.mark.parametrize("user", [0, 1000])
def test_nothing_runs(subject: Path, user: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(NotRunning) as caught:
        ask((subject, subject.parent))
    assert (
        str(caught.value)
        == {
            0: f"no pad19 runs for {subject}: name the DIR or the --config that it has",
            1000: f"no pad19 that you may ask runs for {subject}: name the DIR or the --config that it has, "
            "or ask as the user who runs it",
        }[user]
    )


# Root asks


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


def test_a_server_that_hangs(server: StatusSocket, subject: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_socket, "PATIENCE", 0.05)
    with pytest.raises(NotRunning, match=r"^pad19 runs but did not answer in 0\.05 s: look into its log$"):
        ask((subject,))


def test_somebody_elses_server(subject: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)  # others cannot get into ours
    with unprivileged() as folder:
        monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder))
        server = open_socket(subject)
        assert server
        (folder / sockets(folder)[0]).chmod(0)
        with pytest.raises(NotRunning, match=r"\.sock is not for you: ask as root, or as the user who runs"):
            ask((subject,))
        server.close()


def test_a_path_that_is_too_long_is_nobodys(
    places: Path, subject: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/" + "a" * 200)
    with pytest.raises(NotRunning, match="no pad19 runs"):
        ask((subject,))


# What a server is called by

SUBJECTS = [  # DIR, --config, what both are called by, from the likeliest on
    ("with", None, ["with/pad19.toml", "with"]),
    ("./x/../with/", None, ["with/pad19.toml", "with"]),
    ("without", None, ["without", "without/pad19.toml"]),
    ("none", None, ["none", "none/pad19.toml"]),
    ("broken", None, ["broken/pad19.toml", "broken"]),  # a link that leads nowhere
    ("link", None, ["link/pad19.toml", "link"]),
    (".", None, [".", "pad19.toml"]),
    ("with", "other.toml", ["other.toml"]),
    ("none", "x/../other.toml", ["other.toml"]),
]


@pytest.mark.parametrize(("folder", "config", "expected"), SUBJECTS)
def test_subjects(
    folder: str, config: str | None, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("with", "without", "broken"):
        (tmp_path / name).mkdir()
    (tmp_path / "with/pad19.toml").write_text("= broken")
    (tmp_path / "broken/pad19.toml").symlink_to("none")
    (tmp_path / "link").symlink_to("with")
    monkeypatch.chdir(tmp_path)
    found = subjects(Path(folder), Path(config) if config else None)
    assert found == tuple(tmp_path / name for name in expected)


def test_a_file_that_came_or_went_since(places: Path) -> None:
    folder = places / "etc"
    server = open_socket(subjects(folder)[0])
    assert server
    (folder / "pad19.toml").touch()
    assert subjects(folder)[0] == folder / "pad19.toml"
    with Loop(server, lambda: TEXT):
        assert ask(subjects(folder)) == TEXT
    server.close()
