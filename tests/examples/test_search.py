import re
import sqlite3
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from pad19 import ServerUnavailable
from pad19.testing import Answer, Client

from .conftest import CAPSULE

PATIENCE = 15.0  # seconds until something that must happen counts as missing


@pytest.fixture
def content(tmp_path: Path) -> Path:
    folder = tmp_path / "content"
    (folder / "notes").mkdir(parents=True)
    write(folder / "index.gmi", "# Launch pad\n\nRockets stand here.\n=> notes/moon.gmi To the Moon\n")
    write(folder / "notes/moon.gmi", "# The Moon\n\n* Craters, café\n")
    return folder


@pytest.fixture
def search(
    example: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    module = example("search")
    monkeypatch.setattr(module, "index_file", tmp_path / "search.sqlite3")
    return module


def write(file: Path, text: str) -> None:
    """Write a page that no other version of it can be taken for, however fast the test is."""
    file.with_suffix(".new").write_text(text, "utf-8")
    file.with_suffix(".new").replace(file)


async def ask(search: ModuleType, words: str | None) -> Answer:
    return await Client(search.routes, prefix="/search").get("/search/", words)


async def paths(search: ModuleType, words: str) -> list[str]:
    lines = (await ask(search, words)).text.splitlines()
    return [line.split()[1] for line in lines if line.startswith("=> /")]


def update(search: ModuleType, content: Path, *left_out: str) -> None:
    search.update(content, search.index_file, left_out)


FOUND = [  # what was typed, paths
    ("moon", ["/notes/moon.gmi", "/index.gmi"]),  # a title counts for more
    ("MOON", ["/notes/moon.gmi", "/index.gmi"]),
    ("moon rockets", ["/index.gmi"]),
    ("cafe", ["/notes/moon.gmi"]),
    ("Café", ["/notes/moon.gmi"]),
    ("saturn", []),
    ("notes", []),  # where a link leads is no text
    # What would mean something to FTS5 or SQL
    ("rockets OR moon", []),
    ("NOT moon", []),
    ('"moon', ["/notes/moon.gmi", "/index.gmi"]),
    ("title:moon", []),
    ("moon*", ["/notes/moon.gmi", "/index.gmi"]),
    ("moon'); DROP TABLE page; --", []),
    ("moon\0", ["/notes/moon.gmi", "/index.gmi"]),
    ("NEAR(moon, 5)", []),
    ("_", []),
    ("moon " * 100, ["/notes/moon.gmi", "/index.gmi"]),
]


@pytest.mark.parametrize(("typed", "found"), FOUND)
async def test_what_is_found(search: ModuleType, content: Path, typed: str, found: list[str]) -> None:
    update(search, content)
    assert await paths(search, typed) == found


async def test_what_a_page_of_results_looks_like(search: ModuleType, content: Path) -> None:
    write(content / "a b#?.gmi", "Secret\n=> gemini://evil.test/ plans\n```\n# x\n")
    update(search, content)
    assert (await ask(search, "plans")).text == (
        "# Pages with plans\n=> ./ Look for something else\n\n"
        "=> /a%20b%23%3F.gmi x\n> Secret plans x\n\n=> ../examples.gmi All examples\n"
    )
    assert "\nThere are none.\n" in (await ask(search, "saturn")).text


@pytest.mark.parametrize("typed", [None, "", "  ", "?!", "\0", '"'])
async def test_it_asks_for_words(search: ModuleType, typed: str | None) -> None:
    answer = await ask(search, typed)
    assert (answer.status, answer.meta) == (10, "Which words do you look for?")


async def test_changes_are_found(search: ModuleType, content: Path) -> None:
    update(search, content)
    write(content / "notes/moon.gmi", "# The Sun\n")
    write(content / "notes/mars.gmi", "no title, but red\n")
    (content / "index.gmi").unlink()
    update(search, content)
    assert await paths(search, "moon") == []
    assert await paths(search, "sun") == ["/notes/moon.gmi"]
    assert await paths(search, "red") == ["/notes/mars.gmi"]
    assert "=> /notes/mars.gmi notes/mars.gmi\n" in (await ask(search, "red")).text


def test_what_has_not_changed_is_not_read(
    search: ModuleType, content: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update(search, content)
    seen: list[Path] = []
    read = search.read

    def note(file: Path) -> Any:
        seen.append(file)
        return read(file)

    monkeypatch.setattr(search, "read", note)
    write(content / "index.gmi", "# New\n")
    update(search, content)
    assert seen == [content / "index.gmi"]


async def test_what_nobody_can_have_is_not_found(search: ModuleType, content: Path, tmp_path: Path) -> None:
    (content / "members").mkdir()
    (content / ".hidden").mkdir()
    write(tmp_path / "outside.gmi", "moon")
    for name in ("members/list.gmi", ".hidden/a.gmi", ".draft.gmi", "moon.txt"):
        write(content / name, "moon")
    (content / "link.gmi").symlink_to(tmp_path / "outside.gmi")
    (content / "link").symlink_to(tmp_path)
    (content / "caf\udce9").mkdir()  # a name that is not UTF-8 stands in no address
    for name in ("\udce9.gmi", "caf\udce9/moon.gmi"):
        (content / name).write_text("moon")
    update(search, content)
    assert sorted(await paths(search, "moon")) == ["/index.gmi", "/members/list.gmi", "/notes/moon.gmi"]
    update(search, content, "/members/", "/notes/")
    assert await paths(search, "moon") == ["/index.gmi"]


def test_the_zone_that_the_manual_teaches_is_left_out() -> None:
    settings = tomllib.loads((CAPSULE / "pad19.toml").read_text("utf-8"))["capsule"][0]["settings"]
    page = (CAPSULE / "content/hosting/members.gmi").read_text("utf-8")
    path = re.search(r'\[\[capsule.zone\]\]\npath = "(.*)"\nallow = "file:', page)
    assert path
    assert path[1] in settings["search_leaves_out"]
    assert "search_leaves_out" in page


async def test_pages_that_are_no_text(search: ModuleType, content: Path) -> None:
    (content / "latin.gmi").write_bytes(b"caf\xe9 x\xff\0 orbit\n")
    (content / "long.gmi").write_bytes(b"orbit " * 50_000 + b"beyond")
    (content / "empty.gmi").touch()
    update(search, content)
    assert sorted(await paths(search, "orbit")) == ["/latin.gmi", "/long.gmi"]
    assert await paths(search, "beyond") == []


async def test_an_update_that_fails_changes_nothing(
    search: ModuleType, content: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update(search, content)
    write(content / "index.gmi", "# New\n")
    (content / "notes/moon.gmi").unlink()

    def fail(file: Path) -> Any:
        raise OSError("the disk failed")

    with monkeypatch.context() as patch:
        patch.setattr(search, "read", fail)
        with pytest.raises(OSError, match="the disk failed"):
            update(search, content)
    assert await paths(search, "moon") == ["/notes/moon.gmi", "/index.gmi"]


def test_workers_do_not_do_it_twice(search: ModuleType, content: Path) -> None:
    for number in range(50):
        write(content / f"{number}.gmi", "orbit\n")
    threads = [threading.Thread(target=update, args=(search, content)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database = sqlite3.connect(search.index_file)
    assert database.execute("SELECT count(*), count(DISTINCT path) FROM page").fetchone() == (52, 52)
    database.close()


@pytest.mark.parametrize("state", ["unknown", "no folder", "no file", "no table"])
async def test_before_there_is_an_index(
    search: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    files = {"unknown": None, "no folder": tmp_path / "state" / "x", "no file": tmp_path / "x"}
    if state == "no table":
        search.index_file.touch()
    else:
        monkeypatch.setattr(search, "index_file", files[state])
    answer = await ask(search, "moon")
    assert (answer.status, answer.meta) == (41, "the index is being made, try again in a moment")


async def test_it_keeps_itself_fresh(search: ModuleType, content: Path, tmp_path: Path) -> None:
    async def finds(word: str, count: int) -> None:
        with trio.fail_after(PATIENCE):
            while len(found(search, word)) != count:
                await wait_all_tasks_blocked(0.02)

    state = tmp_path / "a" / "state"
    settings = {"search_leaves_out": ["/drafts/"]}
    async with Client(search.routes, files=content, settings=settings, state=state):
        await finds("moon", 2)
        assert search.index_file.parent == state
        write(content / "mars.gmi", "red")
        await finds("red", 1)
        (content / "drafts").mkdir()
        write(content / "drafts/venus.gmi", "red")
        write(content / "earth.gmi", "blue")
        await finds("blue", 1)
        assert len(found(search, "red")) == 1
        (content / "mars.gmi").unlink()
        await finds("red", 0)


async def test_what_changes_before_it_watches_is_found(
    search: ModuleType, content: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = search.update

    def update_before_a_change(*arguments: Any) -> None:
        original(*arguments)
        if not (content / "mars.gmi").exists():
            write(content / "mars.gmi", "red")

    monkeypatch.setattr(search, "update", update_before_a_change)
    monkeypatch.setattr(search, "ANYWAY", 300)
    async with Client(search.routes, files=content):
        with trio.fail_after(PATIENCE):
            while not found(search, "red"):
                await wait_all_tasks_blocked(0.02)


def found(search: ModuleType, word: str) -> list[Any]:
    try:
        results: list[Any] = search.find([word])
    except ServerUnavailable:
        return []
    return results


def test_it_ends_when_it_is_told_to(search: ModuleType, content: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=search.follow, args=(content, tmp_path / "x" / "index", (), stop))
    thread.start()
    stop.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
