"""What is bound at the start."""

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path
from typing import Protocol

import pytest

from pad19.service import sockets
from pad19.service.config.listen import Listen
from pad19.service.config.model import ConfigError
from pad19.service.sockets import bind
from support.sockets import close, configured, forwarded
from support.users import unprivileged


def problems(*listen: str) -> list[str]:
    with pytest.raises(ConfigError) as refusal:
        bind(configured(*listen))
    return [*refusal.value.problems]


LISTENING = [  # what is asked for, the addresses that are bound
    (["127.0.0.1:0"], [["127.0.0.1"]]),
    (["[::1]:0"], [["::1"]]),
    (["localhost:0"], [["::1", "127.0.0.1"]]),
    ([":0"], [["::", "0.0.0.0"]]),
    (["[::1]:0", "127.0.0.1:0", "localhost:0"], [["::1"], ["127.0.0.1"], ["::1", "127.0.0.1"]]),
]


@pytest.mark.parametrize(("asked", "expected"), LISTENING)
def test_what_is_bound(asked: list[str], expected: list[list[str]]) -> None:
    bound = bind(configured(*asked))
    try:
        assert [entry.listen.host for entry in bound] == [host for hosts in expected for host in hosts]
        for entry in bound:
            assert entry.socket.getsockname()[:2] == (entry.listen.host, entry.listen.port)
            assert not entry.socket.getblocking()
            assert not os.get_inheritable(entry.socket.fileno())
        left = [entry.listen.port for entry in bound]
        for hosts in expected:  # one port for all the addresses of one name
            ports = {left.pop(0) for _ in hosts}
            assert len(ports) == 1
            assert ports != {0}
    finally:
        close(bound)


def test_connections_inherit_what_saves_time() -> None:
    [entry] = bound = bind(configured("127.0.0.1:0"))
    try:
        with socket.create_connection(entry.socket.getsockname()) as client:
            client.sendall(b"x")  # it is not handed over before
            entry.socket.setblocking(True)
            with entry.socket.accept()[0] as server:
                assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        close(bound)


def test_each_family_has_its_own_socket() -> None:
    [entry] = bound = bind(configured("[::]:0"))
    try:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", entry.listen.port))
    finally:
        close(bound)


def test_a_port_is_free_again_at_once() -> None:
    [entry] = bound = bind(configured("127.0.0.1:0"))
    try:
        with socket.create_connection(entry.socket.getsockname()) as client:
            client.sendall(b"x")
            entry.socket.setblocking(True)
            entry.socket.accept()[0].close()  # first to close: TIME_WAIT is on this side
            assert client.recv(1) == b""
    except ConnectionResetError:
        pass
    finally:
        close(bound)
    close(bind(configured(f"127.0.0.1:{entry.listen.port}")))


# What a machine lacks


class Tcp(Protocol):
    def __call__(self, address: str, port: int, *, shared: bool) -> socket.socket: ...


def without(missing: set[str], error: int, times: int = 10**6) -> tuple[Tcp, list[socket.socket]]:
    """A machine where some addresses fail, so many times; and the sockets it has handed out."""
    real = sockets._tcp
    made: list[socket.socket] = []

    def tcp(address: str, port: int, *, shared: bool) -> socket.socket:
        nonlocal times
        if address in missing and times:
            times -= 1
            raise OSError(error, os.strerror(error))
        # An address of this machine in the place of all of them, and no port that others use.
        made.append(real("127.0.0.1", 0, shared=shared))
        return made[-1]

    return tcp, made


IPV6 = {"::", "::1"}
IPV4 = {"0.0.0.0", "127.0.0.1"}
LACKING = [  # asked for, addresses that fail, the hosts that are bound, or the problem
    ([], IPV6, ["0.0.0.0"]),
    ([], IPV4, ["::"]),
    ([], IPV6 | IPV4, "neither IPv4 nor IPv6"),
    (["localhost:0"], IPV6, ["127.0.0.1"]),
    (["localhost:0"], IPV4, ["::1"]),
    (["localhost:0"], IPV6 | IPV4, '"localhost:0" cannot be listened on: this machine'),
    ([":0"], IPV6, ["0.0.0.0"]),
    (["[::1]:0"], IPV6, '"[::1]:0" cannot be listened on: this machine'),
    (["0.0.0.0:0", "[::]:0"], IPV6, '"[::]:0" cannot be listened on: this machine'),
    (["0.0.0.0:0", "localhost:0"], IPV6, ["0.0.0.0", "127.0.0.1"]),
]


@pytest.mark.parametrize("error", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
@pytest.mark.parametrize(("asked", "missing", "outcome"), LACKING)
def test_a_machine_with_one_family(
    asked: list[str], missing: set[str], outcome: list[str] | str, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tcp, made = without(missing, error)
    monkeypatch.setattr(sockets, "_tcp", tcp)
    if isinstance(outcome, list):
        bound = bind(configured(*asked))
        close(bound)
        assert [entry.listen.host for entry in bound] == outcome
    else:
        [problem] = problems(*asked)
        assert outcome in problem
    assert all(sock.fileno() == -1 for sock in made)


def test_another_port_is_tried_where_one_family_has_it_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    tcp, made = without({"127.0.0.1"}, errno.EADDRINUSE, times=2)
    monkeypatch.setattr(sockets, "_tcp", tcp)
    bound = bind(configured("localhost:0"))
    close(bound)
    assert [entry.listen.host for entry in bound] == ["::1", "127.0.0.1"]
    assert len(made) == 4
    assert all(sock.fileno() == -1 for sock in made)


@pytest.mark.parametrize("port", [0, 1965])
def test_but_not_for_ever(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tcp, made = without({"127.0.0.1"}, errno.EADDRINUSE)
    monkeypatch.setattr(sockets, "_tcp", tcp)
    [problem] = problems(f"localhost:{port}")
    assert "another program has it" in problem
    assert len(made) == (10 if port == 0 else 1)
    assert all(sock.fileno() == -1 for sock in made)


REFUSALS = [  # errno, what is said
    (errno.EACCES, "ports below 1024 need the capability CAP_NET_BIND_SERVICE; choose one above"),
    (
        errno.EADDRINUSE,
        "another program has it; stop that one, or choose another, for example with --listen localhost:1966",
    ),
    (  # also of IPv4 and IPv6, with RestrictAddressFamilies=AF_UNIX in the unit of systemd
        errno.EAFNOSUPPORT,
        "this machine, or the sandbox around pad19, has no such kind of address; leave it out, or have a "
        "socket unit of systemd listen there",
    ),
    (errno.ENOBUFS, "No buffer space available; choose another, for example with --listen localhost:1966"),
]


@pytest.mark.parametrize(("error", "said"), REFUSALS)
def test_what_is_said(error: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_tcp", without({"127.0.0.1"}, error)[0])
    assert problems("127.0.0.1:70") == [f'server.listen: "127.0.0.1:70" cannot be listened on: {said}']


# Sockets with a path


def test_a_unix_socket_comes_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    [entry] = bind(configured(f"unix:{path}"))
    assert entry.listen == Listen(path=path)
    assert stat.S_ISSOCK(path.stat().st_mode)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    entry.close()
    assert not path.exists()
    [entry] = bind(configured(f"unix:{path}"))
    path.unlink()
    entry.close()  # somebody was quicker
    path.touch()
    entry.close()  # twice, when the path may be somebody else's already
    assert path.exists()


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    [entry] = bind(configured(f"unix:{path}"))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    entry.close()


def test_a_live_socket_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    start = f'server.listen: "unix:{path}" cannot be listened on: '
    busy = (
        f"{start}another program has it; stop that one, or choose another, "
        "for example with --listen localhost:1966"
    )
    with socket.socket(socket.AF_UNIX) as live, contextlib.ExitStack() as crowd:
        live.bind(str(path))
        live.listen(0)
        assert problems(f"unix:{path}") == [busy]
        clients = [crowd.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
        for client in clients:
            client.setblocking(False)
        assert clients[-1].connect_ex(str(path)) in {0, errno.EAGAIN}
        assert clients[0].connect_ex(str(path)) == errno.EAGAIN  # nobody accepts, yet it is alive
        assert problems(f"unix:{path}") == [busy]
        with socket.socket(socket.AF_UNIX) as client:
            live.accept()[0].close()
            client.connect(str(path))


def test_what_is_no_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    link = tmp_path / "link"
    path.write_text("text")
    link.symlink_to("nowhere")
    for place in (path, link):
        assert problems(f"unix:{place}") == [
            f'server.listen: "unix:{place}" cannot be listened on: a file is in its place; '
            "move that away, or choose another path"
        ]
    assert path.read_text() == "text"
    assert link.is_symlink()


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing/a.sock", tmp_path / "file/a.sock"):
        [problem] = problems(f"unix:{path}")
        assert problem.endswith("; the folder must exist and be writable for pad19")
    with unprivileged() as folder:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(folder / "a.sock"))
        folder.chmod(0o500)
        for name in ("a.sock", "b.sock"):
            assert problems(f"unix:{folder / name}") == [
                f'server.listen: "unix:{folder / name}" cannot be listened on: Permission denied; '
                "the folder must exist and be writable for pad19"
            ]


def test_somebody_elses_socket_is_taken(tmp_path: Path) -> None:
    with unprivileged() as folder, socket.socket(socket.AF_UNIX) as live:
        path = folder / "a.sock"
        live.bind(str(path))
        live.listen()
        path.chmod(0)
        [problem] = problems(f"unix:{path}")
        assert "another program has it" in problem
        assert path.is_socket()


# All or nothing


def test_all_problems_are_told_and_nothing_stays(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        taken = f"127.0.0.1:{sock.getsockname()[1]}"
        found = problems("127.0.0.1:0", f"unix:{tmp_path}/a.sock", taken, f"unix:{tmp_path}/no/b.sock")
    assert [problem.split('"')[1] for problem in found] == [taken, f"unix:{tmp_path}/no/b.sock"]
    assert not [*tmp_path.iterdir()]


def test_the_second_address_of_a_name_is_taken() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        [problem] = problems(f"localhost:{port}")
    assert f'"localhost:{port}"' in problem
    close(bind(configured(f"[::1]:{port}")))  # the first one was let go


# Forwarders


def test_forwarders_have_sockets_of_their_own(tmp_path: Path) -> None:
    config = forwarded("localhost:0", f"unix:{tmp_path}/s", direct=("127.0.0.1:0",))
    bound = bind(config)
    try:
        first, second = config.forwarders
        assert [entry.forwarder for entry in bound] == [None, first, first, second]
        assert [entry.listen.host for entry in bound] == ["127.0.0.1", "::1", "127.0.0.1", ""]
    finally:
        close(bound)


def test_with_a_forwarder_nobody_else_is_listened_to_unless_that_is_written() -> None:
    bound = bind(forwarded("127.0.0.1:0"))
    try:
        assert [bool(entry.forwarder) for entry in bound] == [True]
    finally:
        close(bound)


def test_a_forwarder_whose_address_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigError) as refusal:
            bind(forwarded(place))
    assert refusal.value.problems == (
        f'forwarder.listen: "{place}" cannot be listened on: '
        "another program has it; stop that one, or choose another",
    )


def test_other_users_can_connect(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    before = os.umask(0o077)
    try:
        bound = bind(configured(f"unix:{path}"))
    finally:
        os.umask(before)
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
    finally:
        close(bound)
