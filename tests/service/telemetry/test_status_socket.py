"""A server tells its status to whoever asks."""

import socket
import tempfile
from pathlib import Path

import pytest

from pad19.service.telemetry import status_socket
from pad19.service.telemetry.status_socket import MAX_CLIENTS, NotRunning, StatusSocket, ask, open_socket
from service.telemetry.asking import TEXT, connect, read_all, sockets
from support.descriptors import no_descriptors
from support.status import Loop
from support.users import unprivileged
from support.waiting import is_readable

pytestmark = pytest.mark.usefixtures("places")


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
    assert not is_readable(server)
    server.answer(lambda: pytest.fail("nobody asked"))


def test_who_reads_slowly_holds_nobody_up(server: StatusSocket, places: Path) -> None:
    text = "x" * 2_000_000
    with connect(places) as slow, connect(places) as quick:
        server.answer(lambda: text)
        server.answer(lambda: text)
        assert not is_readable(server)  # both have as much as the kernel takes, and the loop may sleep
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
        assert is_readable(server)
        server.answer(lambda: pytest.fail("nobody asked"))
        assert not is_readable(server)


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
    assert not is_readable(server)


def test_who_asks_when_no_descriptor_is_left(server: StatusSocket, places: Path) -> None:
    [name] = sockets(places)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        with no_descriptors():
            client.connect(str(places / name))
            server.answer(lambda: pytest.fail("it cannot be told"))
            assert client.recv(1) == b""
    assert not is_readable(server)


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
