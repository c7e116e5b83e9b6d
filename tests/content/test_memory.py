"""Kept answers: given out while the disk looks the same, and not a request longer."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from content.pages import get
from pad19.content.files import Signature, signature_of
from pad19.content.memory import COARSE_NS, TICK_NS, Kept, Memory, is_settled
from pad19.content.static import StaticFiles
from pad19.protocol.failure import Failure
from pad19.protocol.response import Success
from support.disk import TomorrowsClock, next_tick
from support.users import unprivileged

SECOND = 1_000_000_000

# What a change leads to, from the first request to the one behind it


async def shown(files: StaticFiles, path: str) -> bytes | str:
    """The body, or the status and what stands behind it."""
    try:
        response = await get(files, path)
    except Failure as failure:
        return str(int(failure.status))
    if isinstance(response, Success):
        assert isinstance(response.body, bytes)
        return response.body if response.mimetype == "text/gemini" else response.mimetype
    return f"{int(response.status)} {response.meta}"


OLD, NEW = b"old\n", b"new\n"
DEEP = "/docs/deep/a.gmi"


def make_capsule(root: Path) -> None:
    (root / "docs" / "deep").mkdir(parents=True)
    for name in ("a.gmi", "docs/deep/a.gmi", "docs/index.gemini", "target.gmi"):
        (root / name).write_bytes(OLD)
    for name in ("other", "../outside"):
        (root / name).mkdir()
        (root / name / "a.gmi").write_bytes(NEW)
    (root / "link.gmi").symlink_to("target.gmi")
    (root / "folder").symlink_to("docs/deep")
    (root / "indexes").mkdir()
    (root / "indexes" / "index.gmi").symlink_to("../other/soon.gmi")
    (root / "indexes" / "index.gemini").write_bytes(OLD)
    (root / "rules").mkdir()
    (root / "rules" / ".meta").symlink_to("../other/soon.meta")
    (root / "rules" / "a.gmi").write_bytes(OLD)
    (root / "typed").mkdir()
    (root / "typed" / "a.gmi").write_bytes(OLD)
    (root / "typed" / ".meta").write_text("a.gmi: text/x-one")


def keep_looks(path: Path, content: bytes) -> None:
    """Edit without a trace in size or modification time."""
    status = path.stat()
    assert status.st_size == len(content)
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def rename_over(path: Path, content: bytes) -> None:
    new = path.with_name("new")
    new.write_bytes(content)
    shutil.copystat(path, new)
    new.replace(path)


def relink(link: Path, target: str) -> None:
    new = link.with_name("new")
    new.symlink_to(target)
    new.replace(link)


def turn_into_link(path: Path, target: str) -> None:
    path.rename(path.with_name("away"))
    path.symlink_to(target)


def move_out(path: Path) -> None:
    path.rename(path.parent.with_name("moved"))
    path.symlink_to("../moved")


def add(path: Path, content: str) -> None:
    path.write_text(content)


GONE = "*: 52 It left"
CHANGES: list[tuple[str, str, Callable[[Path], object], bytes | str]] = [
    ("edited", DEEP, lambda root: (root / "docs/deep/a.gmi").write_bytes(b"longer\n"), b"longer\n"),
    ("same size and time", DEEP, lambda root: keep_looks(root / "docs/deep/a.gmi", NEW), NEW),
    ("renamed over", DEEP, lambda root: rename_over(root / "docs/deep/a.gmi", NEW), NEW),
    ("deleted", DEEP, lambda root: (root / "docs/deep/a.gmi").unlink(), "51"),
    ("deleted with its folders", DEEP, lambda root: shutil.rmtree(root / "docs"), "51"),
    ("made a link in", DEEP, lambda root: turn_into_link(root / "docs/deep/a.gmi", "../../other/a.gmi"), NEW),
    ("made a link out", "/a.gmi", lambda root: turn_into_link(root / "a.gmi", "../outside/a.gmi"), "51"),
    ("link moved", "/link.gmi", lambda root: relink(root / "link.gmi", "other/a.gmi"), NEW),
    ("link moved out", "/link.gmi", lambda root: relink(root / "link.gmi", "../outside/a.gmi"), "51"),
    ("target edited", "/link.gmi", lambda root: keep_looks(root / "target.gmi", NEW), NEW),
    ("target deleted", "/link.gmi", lambda root: (root / "target.gmi").unlink(), "51"),
    ("folder's link moved", "/folder/a.gmi", lambda root: relink(root / "folder", "other"), NEW),
    ("folder's link moved out", "/folder/a.gmi", lambda root: relink(root / "folder", "../outside"), "51"),
    ("folder made a link", DEEP, lambda root: turn_into_link(root / "docs/deep", "../other"), NEW),
    ("folder made a link out", DEEP, lambda root: turn_into_link(root / "docs/deep", "../../outside"), "51"),
    (
        "folder moved out, a link left",
        DEEP,
        lambda root: move_out(root / "docs"),
        "51",
    ),
    (
        "index of higher precedence",
        "/docs/",
        lambda root: (root / "docs/index.gmi").write_bytes(NEW),
        NEW,
    ),
    ("index deleted", "/docs/", lambda root: (root / "docs/index.gemini").unlink(), "51"),
    ("index leads somewhere", "/indexes/", lambda root: (root / "other/soon.gmi").write_bytes(NEW), NEW),
    ("rules in the folder", DEEP, lambda root: add(root / "docs/deep/.meta", GONE), "52 It left"),
    ("rules in its parent", DEEP, lambda root: add(root / "docs/.meta", GONE), "52 It left"),
    ("rules in the root", DEEP, lambda root: add(root / ".meta", GONE), "52 It left"),
    ("rules for an index", "/docs/", lambda root: add(root / ".meta", "*/index.*: 52 It left"), "52 It left"),
    ("rules lead somewhere", "/rules/a.gmi", lambda root: add(root / "other/soon.meta", GONE), "52 It left"),
    (
        "rules edited",
        "/typed/a.gmi",
        lambda root: keep_looks(root / "typed/.meta", b"a.gmi: text/x-two"),
        "text/x-two",
    ),
    ("rules deleted", "/typed/a.gmi", lambda root: (root / "typed/.meta").unlink(), OLD),
    ("root gone", "/a.gmi", lambda root: root.rename(root / "../away"), "40"),
    ("root made a link", "/a.gmi", lambda root: turn_into_link(root, "outside"), NEW),
]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    ("path", "change", "after"), [row[1:] for row in CHANGES], ids=[r[0] for r in CHANGES]
)
async def test_change_shows_at_once(
    tmp_path: Path, path: str, change: Callable[[Path], object], after: bytes | str
) -> None:
    root = tmp_path / "root"
    make_capsule(root)
    files = StaticFiles(root)
    before = await shown(files, path)
    assert before in {OLD, "text/x-one"}
    assert await get(files, path) is await get(files, path)  # it is kept
    next_tick(tmp_path / "scratch")
    change(root)
    assert await shown(files, path) == after
    assert await shown(files, path) == after


@pytest.mark.usefixtures("settled")
async def test_modes_show_at_once(tmp_path: Path) -> None:
    with unprivileged() as root:
        for name in ("docs/a.gmi", "docs/index.gemini", "docs/index.gmi"):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_bytes(NEW if name.endswith("x.gmi") else OLD)
        (root / "docs/index.gmi").chmod(0)
        files = StaticFiles(root)
        for name in ("docs", "docs/a.gmi"):
            assert await get(files, "/docs/a.gmi") is await get(files, "/docs/a.gmi")
            mode = (root / name).stat().st_mode
            next_tick(root / "scratch")
            (root / name).chmod(0)
            assert await shown(files, "/docs/a.gmi") == "51"
            (root / name).chmod(mode)
            assert await shown(files, "/docs/a.gmi") == OLD
        # A better index that could not be read until now: nothing in the folder changes but its mode.
        assert await shown(files, "/docs/") == OLD
        assert await get(files, "/docs/") is await get(files, "/docs/")
        next_tick(root / "scratch")
        (root / "docs/index.gmi").chmod(0o600)
        assert await shown(files, "/docs/") == NEW


@pytest.mark.usefixtures("settled")
async def test_deploy_by_moving_a_link(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"release{number}").mkdir()
        (tmp_path / f"release{number}" / "index.gmi").write_bytes(b"%d" % number)
    live = tmp_path / "live"
    live.symlink_to("release0")
    files = StaticFiles(live)
    for number in [*range(1, 4), *range(20)]:
        relink(live, f"release{number % 4}")
        assert await shown(files, "/") == b"%d" % (number % 4)
        assert await get(files, "/") is await get(files, "/")
    live.unlink()
    assert await shown(files, "/") == "40"
    live.symlink_to("release3")
    assert await shown(files, "/") == b"3"


@pytest.mark.parametrize("keep_time", [False, True])
async def test_edits_in_quick_succession_are_never_missed(tmp_path: Path, *, keep_time: bool) -> None:
    page = tmp_path / "a.gmi"
    page.touch()
    status = page.stat()
    files = StaticFiles(tmp_path)
    for number in range(500):
        content = b"%03d" % number
        page.write_bytes(content)
        if keep_time:
            os.utime(page, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert await shown(files, "/a.gmi") == content


async def test_rules_edited_in_quick_succession_are_never_missed(tmp_path: Path) -> None:
    (tmp_path / "a.gmi").write_bytes(OLD)
    files = StaticFiles(tmp_path)
    for number in range(500):
        (tmp_path / ".meta").write_text(f"a.gmi: text/x-{number:03}")
        assert await shown(files, "/a.gmi") == f"text/x-{number:03}"


async def test_young_file_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.gmi").write_bytes(OLD)
    changed = (tmp_path / "a.gmi").stat().st_ctime_ns
    files = StaticFiles(tmp_path)

    class Clock:
        now = changed + TICK_NS

        @classmethod
        def time_ns(cls) -> int:
            return cls.now

    monkeypatch.setattr("pad19.content.sidecars.time", Clock)
    assert await get(files, "/a.gmi") is not await get(files, "/a.gmi")
    Clock.now += COARSE_NS  # the last digits of ``changed`` may happen to be zeros
    assert await get(files, "/a.gmi") is await get(files, "/a.gmi")


# By itself


def seen_at(changed: int) -> Signature:
    return (1, 2, 3, changed, changed)


FINE = 5 * SECOND + 1  # a file system that counts in nanoseconds
COARSE = 5 * SECOND  # one that, for all we know, counts in seconds
SETTLED = [
    (FINE, FINE - SECOND, False),  # the clock was set back
    (FINE, FINE, False),
    (FINE, FINE + TICK_NS, False),
    (FINE, FINE + TICK_NS + 1, True),
    (COARSE, COARSE + TICK_NS + 1, False),
    (COARSE, COARSE + COARSE_NS, False),
    (COARSE, COARSE + COARSE_NS + 1, True),
]


@pytest.mark.parametrize(("changed", "looked", "settled"), SETTLED)
def test_answer_is_kept_when_any_change_would_show(changed: int, looked: int, *, settled: bool) -> None:
    assert is_settled(seen_at(changed), looked) is settled
    young = ("/young", seen_at(changed))
    old = ("/old", seen_at(1))
    for witnesses in ((young,), (young, old), (old, young), (young, ("/nothing", None))):
        kept = Kept(Success(b""), 0, witnesses, looked)
        assert kept.is_settled() is settled
        memory = Memory()
        memory.keep("/", kept)
        assert bool(memory.size) is settled


def kept(root: Path, size: int = 0) -> Kept:
    """An answer that depends on one file, which is there, and on one that is not."""
    path = str(root / "a")
    response = Success(bytes(size))
    return Kept(response, size, ((path, signature_of(path)), (f"{path}b", None)), TomorrowsClock.time_ns())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").write_bytes(OLD)
    return tmp_path


def test_answer_is_given_out_until_a_witness_changes(folder: Path) -> None:
    memory = Memory()
    assert memory.get("/") is None
    answer = kept(folder)
    memory.keep("/", answer)
    assert memory.get("/") is answer.response
    assert memory.get("/b") is None
    (folder / "ab").touch()
    assert memory.get("/") is None
    (folder / "ab").unlink()
    assert memory.get("/") is None  # it is gone for good
    memory.keep("/", kept(folder))
    assert memory.get("/") is not None
    (folder / "a").unlink()
    assert memory.get("/") is None
    assert memory.size == 0


def test_size_counts_what_is_kept(folder: Path) -> None:
    memory = Memory()
    for size in (10, 500, 0):  # the same path again: only the last one counts
        memory.keep("/", kept(folder, size))
        assert memory.size == kept(folder, size).cost
    memory.keep("/b", kept(folder, 7))
    assert memory.size == kept(folder, 0).cost + kept(folder, 7).cost
    (folder / "a").unlink()
    assert memory.get("/") is None
    assert memory.get("/b") is None
    assert memory.size == 0


def test_cost_grows_with_body_and_paths(folder: Path) -> None:
    answer = kept(folder)
    assert kept(folder, 1000).cost == answer.cost + 1000
    longer = replace(answer, witnesses=(*answer.witnesses, ("x" * 4000, None)))
    assert longer.cost >= answer.cost + 4000


def test_oldest_answers_leave_when_it_is_full(folder: Path) -> None:
    one = kept(folder, 1000).cost
    memory = Memory(3 * one)
    for name in "abc":
        memory.keep(name, kept(folder, 1000))
    assert memory.size == 3 * one
    memory.keep("a", kept(folder, 1000))  # kept again, so "b" is the oldest
    memory.keep("d", kept(folder, 1000))
    assert [name for name in "abcd" if memory.get(name)] == ["a", "c", "d"]
    memory.keep("e", kept(folder, 1000 + one))
    assert [name for name in "acde" if memory.get(name)] == ["d", "e"]
    assert memory.size == 3 * one


def test_answer_that_is_too_large_is_not_kept(folder: Path) -> None:
    memory = Memory(kept(folder, 1000).cost)
    memory.keep("a", kept(folder, 1001))
    assert memory.get("a") is None
    assert memory.size == 0
    memory.keep("a", kept(folder, 1000))
    assert memory.get("a") is not None
