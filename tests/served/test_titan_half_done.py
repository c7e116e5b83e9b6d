"""Uploads that end in the middle: of a connection that is cut, of a process that is killed."""

from __future__ import annotations

import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from support.process import Address, Serving, connect_tls, fetch, gemini
from support.titan import OLD, K, configuration, line, put, served
from support.uploads import files_below

pytestmark = pytest.mark.machine

KILLS = int(os.environ.get("PAD19_KILLS", "12"))  # of a worker; 200 take some minutes


def test_an_upload_that_is_cut_anywhere_changes_nothing(uploads: Serving, tmp_path: Path) -> None:
    body = b"the new version: longer than the old one\n"
    for reset in (False, True):
        for cut in range(len(body)):
            with connect_tls(uploads.address) as stream:
                stream.sendall(line(uploads.address, "/n.gmi", f";size={len(body)}{K}") + body[:cut])
                if reset:
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    records = uploads.records(2 * len(body))
    assert {record["reason"] for record in records} <= {
        "upload ended early",
        "client left: Connection reset by peer",
        "closed before CRLF",  # a reset can overtake what was sent before it
    }
    assert files_below(tmp_path / "content", versions=True) == {"n.gmi": OLD}
    assert put(uploads.address, "/n.gmi", body).status == 30
    assert files_below(tmp_path / "content") == {"n.gmi": body}


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from pad19.content.file_tree import FileTree, Place
root, count = sys.argv[1], int(sys.argv[2])
tree, place = FileTree(root, Path(root).parent / "locks", keep=2, folders=True), Place(("a",), "n.gmi")
bodies = [bytes([letter]) * 100_000 for letter in b"ABCDEF"]
def write_for_ever():
    while True:
        for body in bodies:
            draft = tree.draft(place, len(body))
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
        "from pad19.service import restarts; restarts.BACK_OFF = (0.01, 0.01); "
        "from pad19.cli import main; main()"
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
