"""Uploads over the wire, to `pad19 serve`."""

import json
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pad19.tls.identity import identify_pem
from pad19.tls.making import make_client
from support.process import (
    PATIENCE,
    Address,
    Serving,
    connect_tls,
    fetch,
    gemini,
    read_rest,
    serving,
)
from support.server import Answer
from support.uploads import files_below, versions_of

pytestmark = pytest.mark.machine

TOKEN = "open sesame"
K = ";token=open%20sesame"
OLD = b"the old version\n"
MIB = 1024 * 1024
KILLS = int(os.environ.get("PAD19_KILLS", "12"))  # of a worker; 200 take some minutes


def configuration(titan: str = "", more: str = "", limits: str = "") -> str:
    return (
        "[server]\nlisten = ['127.0.0.1:0']\n[log]\nformat = 'json'\n[limits]\nper_address = 1000\n"
        f"{limits}\n[[capsule]]\n{more}\n[capsule.titan]\ntoken = '{TOKEN}'\n{titan}\n"
    )


@contextmanager
def served(folder: Path, text: str) -> Iterator[Serving]:
    (folder / "content").mkdir()
    (folder / "content/n.gmi").write_bytes(OLD)
    (folder / "pad19.toml").write_text(text)
    with serving(folder, home=folder) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with served(tmp_path, configuration("delete = true\nfolders = true\nkeep = 3")) as server:
        yield server


def line(address: Address, path: str, parameters: str) -> bytes:
    return gemini(address, path).replace("gemini:", "titan:", 1).encode() + f"{parameters}\r\n".encode()


def send(
    address: Address, path: str, parameters: str, body: bytes = b"", context: ssl.SSLContext | None = None
) -> Answer:
    with connect_tls(address, context) as stream:
        stream.sendall(line(address, path, parameters) + body)
        return read_rest(stream)


def put(address: Address, path: str, body: bytes) -> Answer:
    return send(address, path, f";size={len(body)}{K}", body)


# Clients


def test_the_form_of_lagrange(server: Serving, tmp_path: Path) -> None:
    """What it sends, as recorded: ``mime`` first, and the token percent-encoded and last."""
    there = server.address
    page = gemini(there, "/n.gmi")
    answer = send(there, "/n.gmi", f";mime=text/plain;size=14{K}", "# Café\n\nHello".encode())
    assert answer.received == f"30 {page}\r\n".encode()
    assert answer.clean
    assert fetch(there, page).received == "20 text/gemini\r\n# Café\n\nHello".encode()
    # "Edit page with Titan": the text, and what becomes of it without ";edit".
    assert send(there, "/n.gmi", ";edit").received == "20 text/gemini\r\n# Café\n\nHello".encode()
    assert send(there, "/n.gmi", f";mime=text/gemini;size=7{K}", b"# Hello").status == 30
    assert fetch(there, page).body == b"# Hello"
    (tmp_path / "content/n.gmi").write_text("# Changed meanwhile")
    answer = send(there, "/n.gmi", f";mime=text/gemini;size=7{K}", b"# Hello")
    assert answer.status == 50
    assert answer.meta
    assert answer.meta.startswith("this has changed since you opened it, and stays as it is: ")
    assert fetch(there, page).body == b"# Changed meanwhile"
    assert send(there, "/n.gmi", ";edit").body == b"# Changed meanwhile"
    assert send(there, "/n.gmi", f";mime=text/gemini;size=0{K}").status == 20
    assert fetch(there, page).status == 51
    content = files_below(tmp_path / "content")
    assert content == {}
    assert len(versions_of(tmp_path / "content", "n.gmi")) == 3
    assert "sesame" not in server.out + server.err


NAUYACA = """
import asyncio, json, sys
from pathlib import Path
from nauyaca.client.session import GeminiClient
uri, folder, token, *certificate = sys.argv[1:]
options = dict(zip(("client_cert", "client_key"), certificate))
async def main():
    async with GeminiClient(tofu_db_path=Path(folder, "tofu.db"), **options) as client:
        answers = [
            await client.upload(uri, "# First", token=token or None),
            await client.upload(uri, "# Second", "text/plain", token=token or None),
            await client.get(uri),
            await client.upload(uri, b"PNG", "image/png", token=token or None),
            await client.delete(uri, token=token or None),
            await client.get(uri),
        ]
    print(json.dumps([[answer.status, answer.meta, answer.body] for answer in answers]))
asyncio.run(main())
"""


def run_nauyaca(folder: Path, *arguments: str | Path) -> Any:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", NAUYACA, *map(str, arguments)],
        cwd=folder,
        env={"HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(find_spec("nauyaca") is None, reason="nauyaca is not installed")
@pytest.mark.parametrize("by", ["token", "certificate"])
def test_a_client_of_other_hands(by: str, tmp_path: Path) -> None:
    certificate, key = tmp_path / "ada.crt", tmp_path / "ada.key"
    make_client("Ada", certificate, key)
    ada = identify_pem(certificate.read_bytes()).fingerprint
    zone = f"[[capsule.zone]]\npath = '/ada/'\nallow = 'everybody'\nwrite = '{ada}'\n"
    text = configuration("delete = true\nfolders = true", zone)
    token = "swordfish"  # it encodes none
    with served(tmp_path, text.replace(TOKEN, token)) as server:
        uri = gemini(server.address, "/ada/a.gmi" if by == "certificate" else "/a.gmi")
        arguments = ["", certificate, key] if by == "certificate" else [token]
        first, second, page, png, deleted, gone = run_nauyaca(tmp_path, uri, tmp_path, *arguments)
        assert "swordfish" not in server.out
    assert first[:2] == second[:2] == [30, uri]
    assert page == [20, "text/gemini", "# Second"]
    assert png[:2] == [59, "image/png may not be uploaded here, only text/*"]
    assert deleted[0] == 20
    assert gone[0] == 51


# Half an upload


def test_an_upload_that_is_cut_anywhere_changes_nothing(server: Serving, tmp_path: Path) -> None:
    body = b"the new version: longer than the old one\n"
    for reset in (False, True):
        for cut in range(len(body)):
            with connect_tls(server.address) as stream:
                stream.sendall(line(server.address, "/n.gmi", f";size={len(body)}{K}") + body[:cut])
                if reset:
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    records = server.records(2 * len(body))
    assert {record["reason"] for record in records} <= {
        "upload ended early",
        "client left: Connection reset by peer",
        "closed before CRLF",  # a reset can overtake what was sent before it
    }
    assert files_below(tmp_path / "content", versions=True) == {"n.gmi": OLD}
    assert put(server.address, "/n.gmi", body).status == 30
    assert files_below(tmp_path / "content") == {"n.gmi": body}


KILLED = """
import os, random, signal, sys, time
from pad19.content.shelf import Place, Shelf
root, count = sys.argv[1], int(sys.argv[2])
shelf, place = Shelf(root, keep=2, folders=True), Place(("a",), "n.gmi")
bodies = [bytes([letter]) * 100_000 for letter in b"ABCDEF"]
def write_for_ever():
    while True:
        for body in bodies:
            draft = shelf.draft(place, len(body))
            draft.write(body[:50_000])
            draft.write(body[50_000:])
            draft.publish()
            draft.close()
whole = 0
for _ in range(count):
    pid = os.fork()
    if not pid:
        write_for_ever()
    time.sleep(random.uniform(0.0, 0.02))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for folder, _, names in os.walk(root):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                assert file.read() in bodies, (folder, name)
            whole += name == "n.gmi"
        assert folder.endswith("/.titan/n.gmi") or set(names) <= {"n.gmi", ".titan-new"}, (folder, names)
print(whole)
"""


def test_a_process_that_is_killed_at_any_moment_leaves_whole_files(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path, "200"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 150  # in most rounds, there is a file


def test_a_worker_that_is_killed_at_any_moment_leaves_whole_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = (
        "from pad19.service import fleet; fleet.BACK_OFF = (0.01, 0.01); from pad19.cli import main; main()"
    )
    monkeypatch.setattr("support.process.COMMAND", [sys.executable, "-c", impatient])
    bodies = [bytes([letter]) * 300_000 for letter in b"ABCD"]
    stop = threading.Event()

    def upload(address: Address, body: bytes) -> int:
        done = 0
        while not stop.is_set():
            with suppress(OSError, ssl.SSLError):
                done += put(address, "/n.gmi", body).status == 30
        return done

    with served(tmp_path, configuration("folders = true\nkeep = 2")) as server, ThreadPoolExecutor() as pool:
        try:
            clients = [pool.submit(upload, server.address, body) for body in bodies]
            for _ in range(KILLS):
                with suppress(OSError, ssl.SSLError):  # it waits for the next worker
                    fetch(server.address, gemini(server.address, "/n.gmi"))
                time.sleep(random.uniform(0.0, 0.1))  # noqa: S311 - the moment is what is tested
                for pid in server.workers:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                for name, body in files_below(tmp_path / "content", versions=True).items():
                    assert body in {*bodies, OLD, b""}, (name, len(body), body[:10], body[-10:])
                    assert name in {"n.gmi", ".titan/", ".titan/n.gmi/", ".titan-new"} or "/n.gmi/2" in name
        finally:
            stop.set()
        assert sum(client.result() for client in clients) > KILLS / 10
        assert put(server.address, "/n.gmi", bodies[0]).status == 30
    assert files_below(tmp_path / "content")["n.gmi"] == bodies[0]


# Large ones, slow ones, many of them


class Watch:
    """The most memory that a worker has meanwhile."""

    def __init__(self, server: Serving) -> None:
        self._server = server
        self.before = self.most = server.memory

    def look(self) -> None:
        self.most = max(self.most, self._server.memory)

    @property
    def growth(self) -> int:
        return self.most - self.before


def test_memory_stays_flat(tmp_path: Path) -> None:
    piece = os.urandom(MIB)
    with served(tmp_path, configuration("max_size = 2_000_000_000\ntypes = '*/*'")) as server:
        put(server.address, "/small.gmi", piece)  # threads and caches are there from now on
        growth = []
        for mib in (10, 1024):
            watch = Watch(server)
            with connect_tls(server.address) as stream:
                stream.settimeout(60)
                stream.sendall(line(server.address, "/large.bin", f";size={mib * MIB}{K}"))
                for _ in range(mib):
                    stream.sendall(piece)
                    watch.look()
                assert read_rest(stream).status == 30
            watch.look()
            growth.append(watch.growth)
            assert (tmp_path / "content/large.bin").stat().st_size == mib * MIB
        assert max(growth) < 4 * MIB, growth
    with (tmp_path / "content/large.bin").open("rb") as file:
        assert all(file.read(MIB) == piece for _ in range(1024))
    (tmp_path / "content/large.bin").unlink()


def test_a_slow_upload_is_ended(tmp_path: Path) -> None:
    with (
        served(tmp_path, configuration(limits="upload_s = 1.5")) as server,
        connect_tls(server.address) as stream,
    ):
        start = time.monotonic()
        stream.sendall(line(server.address, "/n.gmi", f";size=1000{K}"))
        stream.settimeout(1.0)
        answer = b""
        while not answer and time.monotonic() - start < PATIENCE:
            stream.sendall(b"x")
            with suppress(TimeoutError):
                answer = stream.recv(1000)
        assert answer == b"40 the upload was too slow\r\n"
        assert 1.4 < time.monotonic() - start < 6
        stream.close()
        [record] = server.records(1)
        assert record["reason"] == "upload timeout"
    assert files_below(tmp_path / "content") == {"n.gmi": OLD}


def test_a_hundred_at_once_do_not_keep_readers_waiting(server: Serving, tmp_path: Path) -> None:
    there, body = server.address, os.urandom(200_000)

    def finish(stream: ssl.SSLSocket) -> int | None:
        stream.sendall(body[100_000:])
        return read_rest(stream).status

    with ExitStack() as held, ThreadPoolExecutor(100) as pool:
        streams = []
        for number in range(100):
            stream = held.enter_context(connect_tls(there))
            stream.sendall(line(there, f"/{number}.gmi", f";size={len(body)}{K}") + body[:100_000])
            streams.append(stream)
        for _ in range(20):  # while all of them wait
            assert fetch(there, gemini(there, "/n.gmi")).body == OLD
        statuses = pool.map(finish, streams)
        waits = []
        for _ in range(20):  # while all of them write
            start = time.monotonic()
            assert fetch(there, gemini(there, "/n.gmi")).body == OLD
            waits.append(time.monotonic() - start)
        assert [*statuses] == [30] * 100
    assert sorted(waits)[10] < 1.0, waits
    assert {file.read_bytes() for file in (tmp_path / "content").glob("*.gmi")} == {OLD, body}
    assert len([*(tmp_path / "content").glob("*.gmi")]) == 101


@pytest.mark.parametrize("workers", [1, 3])
def test_many_to_one_path_end_with_one_whole_version(workers: int, tmp_path: Path) -> None:
    bodies = [bytes([65 + number]) * 50_000 for number in range(24)]
    text = configuration("folders = true\nkeep = 100").replace(
        "[server]", f"[server]\nworkers = {workers}", 1
    )
    with served(tmp_path, text) as server, ThreadPoolExecutor(24) as pool:
        answers = [*pool.map(lambda body: put(server.address, "/a/b.gmi", body), bodies)]
    assert [answer.status for answer in answers] == [30] * len(bodies)
    last = (tmp_path / "content/a/b.gmi").read_bytes()
    assert sorted([*versions_of(tmp_path / "content/a", "b.gmi"), last]) == bodies


def test_an_edit_is_remembered_by_all_workers_and_after_a_reload(tmp_path: Path) -> None:
    text = configuration().replace("[server]", "[server]\nworkers = 3", 1)
    with served(tmp_path, text) as server:
        assert send(server.address, "/n.gmi", ";edit").body == OLD
        (tmp_path / "content/n.gmi").write_text("changed")
        server.signal(signal.SIGHUP)
        server.wait_for_err("reloaded")
        for _ in range(6):
            assert put(server.address, "/n.gmi", b"mine").status == 50
    assert (tmp_path / "content/n.gmi").read_text() == "changed"


# Tricks with paths

TRICKS = [
    "/../x.gmi", "/%2e%2e/x.gmi", "/..%2fx.gmi", "/a/../../x.gmi", "/..\\x.gmi", "/%5c..%5cx.gmi", "/.",
    "/..", "/./..", "//x.gmi", "/a//x.gmi", "/a/", "/", "", "/%00x.gmi", "/x.gmi%00", "/x.gmi%0a", "/%ff.gmi",
    "/%c0%ae%c0%ae/x.gmi", "/outside/x.gmi", "/outside.gmi", "/dangling.gmi", "/inside/x.gmi", "/device.gmi",
    "/fifo.gmi", "/socket.gmi", "/folder.gmi", f"/{'n' * 252}.gmi", f"/{'n' * 256}/x.gmi", "/.meta",
    "/a/.meta", "/%2emeta", "/.titan/n.gmi/x.gmi", "/.titan-new", "/.hidden.gmi", "/.git/hooks/x.txt",
    "/n.gmi/x.gmi", "/pad19.toml", "/../routes/x.txt", "/../cgi-bin/x.txt", "/routes/x.py%2f..",
    "/x.gmi;y", "/proc/self/fd/1", "/cgi-bin/new.gmi", "/cgi-bin/../../x.gmi", "/cgi-bin/.x.gmi",
]  # fmt: skip


@pytest.mark.parametrize("scheme", ["titan", "TITAN"])
def test_tricks_with_paths(scheme: str, tmp_path: Path) -> None:
    content = tmp_path / "content"
    more = "routes = 'routes'\ncgi = { '/cgi-bin/' = 'cgi-bin' }"
    for name in ("routes", "cgi-bin", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside/secret.gmi").write_text("secret")
    with served(
        tmp_path, configuration("folders = true\ndelete = true\nkeep = 2\ntypes = '*/*'", more)
    ) as server:
        (content / "outside").symlink_to("../outside")
        (content / "outside.gmi").symlink_to("../outside/secret.gmi")
        (content / "dangling.gmi").symlink_to("../outside/new.gmi")
        (content / "inside").symlink_to("folder.gmi")
        (content / "folder.gmi").mkdir()
        (content / "device.gmi").symlink_to("/dev/null")
        os.mkfifo(content / "fifo.gmi")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(content / "socket.gmi"))
        skipped = {tmp_path / "state", tmp_path / ".local"}
        fetch(server.address, gemini(server.address))

        def everything() -> list[tuple[str, int, int]]:
            return sorted(
                (str(path), path.lstat().st_ino, path.lstat().st_size)
                for path in tmp_path.rglob("*")
                if not skipped & {*path.parents, path}
            )

        before = everything()
        allowed = {"/pad19.toml", "/proc/self/fd/1", "/%5c..%5cx.gmi"}
        for trick in TRICKS:
            for size in (3, 0):
                if trick in allowed and size:
                    continue
                with connect_tls(server.address) as stream:
                    uri = gemini(server.address, trick).replace("gemini", scheme, 1)
                    stream.sendall(f"{uri};size={size}{K}\r\n".encode() + b"abc"[:size])
                    answer = read_rest(stream)
                assert answer.status in {50, 51, 59}, (trick, answer)
                assert everything() == before, trick
        # Strange names, but names; and below the content as everything else is.
        for trick in sorted(allowed):
            answer = put(server.address, trick, b"abc")
            assert answer.status == 30, (trick, answer)
        outside = {path for path in tmp_path.rglob("*") if content not in {*path.parents, path}}
        assert {str(path) for path in outside - skipped if not skipped & {*path.parents}} == {
            name for name, _, _ in before if not name.startswith(str(content))
        }


def test_what_is_uploaded_is_not_run(tmp_path: Path) -> None:
    more = "cgi = { '/cgi-bin/' = 'cgi-bin' }"
    (tmp_path / "cgi-bin").mkdir()
    (tmp_path / "cgi-bin/echo").write_text("#!/bin/sh\nprintf '20 text/plain\\r\\n'; cat\n")
    (tmp_path / "cgi-bin/echo").chmod(0o755)
    with served(tmp_path, configuration("folders = true\ntypes = '*/*'", more)) as server:
        assert put(server.address, "/cgi-bin/new.sh", b"#!/bin/sh\n").status == 51
        assert put(server.address, "/cgi-bin/echo", b"hello").body == b"hello"
        assert send(server.address, "/cgi-bin/echo", ";size=5", b"hello").status == 50
        assert put(server.address, "/new.sh", b"#!/bin/sh\n").status == 30
        assert not os.access(tmp_path / "content/new.sh", os.X_OK)
    assert [path.name for path in (tmp_path / "cgi-bin").iterdir()] == ["echo"]


# Routes


def test_a_route_takes_uploads(tmp_path: Path) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes/notes.py").write_text(
        "from pad19 import Request, Routes\n"
        "routes = Routes()\n"
        "@routes.titan('/{name}', max_size=100_000)\n"
        "async def save(request: Request, name: str) -> str:\n"
        "    count = 0\n"
        "    async for chunk in request.upload:\n"
        "        count += len(chunk)\n"
        "    return f'{name}: {count} of {request.upload.size}, {request.upload.mime}'\n"
    )
    with served(tmp_path, configuration(more="routes = 'routes'")) as server:
        body = b"x" * 100_000
        answer = send(server.address, "/notes/tea", f";size={len(body)};mime=text/plain", body)
        assert answer.body == b"tea: 100000 of 100000, text/plain"
        assert send(server.address, "/notes/tea", ";size=100001", body).status == 59
        assert send(server.address, "/notes/tea", ";edit").status == 50


def test_a_route_is_not_asked_where_titan_is_off(tmp_path: Path) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes/index.py").write_text(
        "from pad19 import Request, Routes\nroutes = Routes()\n"
        "@routes.titan('/{name}')\nasync def save(request: Request, name: str) -> str: return name\n"
    )
    text = re.sub(r"\[capsule\.titan\]\n.*\n", "", configuration(more="routes = 'routes'"))
    with served(tmp_path, text) as server:
        assert send(server.address, "/a", ";size=1", b"x").received == b"53 titan is not served here\r\n"
        assert "uploads to its routes are refused" in server.err
