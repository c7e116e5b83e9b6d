"""What `pad19 serve` and systemd have to say to each other, with a stand-in for systemd."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from pad19.cli.serve import serve
from support.manager import manager_at
from support.process import COMMAND, PATIENCE, connect_socket, connect_tls, fetch, gemini, serving

PAGE = b"20 text/gemini\r\n# Pad 19\n"


@pytest.fixture
def content(tmp_path: Path) -> Path:
    folder = tmp_path / "content"
    folder.mkdir()
    (folder / "index.gmi").write_text("# Pad 19\n")
    return folder


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Reads what a service tells systemd."""
    with manager_at(str(tmp_path / "notify")) as sock:
        yield sock


def told(manager: socket.socket) -> list[str]:
    return manager.recv(8192).decode().split("\n")


def listening(family: socket.AddressFamily, address: tuple[str, int] | str) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(PATIENCE)
    sock.bind(address)
    sock.listen()
    return sock


# Sockets


def test_sockets_replace_what_is_configured(tmp_path: Path, content: Path) -> None:
    path = tmp_path / "given.sock"
    (tmp_path / "pad19.toml").write_text(f"[server]\nlisten = ['unix:{tmp_path}/configured.sock']\n")
    with ExitStack() as stack:
        given = [
            stack.enter_context(listening(socket.AF_INET, ("127.0.0.1", 0))),
            stack.enter_context(listening(socket.AF_INET6, ("::1", 0))),
            stack.enter_context(listening(socket.AF_UNIX, str(path))),
        ]
        first, second = (sock.getsockname()[:2] for sock in given[:2])
        with serving(tmp_path, home=tmp_path, sockets=given) as server:
            assert server.addresses == [first, second]
            assert f"Listening on 127.0.0.1:{first[1]}, [::1]:{second[1]}, unix:{path}. " in server.err
            for address in (first, second):
                assert fetch(address, gemini(address)).received == PAGE
                assert fetch(address, gemini((address[0], 1965))).status == 53  # it knows its own port
            assert fetch(path, "gemini://localhost/").received == PAGE
            assert not (tmp_path / "configured.sock").exists()
            assert server.stop() == 0
        # They are systemd's: others wait there for the next start.
        assert path.exists()
        for place in (first, second, path):
            connect_socket(place).close()
        with serving(tmp_path, home=tmp_path, sockets=given) as server:
            assert fetch(path, "gemini://localhost/").received == PAGE


@pytest.mark.parametrize("is_alone", [True, False])
def test_addresses_that_only_forwarders_sockets_replace_are_told(
    tmp_path: Path, content: Path, is_alone: bool
) -> None:
    path = tmp_path / "given.sock"
    text = f"[server]\nlisten = ['127.0.0.1:0']\n[[forwarder]]\nlisten = 'unix:{path}'\n"
    (tmp_path / "pad19.toml").write_text(text)
    with ExitStack() as stack:
        given = [stack.enter_context(listening(socket.AF_UNIX, str(path)))]
        if not is_alone:
            given.append(stack.enter_context(listening(socket.AF_INET, ("127.0.0.1", 0))))
        with serving(tmp_path, home=tmp_path, sockets=given) as server:
            assert ("server.listen is not listened on" in server.err) is is_alone
            assert server.stop() == 0


def test_a_client_that_came_first_is_served(tmp_path: Path, content: Path) -> None:
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as given:
        address = given.getsockname()
        with (
            connect_socket(address),
            serving(content, "--certs", str(tmp_path / "c"), home=tmp_path, sockets=[given]),
        ):
            assert fetch(address, gemini(address)).received == PAGE


def test_sockets_that_cannot_be_used_are_a_mistake(
    tmp_path: Path, content: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "abc")
    result = CliRunner().invoke(serve, [str(content), "--certs", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 2
    assert result.stderr == "pad19: LISTEN_FDS is 'abc', but must be a number: start pad19 by systemd\n"


# Messages


def test_the_life_of_a_service(tmp_path: Path, content: Path, manager: socket.socket) -> None:
    (tmp_path / "pad19.toml").write_text("server.listen = ['127.0.0.1:0']\nlimits.grace_s = 120\n")
    with serving(tmp_path, home=tmp_path, environment={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as server:
        port = server.address[1]
        assert told(manager) == ["READY=1", f"STATUS=Serving localhost on 127.0.0.1:{port}"]
        with connect_tls(server.address):
            server.signal(signal.SIGTERM)
            first, status, last = told(manager)
            assert first == "STOPPING=1"
            assert status.startswith("STATUS=Stopping")
            assert last == "EXTEND_TIMEOUT_USEC=125000000"  # whatever TimeoutStopSec= says
        assert server.wait() == 0


def test_nothing_is_ready_before_its_time(tmp_path: Path, manager: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    result = CliRunner(env=environment).invoke(serve, [str(tmp_path / "missing")])
    assert result.exit_code == 2
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        told(manager)


def test_the_watchdog_is_fed(tmp_path: Path, content: Path, manager: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
    arguments = (content, "--certs", str(tmp_path / "c"), "--listen", "127.0.0.1:0")
    with serving(*arguments, home=tmp_path, environment=environment) as server:
        heard = [told(manager)[0] for _ in range(20)]  # while it starts, too
        assert sorted({*heard}) == ["READY=1", "WATCHDOG=1"]
        assert heard.count("READY=1") == 1
        assert server.stop() == 0


# Logs


def test_sigusr1_reopens_the_access_log(tmp_path: Path, content: Path) -> None:
    (tmp_path / "pad19.toml").write_text("server.listen = ['127.0.0.1:0']\nlog.access = 'access.log'\n")
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    with serving(tmp_path, home=tmp_path) as server:
        fetch(server.address, gemini(server.address))
        path.rename(old)
        server.signal(signal.SIGUSR1)
        fetch(server.address, gemini(server.address, "/new"))
        assert server.stop() == 0
    assert "/new" not in old.read_text()
    assert "/new" in path.read_text()


def test_the_journal_is_told_priorities(tmp_path: Path, content: Path) -> None:
    (content / ".meta").write_text("x: 99 no\n")
    reader, writer = os.pipe()
    try:
        found = os.fstat(writer)
        environment = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        arguments = ["serve", str(content), "--certs", str(tmp_path / "certs"), "--listen"]
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            place = f"127.0.0.1:{taken.getsockname()[1]}"
            pid = os.posix_spawn(
                COMMAND[0],
                [*COMMAND, *arguments, place],
                {**os.environ, **environment},
                file_actions=[(os.POSIX_SPAWN_DUP2, writer, 2)],
            )
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
        said = os.read(reader, 8192).decode()
    finally:
        os.close(reader)
        os.close(writer)
    assert said.startswith(f'<3>server.listen: "{place}" cannot be listened on: ')
    assert said.count("\n") == 1
