"""Files of other versions and of other programs."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pad19.store import schema as schema_module
from pad19.store.interface import StoreError
from pad19.store.schema import MIGRATIONS
from pad19.store.sqlite import open_store

from .conftest import sentence


async def test_a_newer_file_is_refused(path: Path) -> None:
    async with open_store(path) as store:
        await store.set("key", 1)
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreError) as caught:
        async with open_store(path):
            pass
    assert sentence(caught, path) == (
        f"was written by a newer pad19 (version {len(MIGRATIONS) + 1} of its tables, "
        f"this one knows {len(MIGRATIONS)}): install that one again"
    )


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE value (x)", "PRAGMA user_version = 1", "PRAGMA application_id = 7"],
)
async def test_the_file_of_another_program_is_left_alone(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "other.sqlite3"
    with closing(sqlite3.connect(path)) as other:
        other.execute(statement)
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        async with open_store(path):
            pass
    assert sentence(caught, path) == "is an SQLite file of another program: name another file"
    assert path.read_bytes() == before


async def test_an_older_file_is_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_store(path) as store:
        await store.set("key", 1)
        await store.list("entries").append("first")
    step = ("ALTER TABLE entry ADD COLUMN author TEXT", "UPDATE entry SET author = 'Ada'")
    monkeypatch.setattr(schema_module, "MIGRATIONS", (*MIGRATIONS, step))
    async with open_store(path) as store:
        assert await store.get("key") == 1
        assert await store.list("entries").append("second") == 2
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT author FROM entry ORDER BY id").fetchall() == [("Ada",), (None,)]
        assert other.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)


async def test_a_step_that_fails_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(path) as store:
        await store.set("key", 1)
    with monkeypatch.context() as patch:
        patch.setattr(schema_module, "MIGRATIONS", (*MIGRATIONS, ("DELETE FROM value", "nonsense")))
        with pytest.raises(StoreError, match="nonsense"):
            async with open_store(path):
                pass
    async with open_store(path) as store:
        assert await store.get("key") == 1
