"""Where the socket goes that tells the status, and how it is found again."""

import hashlib
import logging
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pad19.service.telemetry.status_socket import NotRunning, StatusSocket, ask, open_socket, subjects
from service.telemetry.asking import TEXT, sockets
from support.status import Loop

pytestmark = pytest.mark.usefixtures("places")


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
