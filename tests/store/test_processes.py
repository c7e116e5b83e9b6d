"""Several workers at once, and workers that are killed: nothing is lost, nothing is counted twice."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from pad19.store.sqlite import open_store

WRITERS = Path(__file__).with_name("writers.py")
PROCESSES = 4
WRITES = 40  # of each kind, by each process
ROUNDS = 100  # writers that are killed
CREATIONS = 15  # files that are made by several at once
PATIENCE = 30.0  # seconds


def start(mode: str, path: Path, number: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, str(WRITERS), mode, str(path), str(number)], stdout=subprocess.PIPE
    )


def answer(process: "subprocess.Popen[bytes]") -> Any:
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    return json.loads(out)


def check_integrity(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute(
            "SELECT length - (SELECT count(*) FROM entry WHERE list = list.id), "
            "last_id - (SELECT max(id) FROM entry WHERE list = list.id) FROM list"
        ).fetchall() == [(0, 0)]


async def test_processes_write_at_once(path: Path) -> None:
    processes = [start("together", path, WRITES) for _ in range(PROCESSES)]
    ids = [answer(process) for process in processes]
    everything = WRITES * PROCESSES
    assert sorted(chain.from_iterable(ids)) == list(range(1, everything + 1))
    async with open_store(path) as store:
        assert await store.get("count") == everything
        assert await store.get("dict") == {"n": everything}
        assert await store.get("winner") in {process.pid for process in processes}
        page = await store.list("entries").page(size=everything, newest_first=False)
    for process, own in zip(processes, ids, strict=True):  # each one's writes, in its order
        assert [(entry.id, entry.value[1]) for entry in page.items if entry.value[0] == process.pid] == list(
            zip(own, range(WRITES), strict=True)
        )
    check_integrity(path)


def test_processes_make_the_file_at_once(tmp_path: Path) -> None:
    statuses = answer(start("creation", tmp_path, CREATIONS))
    assert set(statuses) == {0}
    assert len(statuses) > CREATIONS
    for number in range(CREATIONS):
        check_integrity(tmp_path / str(number) / "store.sqlite3")


async def test_writers_that_are_killed(path: Path) -> None:
    said = answer(start("killed", path, ROUNDS))
    assert len(said) == ROUNDS
    check_integrity(path)
    # Whatever was awaited is there, so each writer went on behind it; one write may have been under way.
    for (number, count), (later_number, later_count) in pairwise(said):
        assert number < later_number
        assert count < later_count
        assert count <= number
    last_number, last_count = said[-1]
    async with open_store(path) as store:
        page = await store.list("entries").page(size=1)
        assert page.items[0].id - last_number in {0, 1}
        assert page.total == 50
        assert await store.get("count") - last_count in {0, 1}
        # A count comes behind each append, unless a kill came in between.
        assert 0 <= page.items[0].id - await store.get("count") <= ROUNDS
