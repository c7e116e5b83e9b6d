"""`Store` on SQLite, from 3.24 (2018) on."""

import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .database import Database, Work
from .entries import SQLiteEntries
from .interface import Json
from .values import check_key, check_seconds, check_size, check_whole, decode, encode

# Each write removes so many values that have expired: as it brings at most one, they do not pile up.
SWEEP = 16

T = TypeVar("T")


@asynccontextmanager
async def open_store(
    path: Path | None, clock: Callable[[], float] = time.time
) -> "AsyncIterator[SQLiteStore]":
    """Use the store in a file, or one in memory if ``path`` is None, and close it at the end.

    A file that is missing is made, with its folder, when the store is first used. ``clock`` returns Unix
    time in seconds and may be called in threads.

    Raises:
        StoreError: There is a file, and it cannot be used.
    """
    database = Database(path, clock)
    try:
        await database.check()
        yield SQLiteStore(database)
    finally:
        await database.aclose()


class _Value(NamedTuple):
    text: str  # JSON
    expires: float | None  # Unix time in seconds


class SQLiteStore:
    """A namespace of a database."""

    def __init__(self, database: Database, namespace: str = "") -> None:
        self._database = database
        self._namespace = namespace

    async def get(self, key: str, default: Any = None) -> Any:
        """See `Store.get`."""
        check_key(key)

        def work(connection: sqlite3.Connection) -> Any:
            found = self._find(connection, key)
            return decode(found.text) if found else default

        return await self._database.read(work)

    async def set(self, key: str, value: Json, *, expires_in: float | None = None) -> None:
        """See `Store.set`."""
        check_key(key)
        check_seconds(expires_in)
        text = encode(value)
        await self._write(lambda connection: self._put(connection, key, text, self._expiry(expires_in)))

    async def add(self, key: str, value: Json, *, expires_in: float | None = None) -> bool:
        """See `Store.add`."""
        check_key(key)
        check_seconds(expires_in)
        text = encode(value)

        def work(connection: sqlite3.Connection) -> bool:
            if self._find(connection, key):
                return False
            self._put(connection, key, text, self._expiry(expires_in))
            return True

        return await self._write(work)

    async def delete(self, key: str) -> bool:
        """See `Store.delete`."""
        check_key(key)

        def work(connection: sqlite3.Connection) -> bool:
            found = self._find(connection, key)
            connection.execute("DELETE FROM value WHERE namespace = ? AND key = ?", (self._namespace, key))
            return found is not None

        return await self._write(work)

    async def increment(self, key: str, by: int = 1, *, expires_in: float | None = None) -> int:
        """See `Store.increment`."""
        check_key(key)
        check_whole(by, "by")
        check_seconds(expires_in)

        def work(connection: sqlite3.Connection) -> int:
            found = self._find(connection, key)
            count = decode(found.text) if found else 0
            if type(count) is not int:  # bool is one by inheritance
                raise TypeError(f"the value of {key!r} is {type(count).__name__}, which cannot be counted")
            count += by
            expires = found.expires if found else self._expiry(expires_in)
            self._put(connection, key, encode(count), expires)
            return count

        return await self._write(work)

    async def update(
        self,
        key: str,
        function: Callable[[Any], Json],
        default: Json = None,
        *,
        expires_in: float | None = None,
    ) -> Any:
        """See `Store.update`."""
        check_key(key)
        check_seconds(expires_in)
        if not callable(function):
            kind = type(function).__qualname__
            raise TypeError(f"the update of {key!r} needs a function of the value, not {kind}")
        text = encode(default)  # the function may change what it gets, but not what the caller has

        def work(connection: sqlite3.Connection) -> Any:
            found = self._find(connection, key)
            value = function(decode(found.text if found else text))
            if value is None:
                raise TypeError(f"the update of {key!r} returned None: return the new value, or use delete")
            kept = found.expires if found else None
            self._put(
                connection, key, encode(value), kept if expires_in is None else self._expiry(expires_in)
            )
            return value

        return await self._write(work)

    async def keys(self, prefix: str = "", *, after: str = "", limit: int = 100) -> tuple[str, ...]:
        """See `Store.keys`."""
        for part in filter(None, (prefix, after)):
            check_key(part)
        check_size(limit, "limit")

        def work(connection: sqlite3.Connection) -> tuple[str, ...]:
            rows = connection.execute(
                "SELECT key FROM value WHERE namespace = ? AND key >= ? AND key > ? "
                "AND (expires IS NULL OR expires > ?) ORDER BY key LIMIT ?",
                (self._namespace, prefix, after, self._database.clock(), limit),
            ).fetchall()
            # They are sorted by their bytes, so the ones that begin alike are neighbours.
            return tuple(takewhile(lambda key: key.startswith(prefix), (key for (key,) in rows)))

        return await self._database.read(work)

    def namespace(self, name: str) -> "SQLiteStore":
        """See `Store.namespace`."""
        check_key(name, "namespace")
        if "/" in name:
            raise ValueError(f"the namespace {name!r} holds a slash, which separates nested ones")
        path = f"{self._namespace}/{name}" if self._namespace else name
        return SQLiteStore(self._database, check_key(path, "path of namespaces"))

    def list(self, name: str, *, keep: int | None = None) -> "SQLiteEntries":
        """See `Store.list`."""
        check_key(name, "list")
        if keep is not None:
            check_whole(keep, "keep")
            if keep < 1:
                raise ValueError(f"a list that keeps {keep} entries is of no use: keep 1 or more")
        return SQLiteEntries(self._database, self._namespace, name, keep)

    async def _write(self, work: Work[T]) -> T:
        def sweep_and_work(connection: sqlite3.Connection) -> T:
            connection.execute(
                "DELETE FROM value WHERE id IN (SELECT id FROM value WHERE expires <= ? LIMIT ?)",
                (self._database.clock(), SWEEP),
            )
            return work(connection)

        return await self._database.write(sweep_and_work)

    def _find(self, connection: sqlite3.Connection, key: str) -> _Value | None:
        row = connection.execute(
            "SELECT value, expires FROM value WHERE namespace = ? AND key = ? "
            "AND (expires IS NULL OR expires > ?)",
            (self._namespace, key, self._database.clock()),
        ).fetchone()
        return _Value(*row) if row else None

    def _put(self, connection: sqlite3.Connection, key: str, text: str, expires: float | None) -> None:
        connection.execute(
            "INSERT INTO value (namespace, key, value, expires) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value, expires = excluded.expires",
            (self._namespace, key, text, expires),
        )

    def _expiry(self, seconds: float | None) -> float | None:
        return None if seconds is None else self._database.clock() + seconds
