import json
import os
import re
import signal
import socket
import ssl
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from pad19.cli.serve import serve
from pad19.tls.certificate import load
from pad19.tls.certificate_folder import files
from pad19.tls.making import make
from support.process import (
    Serving,
    command,
    connect_socket,
    connect_tls,
    fetch,
    fingerprint,
    gemini,
    read_rest,
    serving,
)

pytestmark = pytest.mark.machine

LARGE = 32 * 1024 * 1024  # bytes: more than the kernel's buffers take
HEADER = b"20 application/octet-stream\r\n"
PAGE = b"20 text/gemini\r\n# Pad 19\n"


@pytest.fixture
def content(tmp_path: Path) -> Path:
    folder = tmp_path / "content"
    folder.mkdir()
    (folder / "index.gmi").write_text("# Pad 19\n")
    with (folder / "large.bin").open("wb") as file:
        file.truncate(LARGE)
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)


def write(folder: Path, text: str) -> Path:
    path = folder / "pad19.toml"
    path.write_text(text)
    return path


def announced(server: Serving) -> dict[str, str]:
    """Host to certificate."""
    return dict(re.findall(r"  gemini://(\S+?)(?::\d+)?/\n    certificate  (sha256:\S+)", server.err))


# What is served


def test_a_folder_is_all_it_takes(tmp_path: Path, content: Path) -> None:
    certs = tmp_path / "certs"
    arguments = (content, "--certs", certs, "--listen", "127.0.0.1:0")
    with serving(*arguments, home=tmp_path) as server:
        assert fetch(server.address, gemini(server.address)).received == PAGE
        shown = fingerprint(server.address)
        port = server.address[1]
        valid = r"made just now, valid until 2\d{3}-\d\d-\d\d"
        assert re.fullmatch(
            rf"Serving {content}\n  \(no pad19\.toml in {content}, so the folder itself is the content\)\n"
            rf"  gemini://localhost:{port}/\n    certificate  {shown} \({valid}\)\n"
            rf"    public key   {load(*files('localhost', certs)).key_fingerprint}\n"
            rf"Listening on 127\.0\.0\.1:{port}\. Stop with Ctrl-C\.\n",
            server.err,
        )
        assert server.stop() == 0
    assert sorted(path.name for path in certs.iterdir()) == ["localhost.crt", "localhost.key"]
    assert stat.S_IMODE((certs / "localhost.key").stat().st_mode) == 0o600
    with serving(*arguments, home=tmp_path) as server:
        assert announced(server) == {"localhost": shown}
        assert fingerprint(server.address) == shown
        assert "made just now" not in server.err


def test_several_workers_say_what_one_of_them_has_made(tmp_path: Path, content: Path) -> None:
    arguments = (content, "--certs", tmp_path / "certs", "--listen", "127.0.0.1:0", "--workers", "2")
    for is_first in (True, False):
        with serving(*arguments, home=tmp_path) as server:
            assert ("(made just now, " in server.err) is is_first


def test_without_flags_certificates_go_to_the_home_folder(tmp_path: Path, content: Path) -> None:
    with serving(content, "--listen", "127.0.0.1:0", home=tmp_path):
        assert (tmp_path / ".local/share/pad19/certs/localhost.key").exists()


def test_hosts_by_flag(tmp_path: Path, content: Path) -> None:
    hosts = ("--host", "a.example", "--host", "B.example.")
    with serving(content, *hosts, "--certs", "certs", "--listen", "127.0.0.1:0", home=tmp_path) as server:
        found = announced(server)
        assert [*found] == ["a.example", "b.example"]
        for host, expected in found.items():
            assert fingerprint(server.address, host) == expected
            answer = fetch(server.address, gemini(server.address, host=host), server_name=host)
            assert answer.received == PAGE
        assert fetch(server.address, gemini(server.address)).status == 53


def test_a_file_with_two_capsules(tmp_path: Path, content: Path) -> None:
    (tmp_path / "second").mkdir()
    (tmp_path / "second/index.gmi").write_text("# Second\n")
    write(
        tmp_path,
        '[server]\nlisten = ["127.0.0.1:0"]\n[[capsule]]\nhosts = ["example.org", "*.example.org"]\n'
        '[[capsule]]\nhosts = ["café.example"]\ncontent = "second"\n',
    )
    with serving(tmp_path, home=tmp_path) as server:
        assert [*announced(server)] == ["example.org", "*.example.org", "café.example"]
        for host, body in [
            ("example.org", b"# Pad 19\n"),
            ("www.example.org", b"# Pad 19\n"),
            ("xn--caf-dma.example", b"# Second\n"),
        ]:
            answer = fetch(server.address, gemini(server.address, host=host), server_name=host)
            assert (answer.status, answer.body) == (20, body)
        shown = {fingerprint(server.address, host) for host in ("example.org", "www.example.org")}
        assert len(shown) == 2
        assert fetch(server.address, gemini(server.address, host="a.b.example.org")).status == 53


def test_all_families_that_were_asked_for(tmp_path: Path, content: Path) -> None:
    listen = ("--listen", "[::1]:0", "--listen", "localhost:0")
    with serving(content, *listen, "--certs", "certs", home=tmp_path) as server:
        first, second, third = server.addresses
        assert [host for host, _ in server.addresses] == ["::1", "::1", "127.0.0.1"]
        assert second[1] == third[1] != first[1]
        for address in server.addresses:
            assert fetch(address, gemini(address)).received == PAGE
        assert fetch(first, gemini(second)).status == 53  # the port of the URI is the one connected to


# Sockets with a path


def test_a_unix_socket(tmp_path: Path, content: Path) -> None:
    path = tmp_path / "pad19.sock"
    arguments = (content, "--certs", "certs", "--listen", f"unix:{path}")
    with serving(*arguments, home=tmp_path) as server:
        assert server.err.endswith(f"Listening on unix:{path}. Stop with Ctrl-C.\n")
        assert fetch(path, "gemini://localhost:1234/").received == PAGE  # the forwarder knows the port
        assert server.lines(1)[0].startswith("unix - - [")
        refused = command("serve", *map(str, arguments), home=tmp_path)
        assert refused.returncode == 1
        assert refused.stderr == (
            f'pad19: server.listen: "unix:{path}" cannot be listened on: another program has it; '
            "stop that one, or choose another, for example with --listen localhost:1966\n"
        )
        assert fetch(path, "gemini://localhost/").received == PAGE  # it was left alone
        assert server.stop() == 0
    assert not path.exists()
    with serving(*arguments, home=tmp_path) as server:
        server.signal(signal.SIGKILL)
        assert server.wait() == -signal.SIGKILL
    assert path.exists()
    with serving(*arguments, home=tmp_path):
        assert fetch(path, "gemini://localhost/").received == PAGE


# Mistakes


def taken_port(_folder: Path) -> tuple[str, socket.socket]:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return f"127.0.0.1:{sock.getsockname()[1]}", sock


def other_key(folder: Path) -> str:
    for host in ("a.example", "b.example"):
        make(host, folder)
    return 'certificate = "a.example.crt"\nkey = "b.example.key"'


def folder_for_key(folder: Path) -> str:
    make("a.example", folder)
    (folder / "folder.key").mkdir()
    return 'certificate = "a.example.crt"\nkey = "folder.key"'


def broken_key(folder: Path) -> str:
    make("a.example", folder)
    (folder / "a.example.key").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    return 'certificate = "a.example.crt"\nkey = "a.example.key"'


MISTAKES: list[tuple[str, str | Callable[[Path], str], str]] = [  # what is said, the file, what is answered
    ("no TOML", "a = ", "line 2, column 5 is not TOML"),
    ("unknown key", "server.lissten = []", "server.lissten is no key: did you mean listen?"),
    ("no content", "[[capsule]]\ncontent = 'missing'", "there is no such folder: create it, or name another"),
    ("workers", "server.workers = 65", "server.workers is 65, but must be a whole number from 0 to 64"),
    ("log in a missing folder", "[log]\naccess = 'no/access.log'", "No such file or directory"),
    ("log is a folder", "[log]\naccess = '.'", "Is a directory"),
    ("wrong key", lambda folder: f"[[capsule]]\n{other_key(folder)}", "is not the key of a.example.crt"),
    (
        "no file as key",
        lambda folder: f"[[capsule]]\n{folder_for_key(folder)}",
        "folder.key is a folder where a file belongs",
    ),
    ("broken key", lambda folder: f"[[capsule]]\n{broken_key(folder)}", "holds a broken private key"),
    (
        "no certificate",
        "[[capsule]]\ncertificate = 'a'\nkey = 'pad19.toml'",
        "a, which is missing: name the file that has it, or leave certificate and key out",
    ),
    ("certs is a file", "server.certs = 'pad19.toml'", "cannot be"),
]
UNAVAILABLE = [  # where it should listen, what is answered
    ("unix:no/a.sock", "the folder must exist"),
    ("unix:pad19.toml", "a file is in its place"),
    ("192.0.2.1:0", "does not have that address"),
]


@pytest.mark.parametrize(("file", "said"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_a_mistake_is_one_sentence(
    tmp_path: Path, content: Path, file: str | Callable[[Path], str], said: str
) -> None:
    text = file if isinstance(file, str) else file(tmp_path)
    write(tmp_path, text if "listen =" in text else f"server.listen = ['127.0.0.1:0']\n{text}")
    result = CliRunner().invoke(serve, [str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 2
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("pad19: ")
    assert said in line


@pytest.mark.parametrize(("listen", "said"), UNAVAILABLE)
def test_an_address_that_cannot_be_had_is_no_mistake_for_ever(
    tmp_path: Path, content: Path, listen: str, said: str
) -> None:
    write(tmp_path, f"server.listen = ['{listen}']")
    result = CliRunner().invoke(serve, [str(tmp_path)], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert said in line


def test_a_taken_port(tmp_path: Path, content: Path) -> None:
    address, sock = taken_port(tmp_path)
    with sock:
        done = command("serve", str(content), "--certs", "certs", "--listen", address, home=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f'pad19: server.listen: "{address}" cannot be listened on: another program has it; '
        "stop that one, or choose another, for example with --listen localhost:1966\n"
    )


def test_all_that_cannot_be_had_is_reported_together(tmp_path: Path, content: Path) -> None:
    address, sock = taken_port(tmp_path)
    free = tmp_path / "free.sock"
    write(
        tmp_path,
        f"[server]\nlisten = ['unix:{free}', '{address}', 'unix:no/a.sock']\n"
        f"[log]\naccess = 'no/access.log'\n[[capsule]]\n{other_key(tmp_path)}",
    )
    with sock:
        done = command("serve", str(tmp_path), home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.removeprefix("pad19: ").split(" ")[0] for line in done.stderr.splitlines()] == [
        "log.access",
        str(tmp_path / "b.example.key"),
        "server.listen:",
        "server.listen:",
    ]
    assert not free.exists()


def test_flags_that_are_none(tmp_path: Path) -> None:
    for arguments in (["--workers", "x"], ["--port", "1965"], ["a", "b"]):
        assert CliRunner().invoke(serve, arguments).exit_code == 2


# The log


def test_formats(tmp_path: Path, content: Path) -> None:
    for style, pattern in [
        ("common", r'127\.0\.0\.1 - - \[.+\] "{uri}" 20 9'),
        ("combined", r'127\.0\.0\.1 - - \[.+\] "{uri}" 20 9 \d+\.\d TLSv1\.3 - "-"'),
    ]:
        write(tmp_path, f"[server]\nlisten = ['127.0.0.1:0']\n[log]\nformat = '{style}'")
        with serving(tmp_path, home=tmp_path) as server:
            uri = gemini(server.address)
            fetch(server.address, uri)
            [line] = server.lines(1)
            assert re.fullmatch(pattern.format(uri=re.escape(uri)), line)
    write(tmp_path, "[server]\nlisten = ['127.0.0.1:0']\n[log]\nformat = 'json'")
    with serving(tmp_path, home=tmp_path) as server:
        uri = gemini(server.address)
        fetch(server.address, uri)
        [record] = server.records(1)
        assert (record["request"], record["status"], record["bytes"]) == (uri, 20, 9)


def test_log_in_a_file(tmp_path: Path, content: Path) -> None:
    write(tmp_path, "[server]\nlisten = ['127.0.0.1:0']\n[log]\naccess = 'access.log'\nformat = 'json'")
    with serving(tmp_path, home=tmp_path) as server:
        fetch(server.address, gemini(server.address))
        assert server.stop() == 0  # which writes what is left
        assert server.out == ""
        assert f"\nThe access log goes to {tmp_path}/access.log.\nListening on " in server.err
    [record] = map(json.loads, (tmp_path / "access.log").read_text().splitlines())
    assert record["status"] == 20


def test_a_log_that_nobody_reads_stops_nothing(tmp_path: Path, content: Path) -> None:
    reader, writer = os.pipe()
    try:
        arguments = (content, "--certs", "certs", "--listen", "127.0.0.1:0")
        with serving(*arguments, home=tmp_path, stdout=writer) as server:
            os.close(reader)
            for _ in range(3):
                assert fetch(server.address, gemini(server.address)).received == PAGE
            server.wait_for_err("standard output cannot be written (Broken pipe)")
            assert fetch(server.address, gemini(server.address)).received == PAGE
            assert server.stop() == 0
            assert "4 lines lost" in server.err
    finally:
        os.close(writer)


# Stopping


@contextmanager
def slow_download(server: Serving) -> Iterator[ssl.SSLSocket]:
    """A client that has the header, and no more for now."""
    with connect_tls(server.address, buffer=4096) as stream:
        stream.sendall(f"{gemini(server.address, '/large.bin')}\r\n".encode())
        assert stream.recv(len(HEADER)) == HEADER
        yield stream


def test_sigterm_lets_downloads_finish(tmp_path: Path, content: Path) -> None:
    write(tmp_path, "[server]\nlisten = ['127.0.0.1:0']\n[log]\nformat = 'json'")
    with serving(tmp_path, home=tmp_path) as server, slow_download(server) as stream:
        server.signal(signal.SIGTERM)
        server.wait_for_err("stopping: open connections (1) have 30 s")
        with pytest.raises(ConnectionRefusedError):
            connect_socket(server.address)
        rest = read_rest(stream)
        assert rest.clean
        assert len(rest.received) == LARGE
        assert server.wait() == 0
        [record] = server.records(1)
        assert (record["status"], record["bytes"], record["reason"]) == (20, LARGE, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_stops_at_once(tmp_path: Path, content: Path, number: signal.Signals) -> None:
    with serving(content, "--certs", "certs", "--listen", "127.0.0.1:0", home=tmp_path) as server:
        server.signal(number)
        assert server.wait() == 0
        assert server.err.endswith("Stop with Ctrl-C.\n")


def test_the_grace_period_ends(tmp_path: Path, content: Path) -> None:
    write(tmp_path, "[server]\nlisten = ['127.0.0.1:0']\n[limits]\ngrace_s = 0.2\n[log]\nformat = 'json'")
    with serving(tmp_path, home=tmp_path) as server, slow_download(server) as stream:
        start = time.monotonic()
        assert server.stop() == 0
        assert 0.2 <= time.monotonic() - start < 5
        [record] = server.records(1)
        assert (record["status"], record["reason"]) == (20, "server stopped")
        assert record["bytes"] < LARGE
        assert not read_rest(stream).clean  # the client sees that something is missing


def test_a_second_interrupt_ends_it_at_once(tmp_path: Path, content: Path) -> None:
    path = tmp_path / "pad19.sock"
    write(tmp_path, f"server.listen = ['127.0.0.1:0', 'unix:{path}']\n[log]\nformat = 'json'")
    with serving(tmp_path, home=tmp_path) as server, slow_download(server):
        server.signal(signal.SIGINT)
        server.wait_for_err("stopping: open connections (1) have 30 s")
        server.signal(signal.SIGINT)
        assert server.wait() == 0
        assert [record["reason"] for record in server.records(1)] == ["server stopped"]
    assert not path.exists()


def test_many_signals_are_no_more_than_two(tmp_path: Path, content: Path) -> None:
    with serving(content, "--certs", "certs", "--listen", "127.0.0.1:0", home=tmp_path) as server:
        for _ in range(20):
            server.signal(signal.SIGINT)  # somebody who leans on Ctrl-C; `serving` looks for tracebacks
        # At the very end Python has no handlers any more.
        assert server.wait() in {0, -signal.SIGINT}


def test_names_of_pages_in_a_locale_that_is_not_utf_8(content: Path, tmp_path: Path) -> None:
    (content / "café.gmi").write_text("# Café\n")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    arguments = (content, "--certs", "certs", "--listen", "127.0.0.1:0")
    with serving(*arguments, home=tmp_path, environment=ascii_only) as server:
        page = fetch(server.address, gemini(server.address, "/caf%C3%A9.gmi"))
        assert page.received == "20 text/gemini\r\n# Café\n".encode()
        unknown = fetch(server.address, gemini(server.address, "/%E6%97%A5.gmi"))
        assert unknown.received.startswith(b"51 ")
