"""An SQLite file that several processes write at once, used from trio.

Every transaction runs whole in a worker thread, so a disk that hangs keeps waiting only those who want
something from it. They can be cancelled: the thread is then left to end by itself, and what it does
happens as a whole or not at all. There is one connection to write with and one to read with, each in
one thread at a time, and readers do not wait for writers (write-ahead logging).

A file is made, and connections are opened, by the first who need them; after an error they are opened
again by the next one, so that a disk which has room again needs no restart.
"""

import errno
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from .interface import StoreError
from .schema import Mode, migrate, transaction

LOGGER = logging.getLogger("pad19.store")

BUSY_TIMEOUT = 10.0  # seconds to wait for other processes; one transaction takes milliseconds
BUSY_INTERVAL = 0.01  # seconds between attempts where SQLite itself does not wait
CLOSE_TIMEOUT = 1.0  # seconds for the thread of a connection to come back
FILE_MODE = 0o600  # what visitors wrote is not for everybody; SQLite gives -wal and -shm the same
FOLDER_MODE = 0o700
# EXTRA is FULL, and also safe where a file system cannot do write-ahead logging: a commit is on the disk.
SETTINGS = ("PRAGMA synchronous = EXTRA",)

_READ_ONLY = "cannot be written: let this process write to it and to its folder"
_DAMAGED = "is damaged: put back a copy, or move it away with its -wal and -shm files to begin anew"
_FULL = "cannot be written, because the disk is full: make room"
_REASONS = {
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    # SQLite does not tell why, and file descriptors that ran out look the same.
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: see that this process may write to it and to its folder",
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_FULL: _FULL,
}
_OS_REASONS = {
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
    errno.EROFS: _READ_ONLY,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
}

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class Database:
    """Runs transactions. ``path``: None is a private one in memory, which needs no threads."""

    def __init__(self, path: Path | None, clock: Callable[[], float]) -> None:
        """``clock`` is `clock`: Unix time in seconds, also for threads."""
        self.clock = clock
        self._in_memory = path is None
        self._writer = _Connection(path)
        self._reader = _Connection(path) if path else self._writer

    async def check(self) -> None:
        """See whether the file, if there is one, can be used.

        Raises:
            StoreError: It cannot.
        """
        await self._in_turn(self._reader, self._reader.check)

    async def read(self, work: Work[T]) -> T:
        """Call ``work`` in a transaction that sees one state of everything and changes nothing.

        Raises:
            StoreError: The file cannot be used.
        """
        return await self._run(self._reader, "DEFERRED", work)

    async def write(self, work: Work[T]) -> T:
        """Call ``work`` while nobody else writes; what it changed is on the disk when this returns.

        Raises:
            StoreError: The file cannot be used, or others have kept it busy for too long.
        """
        return await self._run(self._writer, "IMMEDIATE", work)

    async def aclose(self) -> None:
        """Close the file, even when cancelled; it is left to the end of the process if the disk hangs."""
        with trio.CancelScope(deadline=trio.current_time() + CLOSE_TIMEOUT, shield=True):
            for connection in (self._reader, self._writer):
                try:
                    await self._in_turn(connection, connection.close)
                except RuntimeError:  # the system has no thread left; it was our turn, so nobody is at work
                    connection.close()

    async def _run(self, connection: "_Connection", mode: Mode, work: Work[T]) -> T:
        try:
            result = await self._in_turn(connection, partial(connection.run, mode, work))
        except StoreError as error:
            # Whatever the routes make of it, the operator learns it, and once.
            if not connection.failing:
                LOGGER.error("%s", error)  # noqa: TRY400 - the sentence says all
            connection.failing = True
            raise
        if connection.failing:
            LOGGER.warning("the store works again")
            connection.failing = False
        return result

    async def _in_turn(self, connection: "_Connection", work: Callable[[], T]) -> T:
        if self._in_memory:
            # Without threads, tests with a virtual clock do not see time pass while one is at work.
            await trio.lowlevel.checkpoint()
            return work()
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=connection.limiter)


class _Connection:
    """One of SQLite's connections. The limiter keeps a second thread out, also after a cancellation."""

    def __init__(self, path: Path | None) -> None:
        self.limiter = trio.CapacityLimiter(1)
        self.failing = False
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    # The methods run in a thread.

    def run(self, mode: Mode, work: Work[T]) -> T:
        with self._translated(), transaction(connection := self._open(), mode):
            return work(connection)

    def check(self) -> None:
        with self._translated():
            with _opening(self._path):
                missing = self._path is not None and not self._path.exists()
            if not missing:
                self._open()

    def close(self) -> None:
        self._closed = True
        self._drop()

    def _open(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError("the store is closed: it was used after the end of the worker's lifespan")
        if self._connection is None:
            with _opening(self._path):
                self._connection = _open(self._path)
        return self._connection

    def _drop(self) -> None:
        if self._connection:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = _code(error)
            if code == sqlite3.SQLITE_BUSY:
                reason = f"was kept busy by another process for {BUSY_TIMEOUT:g} seconds: see which one it is"
            else:
                reason = _REASONS.get(code, f"cannot be used ({error})")
                if self._path:  # what is in memory has no second chance
                    self._drop()
            raise StoreError(f"the store {self._path or 'in memory'} {reason}") from error


@contextmanager
def _opening(path: Path | None) -> Iterator[None]:
    """Translate what the system says about a file. Errors of the same kind elsewhere are an author's own."""
    try:
        yield
    except OSError as error:
        reason = _OS_REASONS.get(error.errno or 0, f"cannot be opened ({error.strerror})")
        raise StoreError(f"the store {path} {reason}") from error


def _open(path: Path | None) -> sqlite3.Connection:
    if path:
        path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        # Only where there is no file yet: closing another descriptor of one in use would drop the locks
        # of this process (fcntl(2)).
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
    # Absolute, because some builds of SQLite take "file:name" for a URI.
    connection = sqlite3.connect(
        path.absolute() if path else ":memory:",
        timeout=BUSY_TIMEOUT,
        isolation_level=None,  # transactions begin where we say so
        check_same_thread=False,
    )
    try:
        migrate(connection, path)
        _log_ahead(connection)
        for setting in SETTINGS:
            connection.execute(setting)
    except BaseException:
        connection.close()
        raise
    return connection


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; when others do so too, SQLite gives up without waiting."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(BUSY_INTERVAL)
        else:
            return


def _code(error: sqlite3.Error) -> int:
    """The primary result code; 0 if the error is not SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
