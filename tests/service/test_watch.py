"""The watcher, by watchfiles itself."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pad19.service.watch import Watcher
from support.disk import descriptors
from support.waiting import is_readable, wait_for_threads, wait_until

STEP = 50  # milliseconds
PATIENCE = 10.0  # seconds until something that must happen counts as missing
SILENCE = 0.5  # seconds in which what must not happen would have happened


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    watcher = Watcher(step=STEP)
    yield watcher
    watcher.close()
    wait_for_threads("watch")


def tells(watcher: Watcher, seconds: float) -> bool:
    """Whether it says something within that time, which is forgotten then."""
    ready = is_readable(watcher, seconds)
    watcher.clear()
    return ready


def look(watcher: Watcher, files: list[Path], folders: list[Path], poke: Path) -> None:
    """Watch these, and see that it does: poking a file leads to news, until it is left alone."""
    watcher.look_at(map(os.fspath, files), map(os.fspath, folders))
    assert tells(watcher, PATIENCE)  # who knows what has changed before
    poke.write_text("poke")
    assert tells(watcher, PATIENCE)
    while tells(watcher, SILENCE):
        pass


def write(path: Path) -> None:
    path.write_text("changed")


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write("more")


def replace(path: Path) -> None:
    new = path.with_suffix(".new")
    new.write_text("new")
    new.replace(path)


def remove(path: Path) -> None:
    path.unlink()


def touch(path: Path) -> None:
    os.utime(path, ns=(0, 1))


def move(path: Path) -> None:
    path.rename(path.with_suffix(".old"))


CHANGES: list[Callable[[Path], None]] = [write, append, replace, remove, touch, move]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes(tmp_path: Path, watcher: Watcher, change: Callable[[Path], None]) -> None:
    path = tmp_path / "a.toml"
    look(watcher, [path], [], path)
    change(path)
    assert tells(watcher, PATIENCE)


def test_a_file_that_is_not_there_yet(tmp_path: Path, watcher: Watcher) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    look(watcher, [first, second], [], first)
    second.touch()
    assert tells(watcher, PATIENCE)


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_in_a_folder(tmp_path: Path, watcher: Watcher, change: Callable[[Path], None]) -> None:
    poke, path = tmp_path / "poke", tmp_path / "b.toml"
    path.touch()
    look(watcher, [], [tmp_path], poke)
    change(path)
    assert tells(watcher, PATIENCE)


@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_link_on_the_way_to_a_file_is_moved(tmp_path: Path, watcher: Watcher, is_absolute: bool) -> None:
    for name in ("one", "two"):
        (tmp_path / "versions" / name).mkdir(parents=True)
        (tmp_path / "versions" / name / "a.toml").write_text(name)
    link, path = tmp_path / "..data", tmp_path / "a.toml"
    versions = tmp_path / "versions" if is_absolute else Path("versions")
    link.symlink_to(versions / "one")
    path.symlink_to("..data/a.toml")  # as Kubernetes has it
    look(watcher, [path], [], path)
    new = tmp_path / "..new"
    new.symlink_to(versions / "two")
    new.replace(link)
    assert tells(watcher, PATIENCE)
    (tmp_path / "loop").symlink_to("loop")
    watcher.look_at([os.fspath(tmp_path / "loop/a.toml")], [])  # leads nowhere, and to an end


def test_what_is_beside_does_not_matter(tmp_path: Path, watcher: Watcher) -> None:
    path, beside, below = tmp_path / "a.toml", tmp_path / "a.toml~", tmp_path / "below"
    below.mkdir()
    look(watcher, [path], [], path)
    for change in (write, append, replace, remove):
        change(beside)
    write(below / "a.toml")
    assert not tells(watcher, SILENCE)
    write(path)
    assert tells(watcher, PATIENCE)


def test_many_changes_are_one(tmp_path: Path, watcher: Watcher) -> None:
    path = tmp_path / "a.toml"
    look(watcher, [path], [], path)
    for _ in range(1000):
        append(path)
    assert is_readable(watcher, PATIENCE)
    assert os.read(watcher.fileno(), 100) == b"!"


def test_links_and_what_they_lead_to(tmp_path: Path, watcher: Watcher) -> None:
    live, archive = tmp_path / "live", tmp_path / "archive"
    for folder in (live, archive):
        folder.mkdir()
    first, second = archive / "key1.pem", archive / "key2.pem"
    link = live / "key.pem"
    link.symlink_to("../archive/key1.pem")
    look(watcher, [link], [], first)  # the file itself
    second.touch()
    assert not tells(watcher, SILENCE)
    link.unlink()
    link.symlink_to("../archive/key2.pem")  # the link
    assert tells(watcher, PATIENCE)


def test_a_folder_behind_a_link(tmp_path: Path, watcher: Watcher) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    look(watcher, [tmp_path / "link/a.toml"], [], tmp_path / "real/a.toml")


def replace_folder(folder: Path) -> None:
    """Another folder of that name, for sure with another inode."""
    folder.rename(folder.with_name("old"))
    folder.mkdir()


def test_a_folder_that_was_replaced(tmp_path: Path, watcher: Watcher) -> None:
    folder = tmp_path / "routes"
    folder.mkdir()
    look(watcher, [], [tmp_path, folder], folder / "a.py")
    replace_folder(folder)
    assert tells(watcher, PATIENCE)
    look(watcher, [], [tmp_path, folder], folder / "a.py")


def test_a_folder_that_is_replaced_is_news(tmp_path: Path, watcher: Watcher) -> None:
    file, folder = tmp_path / "pad19.toml", tmp_path / "routes"
    folder.mkdir()
    look(watcher, [file], [folder], folder / "a.py")
    replace_folder(folder)
    assert tells(watcher, PATIENCE)


def away_and_back(folder: Path) -> None:
    folder.rename(folder.with_name("away"))
    folder.with_name("away").rename(folder)


def made_anew(folder: Path) -> None:
    """Where the file system likes to, with the same inode."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.mkdir()


@pytest.mark.parametrize("change", [replace_folder, away_and_back, made_anew])
def test_a_folder_that_was_replaced_is_looked_at_without_being_told(
    tmp_path: Path, watcher: Watcher, change: Callable[[Path], None]
) -> None:
    folder = tmp_path / "routes"
    folder.mkdir()
    look(watcher, [], [folder], folder / "a.py")
    change(folder)
    assert tells(watcher, PATIENCE)
    while tells(watcher, 2 * SILENCE):
        pass
    write(folder / "a.py")
    assert tells(watcher, PATIENCE)


def test_a_folder_that_comes_later(tmp_path: Path, watcher: Watcher) -> None:
    folder = tmp_path / "routes"
    watcher.look_at([], [os.fspath(folder)])
    assert not tells(watcher, SILENCE)
    folder.mkdir()
    assert tells(watcher, PATIENCE)
    while tells(watcher, 2 * SILENCE):
        pass
    write(folder / "a.py")
    assert tells(watcher, PATIENCE)


def test_looking_again_at_the_same_begins_nothing_anew(tmp_path: Path, watcher: Watcher) -> None:
    look(watcher, [tmp_path / "a"], [tmp_path], tmp_path / "a")
    watcher.look_at([os.fspath(tmp_path / "a")], [os.fspath(tmp_path)])
    assert not tells(watcher, 2 * SILENCE)


def test_it_looks_elsewhere(tmp_path: Path, watcher: Watcher) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    look(watcher, [first], [], first)
    look(watcher, [second], [], second)
    write(first)
    assert not tells(watcher, SILENCE)


def test_it_looks_at_nothing(tmp_path: Path, watcher: Watcher) -> None:
    path = tmp_path / "a.toml"
    look(watcher, [path], [], path)
    watcher.look_at((), ())
    write(path)  # at most the old thread has seen this one
    tells(watcher, SILENCE)
    write(path)
    assert not tells(watcher, SILENCE)


def test_folders_that_are_not_there_are_no_error(
    tmp_path: Path, watcher: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.toml"
    missing = tmp_path / "missing"
    look(watcher, [path, missing / "b.toml"], [missing / "more"], path)
    assert not caplog.messages


def test_a_name_that_is_not_utf_8_cannot_be_watched(
    tmp_path: Path, watcher: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    watcher.look_at([os.fspath(folder / "a.toml")], ())
    wait_until(lambda: len(caplog.messages), 1)
    assert "changes of files are noticed late" in caplog.text


def test_what_cannot_be_watched_is_told(
    tmp_path: Path,
    watcher: Watcher,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_watch(*_paths: str, **_options: object) -> Iterator[object]:
        raise OSError("No space left on device (os error 28)")

    monkeypatch.setattr("watchfiles.watch", no_watch)
    caplog.set_level(logging.WARNING)
    watcher.look_at([os.fspath(tmp_path / "a.toml")], ())
    wait_until(lambda: len(caplog.messages), 1)
    assert caplog.messages == [
        "changes of files are noticed late, since they cannot be watched "
        "(No space left on device (os error 28))"
    ]


def test_closed_it_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.toml"
    watcher = Watcher(step=STEP)
    pipe = str(Path(f"/proc/self/fd/{watcher.fileno()}").readlink())
    look(watcher, [path], [], path)
    watcher.close()
    write(path)
    wait_for_threads("watch")
    assert pipe not in str(descriptors())
    assert caplog.messages == []
