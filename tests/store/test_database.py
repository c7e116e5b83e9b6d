"""The file: who may read it, what it says when it cannot be used, and what cancelling does to it."""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from pad19.store import database as database_module
from pad19.store.database import Database
from pad19.store.interface import Store, StoreError
from pad19.store.sqlite import open_store
from support.users import unprivileged

from .conftest import Clock, sentence


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process is in the middle of writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def modes(folder: Path) -> dict[str, int]:
    """The files in a folder, and who may do what with them."""
    return {file.name: file.stat().st_mode & 0o777 for file in sorted(folder.iterdir())}


def grant(path: Path, mode: int) -> None:
    path.chmod(mode)


def spoil(path: Path) -> None:
    """Overwrite all pages but the first."""
    content = path.read_bytes()
    path.write_bytes(content[:4096].ljust(len(content), b"\xff"))


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(level, text) for name, level, text in caplog.record_tuples if name == "pad19.store"]


# The file


async def test_the_file_is_made_when_it_is_needed(tmp_path: Path, path: Path) -> None:
    async with open_store(path) as store:
        assert modes(tmp_path) == {}
        await store.set("key", 1)
        assert modes(tmp_path) == {path.parent.name: 0o700}
    async with open_store(path) as store:
        assert await store.get("key") == 1


async def test_nobody_else_may_read_it(path: Path) -> None:
    async with open_store(path) as store:
        await store.set("key", 1)
        assert modes(path.parent) == dict.fromkeys((path.name, f"{path.name}-shm", f"{path.name}-wal"), 0o600)


async def test_the_mode_that_somebody_gave_it_stays(path: Path) -> None:
    async with open_store(path) as store:
        await store.set("key", 1)
    grant(path, 0o640)
    async with open_store(path) as store:
        await store.set("key", 2)
        assert modes(path.parent)[path.name] == 0o640


async def test_nothing_is_left_beside_it(path: Path) -> None:
    async with open_store(path) as store:
        await store.set("key", 1)
    assert list(modes(path.parent)) == [path.name]


async def test_names_are_not_taken_for_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_store(Path("file:store?mode=memory")) as store:
        await store.set("key", 1)
    async with open_store(tmp_path / "file:store?mode=memory") as store:
        assert await store.get("key") == 1


async def test_a_commit_waits_for_the_disk(path: Path, clock: Clock) -> None:
    database = Database(path, clock)
    try:
        [mode] = await database.write(lambda connection: connection.execute("PRAGMA journal_mode").fetchone())
        [synchronous] = await database.write(
            lambda connection: connection.execute("PRAGMA synchronous").fetchone()
        )
    finally:
        await database.aclose()
    assert mode == "wal"
    assert synchronous >= 2  # FULL


async def test_stores_in_memory_are_private() -> None:
    async with open_store(None) as one, open_store(None) as other:
        await one.set("key", 1)
        assert await other.get("key") is None


async def test_a_store_in_memory_needs_no_thread() -> None:
    async with open_store(None) as store:
        assert await store.update("thread", lambda found: threading.get_ident()) == threading.get_ident()


async def test_a_closed_store_says_so(path: Path) -> None:
    async with open_store(path) as store:
        await store.set("key", 1)
    with pytest.raises(StoreError, match=r"^the store is closed"):
        await store.get("key")


# What can be wrong with the disk


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
async def test_a_damaged_file_is_noticed_at_the_start(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "store.sqlite3"
    path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        async with open_store(path):
            pass
    assert sentence(caught, path).startswith("is damaged: put back a copy, or move it away")
    assert path.read_bytes() == content


async def test_damage_further_in(path: Path) -> None:
    async with open_store(path) as store:
        for number in range(100):
            await store.set(f"key {number}", "x" * 1000)
    spoil(path)
    async with open_store(path) as store:
        with pytest.raises(StoreError) as caught:
            await store.get("key 50")
        assert sentence(caught, path).startswith("is damaged: ")


async def test_a_value_that_others_wrote(path: Path) -> None:
    async with open_store(path) as store:
        await store.set("key", 1)
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE value SET value = '{'")
        with pytest.raises(StoreError, match="holds a value that is not JSON"):
            await store.get("key")
        await store.set("key", 2)
        assert await store.get("key") == 2


async def test_a_folder_that_is_read_only() -> None:
    with unprivileged() as folder:
        folder.chmod(0o500)
        path = folder / "store.sqlite3"
        async with open_store(path) as store:
            with pytest.raises(StoreError) as caught:
                await store.get("key")
            assert sentence(caught, path) == (
                "cannot be written: let this process write to it and to its folder"
            )


async def test_a_file_that_is_read_only() -> None:
    with unprivileged() as folder:
        path = folder / "store.sqlite3"
        async with open_store(path) as store:
            await store.set("key", 1)
        path.chmod(0o400)
        async with open_store(path) as store:
            assert await store.get("key") == 1
            with pytest.raises(StoreError) as caught:
                await store.set("key", 2)
            assert sentence(caught, path).startswith("cannot be written: ")


async def test_a_folder_that_cannot_be_looked_into() -> None:
    with unprivileged() as folder:
        folder.chmod(0)
        with pytest.raises(StoreError) as caught:
            async with open_store(folder / "store.sqlite3") as store:
                await store.get("key")
        assert sentence(caught, folder / "store.sqlite3").startswith("cannot be written: ")


async def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        async with open_store(tmp_path):
            pass
    assert sentence(caught, tmp_path).startswith("cannot be opened: ")


async def test_a_file_in_place_of_the_folder(path: Path) -> None:
    path.parent.write_text("")
    async with open_store(path) as store:
        with pytest.raises(StoreError) as caught:
            await store.get("key")
    assert sentence(caught, path) == "cannot be opened (File exists)"


async def test_a_full_disk_is_told_once_and_recovered_from(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with monkeypatch.context() as patch:
        full = (*database_module.SETTINGS, "PRAGMA max_page_count = 20")  # of 4 KiB each
        patch.setattr(database_module, "SETTINGS", full)
        async with open_store(path) as store:
            await store.set("small", 1)
            for _ in range(3):
                with pytest.raises(StoreError) as caught:
                    await store.list("large").append("x" * 500_000)
                assert sentence(caught, path) == "cannot be written, because the disk is full: make room"
                assert await store.get("small") == 1  # which does not look like a recovery
            assert logged(caplog) == [(logging.ERROR, str(caught.value))]
            patch.undo()
            assert await store.list("large").append("x" * 500_000) == 1
            assert await store.list("large").count() == 1
    assert logged(caplog)[1:] == [(logging.WARNING, "the store works again")]


# Others who write


async def test_readers_do_not_wait_for_writers(path: Path) -> None:
    async with open_store(path) as store:
        await store.set("key", 1)
        with locked(path):
            assert await store.get("key") == 1


async def test_a_writer_waits_and_the_loop_goes_on(path: Path) -> None:
    async with open_store(path) as store:
        await store.set("key", 1)
        async with trio.open_nursery() as nursery:
            with locked(path):
                nursery.start_soon(store.increment, "key")
                await wait_all_tasks_blocked()
                assert await store.get("key") == 1
        assert await store.get("key") == 2


async def test_a_writer_is_alone_before_it_reads(path: Path, clock: Clock) -> None:
    def work(connection: sqlite3.Connection) -> None:
        with closing(sqlite3.connect(path, timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")

    database = Database(path, clock)
    try:
        with pytest.raises(StoreError, match="was kept busy"):
            await database.write(work)
    finally:
        await database.aclose()


async def test_waiting_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT", 0.05)
    async with open_store(path) as store:
        await store.set("key", 1)
        with locked(path):
            with pytest.raises(StoreError) as caught:
                await store.set("key", 2)
            assert sentence(caught, path) == (
                "was kept busy by another process for 0.05 seconds: see which one it is"
            )
        await store.set("key", 3)
        assert await store.get("key") == 3


async def test_waiting_ends_while_a_file_is_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT", 0.05)
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA user_version = 0")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="was kept busy by another process"):
            async with open_store(path):
                pass


async def test_a_writer_may_stand_in_the_way_of_the_journal(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite does not wait by itself where it switches to write-ahead logging."""
    async with open_store(path) as store:
        await store.set("key", 1)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN IMMEDIATE")

        class Writer:
            """Stands in for the module `time`: ends its transaction when somebody waits."""

            monotonic = staticmethod(time.monotonic)

            @staticmethod
            def sleep(seconds: float) -> None:
                other.execute("COMMIT")

        monkeypatch.setattr(database_module, "time", Writer)
        async with open_store(path) as store:
            assert await store.get("key") == 1
        assert not other.in_transaction


# Cancelling


async def cancel_while_it_waits(store: Store, path: Path) -> None:
    """Cancel two writers: one is in its thread, the other one waits for that."""
    with locked(path):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.list("entries").append, "in the thread")
            await wait_all_tasks_blocked()
            nursery.start_soon(store.list("entries").append, "behind it")
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()


async def test_a_cancelled_write_happens_whole_or_not_at_all(path: Path) -> None:
    async with open_store(path) as store:
        entries = store.list("entries")
        await entries.append("first")
        await cancel_while_it_waits(store, path)
        await entries.append("last")  # it comes behind the thread that was left alone
        page = await entries.page(newest_first=False)
        assert [entry.value for entry in page.items] == ["first", "in the thread", "last"]
        assert page.total == 3


async def test_a_cancelled_write_may_fail_unseen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT", 0.05)
    async with open_store(path) as store:
        await store.set("key", 1)
        with locked(path):
            await cancel_while_busy(store)
            with pytest.raises(StoreError):
                await store.set("key", 3)
        assert await store.get("key") == 1


async def cancel_while_busy(store: Store) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.set, "key", 2)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_an_update_that_was_cancelled_lets_the_others_in(path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(found: int) -> int:
        entered.set()
        leave.wait()
        return found + 1

    async with open_store(path) as store:
        await store.set("key", 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.update, "key", slow)
            await trio.to_thread.run_sync(entered.wait)
            nursery.cancel_scope.cancel()
        assert await store.get("key") == 1
        leave.set()
        assert await store.increment("key") == 3


async def test_closing_leaves_a_thread_behind_that_hangs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hang(connection: sqlite3.Connection) -> None:
        entered.set()
        leave.wait()

    database = Database(path, Clock())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write, hang)
        await trio.to_thread.run_sync(entered.wait)
        nursery.cancel_scope.cancel()
    with monkeypatch.context() as patch:
        patch.setattr(database_module, "CLOSE_TIMEOUT", 0.01)
        await database.aclose()
    leave.set()
    await database.aclose()  # so that this test leaves nothing open


async def test_a_cancelled_worker_closes_its_files(path: Path) -> None:
    with trio.CancelScope() as scope:
        async with open_store(path) as store:
            await store.set("key", 1)
            scope.cancel()
            await store.set("key", 2)
    assert list(modes(path.parent)) == [path.name]  # the last one to close it has tidied up
    async with open_store(path) as store:
        assert await store.get("key") == 1
