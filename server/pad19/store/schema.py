"""The tables in the file, and how those of an older version become those of this one."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from .interface import StoreError

APPLICATION_ID = 0x70616431  # "pad1" (PRAGMA application_id)
# One tuple of statements for each version of the schema (PRAGMA user_version). During a reload, workers
# of the old version go on for a while with what the new one has made of the file, so a step only adds.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE value (
            id INTEGER PRIMARY KEY,
            namespace TEXT NOT NULL,  -- names with "/" between them, "" for the outermost one
            key TEXT NOT NULL,
            value TEXT NOT NULL,  -- JSON
            expires REAL,  -- Unix time in seconds; NULL: never
            UNIQUE (namespace, key)
        )""",
        "CREATE INDEX value_expires ON value (expires) WHERE expires IS NOT NULL",
        """CREATE TABLE list (
            id INTEGER PRIMARY KEY,
            namespace TEXT NOT NULL,
            name TEXT NOT NULL,
            last_id INTEGER NOT NULL,  -- the highest entry.id that was ever given out
            length INTEGER NOT NULL,  -- counting them takes too long
            UNIQUE (namespace, name)
        )""",
        """CREATE TABLE entry (
            list INTEGER NOT NULL,
            id INTEGER NOT NULL,
            value TEXT NOT NULL,  -- JSON
            created REAL NOT NULL,  -- Unix time in seconds
            PRIMARY KEY (list, id)
        )""",
    ),
)

Mode = Literal["DEFERRED", "IMMEDIATE"]  # IMMEDIATE: nobody else writes from the beginning on


def migrate(connection: sqlite3.Connection, path: Path | None) -> None:
    """Bring the schema up to date.

    Raises:
        StoreError: It is of the future, or of another program.
    """
    with transaction(connection, "DEFERRED"):  # no need to wait for writers on most days
        if _version(connection, path) == len(MIGRATIONS):
            return
    with transaction(connection, "IMMEDIATE"):
        for statements in MIGRATIONS[_version(connection, path) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _version(connection: sqlite3.Connection, path: Path | None) -> int:
    """How many migrations the file has seen."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise StoreError(f"the store {path} is an SQLite file of another program: name another file")
    if version > len(MIGRATIONS):
        raise StoreError(
            f"the store {path} was written by a newer pad19 (version {version} of its tables, "
            f"this one knows {len(MIGRATIONS)}): install that one again"
        )
    return int(version)


@contextmanager
def transaction(connection: sqlite3.Connection, mode: Mode) -> Iterator[None]:
    """Commit what happens in the block, or undo it if it raises."""
    connection.execute(f"BEGIN {mode}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # after some errors SQLite has done so itself
            connection.execute("ROLLBACK")
        raise
