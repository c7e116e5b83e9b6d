"""Uploads to paths that lead somewhere else, or that programs are at."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from support.process import connect_tls, fetch, gemini, read_rest
from support.titan import K, configuration, put, send, served

pytestmark = pytest.mark.machine

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
