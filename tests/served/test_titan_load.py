"""Uploads that are large, slow, or many at the same time."""

from __future__ import annotations

import os
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from support.process import PATIENCE, Serving, connect_tls, fetch, gemini, read_rest
from support.titan import MIB, OLD, K, configuration, line, put, served
from support.uploads import files_below, versions_of

pytestmark = pytest.mark.machine


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


def test_a_hundred_at_once_do_not_keep_readers_waiting(uploads: Serving, tmp_path: Path) -> None:
    there, body = uploads.address, os.urandom(200_000)

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
