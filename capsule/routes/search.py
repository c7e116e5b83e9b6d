"""Full-text search over the pages of this capsule.

The index is an SQLite file (FTS5) in the state folder. watchfiles tells when a page has changed, and
then whatever is new is read again. The file can be deleted at any time: it is made anew.

It reads files, which no zone keeps it from, and shows what it finds to everybody. So pad19.toml has to name
what not all may read:

    [capsule.settings]
    search_leaves_out = ["/members/"]
"""

import os
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import trio
from watchfiles import watch

from pad19 import Capsule, Gemtext, Input, Request, Routes, ServerUnavailable

SUFFIXES = (".gmi", ".gemini")
MAX_PAGE = 200_000  # bytes; what comes after them is not found
MAX_WORDS = 10
MAX_RESULTS = 20
EXCERPT = 160  # characters
QUIET = 200  # milliseconds without another change, so that many files are one change
# Milliseconds until it looks without being told: of what changes right before it begins to watch, and on
# network file systems, nobody is.
ANYWAY = 5_000
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what Python has for the bytes in a name that are not UTF-8
MARKS = re.compile(r"^(?:=>\s*\S+|#+|\*|>|```)\s*")  # at the beginning of a line of gemtext

TABLE = """
CREATE VIRTUAL TABLE IF NOT EXISTS page
USING fts5(title, body, path UNINDEXED, version UNINDEXED, tokenize="unicode61 remove_diacritics 2")
"""
# A word in a title counts for more. Without FTS5's snippet(): where a word is in a page a thousand times,
# it would take seconds.
QUERY = "SELECT path, title, body FROM page WHERE page MATCH ? ORDER BY bm25(page, 5.0, 1.0) LIMIT ?"

routes = Routes()
index_file: Path | None = None  # known once the server has started


# A plain def: it runs in a thread, so the server goes on while it waits for the disk.
@routes.gemini("/", rate="30/1m")
def search(request: Request) -> Input | Gemtext:
    """Ask for words, and list the pages that have all of them."""
    # Words alone, since other characters mean something in FTS5's queries.
    words = re.findall(r"\w+", request.query or "")[:MAX_WORDS]
    if not words:
        return Input("Which words do you look for?")
    page = Gemtext().heading(f"Pages with {' '.join(words)}").link("./", "Look for something else").text()
    results = find(words)
    for path, title, body in results:
        page.link(f"/{quote(path)}", title).quote(excerpt(body, words))
    page.text("" if results else "There are none.")
    return page.link("../examples.gmi", "All examples")


def find(words: Iterable[str]) -> list[tuple[str, str, str]]:
    """Path, title and text of each page, the best ones first."""
    query = " ".join(f'"{word}"' for word in words)
    try:
        if index_file is not None:
            with closing(sqlite3.connect(index_file)) as database:
                return database.execute(QUERY, (query, MAX_RESULTS)).fetchall()
    except sqlite3.OperationalError:  # there is no file yet, or nothing in it
        pass
    raise ServerUnavailable("the index is being made, try again in a moment")


def excerpt(body: str, words: Iterable[str]) -> str:
    """The part of a text where the first of the words is."""
    found = re.search("|".join(words), body, re.IGNORECASE)
    start = max(found.start() - EXCERPT // 2, 0) if found else 0
    return " ".join(body[start : start + EXCERPT].split())


# Runs beside the requests, in each worker, from the start to the end.
@routes.background
async def keep_fresh(capsule: Capsule) -> None:
    """Make the index, and keep it up to date."""
    global index_file
    index_file = capsule.state / "search.sqlite3"
    left_out = tuple(capsule.settings.get("search_leaves_out", ()))
    stop = threading.Event()
    try:
        # In a thread as well. Nobody waits for it when the server stops: it is told to end.
        await trio.to_thread.run_sync(
            follow, capsule.content, index_file, left_out, stop, abandon_on_cancel=True
        )
    finally:
        stop.set()


def follow(content: Path, index: Path, left_out: tuple[str, ...], stop: threading.Event) -> None:
    """Update the index now, and after each change of a page, until ``stop`` is set."""
    index.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    update(content, index, left_out)
    for _ in watch(content, step=QUIET, rust_timeout=ANYWAY, yield_on_timeout=True, stop_event=stop):
        update(content, index, left_out)


def update(content: Path, index: Path, left_out: tuple[str, ...] = ()) -> None:
    """Read the pages that are new or have changed into the index, and remove those that are gone."""
    # The second "with" ends the transaction: by a commit, or by a rollback if something is raised.
    with closing(sqlite3.connect(index, isolation_level=None)) as database, database:
        # The first thing is to lock it. All workers do this, and the later ones find nothing to do.
        database.execute("BEGIN IMMEDIATE")
        database.execute(TABLE)
        rows = database.execute("SELECT path, version, rowid FROM page")
        known = {path: (version, row) for path, version, row in rows}
        for path, version in pages(content, left_out):
            old_version, row = known.pop(path, (None, None))
            if version == old_version:
                continue
            title, body = read(content / path)
            database.execute("DELETE FROM page WHERE rowid = ?", (row,))
            database.execute("INSERT INTO page VALUES (?, ?, ?, ?)", (title or path, body, path, version))
        database.executemany("DELETE FROM page WHERE rowid = ?", [(row,) for _, row in known.values()])


def pages(content: Path, left_out: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The paths of the pages below ``content``, each with a text that changes when the page does."""
    for folder, folders, names in os.walk(content):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            file = Path(folder, name)
            path = file.relative_to(content).as_posix()
            # What visitors cannot have must not be found either: hidden files, links out of the folder, and
            # what no address can name.
            if name.startswith(".") or not name.endswith(SUFFIXES) or file.is_symlink():
                continue
            if f"/{path}".startswith(left_out) or NOT_UTF8.search(path):
                continue
            status = file.stat()
            yield path, f"{status.st_mtime_ns} {status.st_size} {status.st_ino}"


def read(file: Path) -> tuple[str, str]:
    """The title of a page, and its text without the marks of gemtext."""
    with file.open("rb") as opened:
        lines = opened.read(MAX_PAGE).decode("utf-8", "replace").splitlines()
    title = next((line.lstrip("# ") for line in lines if line.startswith("#")), "")
    return title, "\n".join(MARKS.sub("", line) for line in lines)
