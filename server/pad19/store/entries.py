"""`Entries` on SQLite."""

import math
import sqlite3
from datetime import UTC, datetime
from typing import NamedTuple

from .database import Database
from .interface import Entry, Json, Page
from .values import check_size, check_whole, decode, encode

# Each `append` removes so many entries beyond ``keep``, so that a smaller ``keep`` stalls nobody.
TRIM = 100
_MAX_ID = 2**63 - 1  # what SQLite can compare; visitors may ask for more


class _List(NamedTuple):
    id: int
    last_id: int
    length: int


class SQLiteEntries:
    """A list in a namespace of a database."""

    def __init__(self, database: Database, namespace: str, name: str, keep: int | None) -> None:
        self._database = database
        self._place = (namespace, name)
        self._keep = keep

    async def append(self, value: Json) -> int:
        """See `Entries.append`."""
        text = encode(value)

        def work(connection: sqlite3.Connection) -> int:
            connection.execute(
                "INSERT INTO list (namespace, name, last_id, length) VALUES (?, ?, 1, 1) "
                "ON CONFLICT (namespace, name) DO UPDATE SET last_id = last_id + 1, length = length + 1",
                self._place,
            )
            found = self._find(connection)
            connection.execute(
                "INSERT INTO entry (list, id, value, created) VALUES (?, ?, ?, ?)",
                (found.id, found.last_id, text, self._database.clock()),
            )
            if self._keep is not None and (surplus := found.length - self._keep) > 0:
                (last,) = connection.execute(
                    "SELECT id FROM entry WHERE list = ? ORDER BY id LIMIT 1 OFFSET ?",
                    (found.id, min(surplus, TRIM) - 1),
                ).fetchone()
                self._remove(connection, found, 1, last)
            return found.last_id

        return await self._database.write(work)

    async def get(self, id: int) -> Entry | None:  # noqa: A002 - see `Entries.get`
        """See `Entries.get`."""
        number = _bounded(id)

        def work(connection: sqlite3.Connection) -> Entry | None:
            row = connection.execute(
                "SELECT id, value, created FROM entry WHERE list = ? AND id = ?",
                (self._find(connection).id, number),
            ).fetchone()
            return _entry(row) if row else None

        return await self._database.read(work)

    async def replace(self, id: int, value: Json) -> bool:  # noqa: A002 - see `Entries.get`
        """See `Entries.replace`."""
        number, text = _bounded(id), encode(value)

        def work(connection: sqlite3.Connection) -> bool:
            changed = connection.execute(
                "UPDATE entry SET value = ? WHERE list = ? AND id = ?",
                (text, self._find(connection).id, number),
            )
            return changed.rowcount > 0

        return await self._database.write(work)

    async def delete(self, id: int) -> bool:  # noqa: A002 - see `Entries.get`
        """See `Entries.delete`."""
        number = _bounded(id)

        def work(connection: sqlite3.Connection) -> bool:
            return self._remove(connection, self._find(connection), number, number) > 0

        return await self._database.write(work)

    async def clear(self) -> None:
        """See `Entries.clear`."""
        await self._database.write(
            lambda connection: self._remove(connection, self._find(connection), 1, _MAX_ID)
        )

    async def count(self) -> int:
        """See `Entries.count`."""
        return await self._database.read(lambda connection: self._find(connection).length)

    async def page(
        self,
        number: int = 1,
        *,
        size: int = 20,
        newest_first: bool = True,
        before: int | None = None,
        after: int | None = None,
    ) -> Page:
        """See `Entries.page`."""
        check_whole(number, "number")
        check_size(size, "size")
        high = _MAX_ID if before is None else _bounded(before, "before")
        low = 0 if after is None else _bounded(after, "after")

        def work(connection: sqlite3.Connection) -> Page:
            found = self._find(connection)
            total = found.length
            where = "FROM entry WHERE list = ? AND id > ? AND id < ?"
            if before is not None or after is not None:
                (total,) = connection.execute(f"SELECT count(*) {where}", (found.id, low, high)).fetchone()
            pages = math.ceil(total / size)
            if not 1 <= number <= pages:
                return Page((), number, pages, total)
            rows = connection.execute(
                f"SELECT id, value, created {where} "
                f"ORDER BY id {'DESC' if newest_first else 'ASC'} LIMIT ? OFFSET ?",
                (found.id, low, high, size, (number - 1) * size),
            ).fetchall()
            return Page(tuple(map(_entry, rows)), number, pages, total)

        return await self._database.read(work)

    def _find(self, connection: sqlite3.Connection) -> _List:
        row = connection.execute(
            "SELECT id, last_id, length FROM list WHERE namespace = ? AND name = ?", self._place
        ).fetchone()
        return _List(*row) if row else _List(0, 0, 0)  # ids begin with 1

    def _remove(self, connection: sqlite3.Connection, found: _List, first: int, last: int) -> int:
        """Delete the entries with these ids and those in between, and return how many they were."""
        removed = connection.execute(
            "DELETE FROM entry WHERE list = ? AND id BETWEEN ? AND ?", (found.id, first, last)
        ).rowcount
        connection.execute("UPDATE list SET length = length - ? WHERE id = ?", (removed, found.id))
        return removed


def _entry(row: tuple[int, str, float]) -> Entry:
    number, text, created = row
    return Entry(number, decode(text), datetime.fromtimestamp(created, UTC))


def _bounded(id: int, what: str = "id") -> int:  # noqa: A002 - see `Entries.get`
    """An id that SQLite can compare and that leads to the same entries, or to none.

    Raises:
        TypeError: It is no whole number, as a capture without ``:int`` is none.
    """
    check_whole(id, what)
    return max(-_MAX_ID, min(id, _MAX_ID))
