import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pad19.dispatch.zones import reread
from pad19.dispatch.zones.reread import MAX_FILE, MAX_TOLD, Reread
from support.disk import TomorrowsClock, descriptors, next_tick


class Parser:
    """Counts how often it is asked. Lines that begin with "!" are problems, "!!" is a failure."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, data: bytes) -> tuple[str, list[str]]:
        self.asked += 1
        text = data.decode()
        if "!!" in text:
            raise ValueError("nonsense")
        return text, [line for line in text.split("\n") if line.startswith("!")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "members.txt"
    file.write_text("ada")
    return file


def told(caplog: pytest.LogCaptureFixture, file: Path) -> list[str]:
    """What was logged since the last time, without the path."""
    messages = [record.getMessage() for record in caplog.records]
    caplog.clear()
    assert all(message.startswith(f"{file}: ") for message in messages)
    return [message.removeprefix(f"{file}: ") for message in messages]


def test_it_is_read_again_when_it_has_changed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reread, "time", TomorrowsClock)
    parser = Parser()
    kept = Reread(file, parser)
    assert [kept.get() for _ in range(3)] == ["ada"] * 3
    assert parser.asked == 1
    next_tick(file.with_name("scratch"))
    file.write_text("bob")
    assert [kept.get() for _ in range(3)] == ["bob"] * 3
    assert parser.asked == 2
    file.with_name("new").write_text("eve")
    file.with_name("new").replace(file)
    assert kept.get() == "eve"


@pytest.mark.parametrize(("age", "is_kept"), [(1_000_000, False), (60_000_000_000, True)])
def test_two_edits_in_one_tick_of_the_clock_are_both_seen(
    age: int, is_kept: bool, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = time.time_ns() - age | 1  # on a disk that counts in nanoseconds
    for name in ("signature", "signature_of"):  # of the same size, so that only the time could tell
        monkeypatch.setattr(reread, name, lambda _: (1, 2, 3, changed, changed))
    kept = Reread(file, Parser())
    file.write_text("bob")
    assert kept.get() == ("ada" if is_kept else "bob")


def test_one_that_vanishes_is_none_until_it_is_back(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = Reread(file, Parser())
    file.unlink()
    assert [kept.get() for _ in range(3)] == [None] * 3
    reason = "it cannot be used (No such file or directory), so whoever had to be looked up there is kept out"
    assert told(caplog, file) == [reason]
    file.write_text("bob")
    assert kept.get() == "bob"
    file.unlink()
    assert kept.get() is None
    assert told(caplog, file) == [reason]  # it is news again


def _folder(file: Path) -> None:
    file.mkdir()


def _fifo(file: Path) -> None:
    os.mkfifo(file)


def _large(file: Path) -> None:
    file.write_bytes(b"x" * (MAX_FILE + 1))


def _nonsense(file: Path) -> None:
    file.write_text("!!")


def _not_text(file: Path) -> None:
    file.write_bytes(b"\xff")


def _loop(file: Path) -> None:
    file.symlink_to(file)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_folder, "not a file"),
        (_fifo, "not a file"),
        (_large, f"larger than {MAX_FILE} bytes"),
        (_nonsense, "nonsense"),
        (_not_text, "'utf-8' codec can't decode"),
        (_loop, "Too many levels"),
    ],
)
def test_what_cannot_be_used(
    make: Callable[[Path], None], reason: str, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Reread(file, Parser())
    file.unlink()
    make(file)
    before = descriptors()
    assert kept.get() is None
    assert kept.get() is None
    [said] = told(caplog, file)
    assert said.startswith(f"it cannot be used ({reason}")
    assert descriptors() == before


def test_running_out_of_descriptors_is_not_for_ever(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reread, "time", TomorrowsClock)
    kept = Reread(file, Parser())
    next_tick(file.with_name("scratch"))
    file.write_text("bob")

    def exhausted(*_: object) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", exhausted)
        assert kept.get() is None
    assert kept.get() == "bob"
    assert told(caplog, file)[0].startswith("it cannot be used (Too many open files)")


def test_a_problem_is_told_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text("!one\n!two")
    kept = Reread(file, Parser())
    assert told(caplog, file) == ["!one", "!two"]  # at the start, not to the first visitor
    for _ in range(3):
        kept.get()
    file.write_text("!two\n!three")
    kept.get()
    assert told(caplog, file) == ["!three"]
    file.write_text("\n".join(f"!{number}" for number in range(MAX_TOLD + 5)))
    kept.get()
    assert told(caplog, file)[MAX_TOLD:] == ["and 5 problems more"]
