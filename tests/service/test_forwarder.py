"""``[[forwarder]]``: what may be written, and a worker that has one."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from pad19.service.config.listen import Listen
from pad19.service.config.load import load
from pad19.service.config.model import Config, ConfigError
from support.process import connect_socket, read_rest, serving
from support.server import stdlib_context

pytestmark = pytest.mark.machine

V1 = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 1965\r\n"
V2_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "content").mkdir()
    (tmp_path / "content/index.gmi").write_text("# Pad 19\n")
    return tmp_path


def read(folder: Path, text: str) -> Config:
    path = folder / "pad19.toml"
    path.write_text(text)
    return load(path)


def test_sections_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRONT", "192.0.2.10")
    config = read(
        folder,
        '[[forwarder]]\nlisten = "127.0.0.1:1966"\n'
        'from = ["127.0.0.1", "10.0.0.0/8", "fd00::/8", "${FRONT}"]\n'
        '[[forwarder]]\nlisten = "unix:pad19.sock"\n',
    )
    first, second = config.forwarders
    assert first.listen == Listen(host="127.0.0.1", port=1966)
    assert first.networks == tuple(
        map(ip_network, ("127.0.0.1/32", "10.0.0.0/8", "fd00::/8", "192.0.2.10/32"))
    )
    assert (second.listen, second.networks) == (Listen(path=folder / "pad19.sock"), None)


def test_whom_else_to_listen_to(folder: Path) -> None:
    section = '[[forwarder]]\nlisten = "127.0.0.1:1966"\nfrom = ["127.0.0.1"]\n'
    assert read(folder, "").addresses == read(folder, "").server.addresses != ()
    assert read(folder, section).addresses == ()
    direct = read(folder, f'[server]\nlisten = ["127.0.0.1:1965"]\n{section}')
    assert direct.addresses == (Listen(host="127.0.0.1", port=1965),)


MISTAKES = [  # the section, the one problem
    ("", 'forwarder[1].listen is missing: write for example listen = "127.0.0.1:1966"'),
    (
        'listen = ":1966"',
        'forwarder[1].from is missing: name the forwarder, for example from = ["127.0.0.1"]',
    ),
    ('listen = "unix:s"\nfrom = ["::1"]', "forwarder[1].from is of no use, since UNIX sockets have no"),
    ('listen = "localhost"', 'forwarder[1].listen is "localhost", but must end in a colon and a port'),
    ('listen = ":1"\nfrom = []', "forwarder[1].from is [], but must be a list of addresses and networks"),
    ('listen = ":1"\nfrom = "::1"', 'forwarder[1].from is "::1", but must be a list of addresses and'),
    ('listen = ":1"\nfrom = ["localhost"]', 'forwarder[1].from[1] is "localhost", but must be an IP address'),
    ('listen = ":1"\nfrom = ["fe80::1%eth0"]', 'forwarder[1].from[1] is "fe80::1%eth0", but must be an IP'),
    ('listen = ":1"\nfrom = ["::1", 7]', "forwarder[1].from[2] is 7, but must be an IP address or a network"),
    (
        'listen = ":1"\nfrom = ["10.0.0.1/8"]',
        'forwarder[1].from[1] is "10.0.0.1/8", but must begin with the first address, as '
        '"10.0.0.0/8" does: write for example from = ["127.0.0.1", "10.0.0.0/8"]',
    ),
    (
        'listen = "[::1]:1"\nfrom = ["::1"]\n[server]\nlisten = ["[::1]:1"]',
        "forwarder[1].listen is [::1]:1, which is listened on already: remove it",
    ),
]


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_one_mistake_is_one_problem(folder: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        read(folder, f"[[forwarder]]\n{text}")
    (found,) = refusal.value.problems
    assert found.removeprefix(f"{folder}/pad19.toml: ").startswith(problem)


def test_each_listener_has_its_own_clients(folder: Path) -> None:
    direct, forwarded = folder / "direct", folder / "forwarded"
    read(
        folder,
        f'[server]\nlisten = ["unix:{direct}"]\n[[forwarder]]\nlisten = "unix:{forwarded}"\n'
        '[log]\nformat = "json"\naddresses = "full"\n',
    )
    with serving(folder, home=folder) as server:
        assert f"Listening on unix:{direct}, unix:{forwarded} (for forwarders). Stop" in server.err
        for path, header, port, status in (
            (direct, b"", 1965, 20),
            (direct, V1, 1965, None),  # never guessed
            (forwarded, V1, 1965, 20),
            (forwarded, V1, 7, 53),
            (forwarded, V2_LOCAL, 1965, 20),
            (forwarded, b"", 1965, None),
        ):
            sock = connect_socket(path)
            sock.sendall(header)
            try:
                with stdlib_context().wrap_socket(sock, server_hostname="localhost") as stream:
                    stream.sendall(f"gemini://localhost:{port}/\r\n".encode())
                    assert read_rest(stream).status == status
            except OSError:
                sock.close()
                assert status is None
        records = server.records(5)
        assert server.stop() == 0
    assert [(record["address"], record["status"], record["reason"]) for record in records] == [
        ("unix", 20, ""),
        ("unix", None, "handshake failed: wrong version number"),
        ("192.0.2.1", 20, ""),
        ("192.0.2.1", 53, ""),
        ("unix", None, "bad PROXY header: TLS came without one"),
    ]
