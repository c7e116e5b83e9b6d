import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pad19.service.messages import MAX_WRITE, Output

SCRIPT = """
import logging, sys
from pad19.service import messages
messages.set_up()
messages.say("Listening")
messages.complain("wrong")
logging.info("known")
logging.warning("look")
try:
    1 / 0
except ZeroDivisionError:
    logging.exception("broken")
"""


def written(*, journal: bool) -> list[str]:
    reader, writer = os.pipe()
    with open(reader, "rb") as read:
        try:
            found = os.fstat(writer)
            stream = f"{found.st_dev}:{found.st_ino if journal else found.st_ino + 1}"
            environment = {**os.environ, "JOURNAL_STREAM": stream}
            subprocess.run([sys.executable, "-c", SCRIPT], stderr=writer, env=environment, check=True)
        finally:
            os.close(writer)
        return read.read().decode().splitlines()


@pytest.mark.parametrize("journal", [False, True])
def test_lines_are_as_their_reader_likes_them(journal: bool) -> None:
    lines = written(journal=journal)
    expected = [
        ("Listening", "<6>Listening"),
        ("pad19: wrong", "<3>wrong"),
        ("pad19: known", "<6>known"),
        ("pad19: look", "<4>look"),
        ("pad19: broken", "<3>broken"),
    ]
    assert lines[:5] == [pair[journal] for pair in expected]
    traceback = lines[5:]
    assert traceback[-1].endswith("ZeroDivisionError: division by zero")
    assert all(line.startswith("<3>") == journal for line in traceback)


# Readers that do not read


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    for fd in (reader, writer):
        with suppress(OSError):  # the test closed it
            os.close(fd)


def fill(writer: int) -> None:
    own = os.open(f"/dev/fd/{writer}", os.O_WRONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(own, b"x" * MAX_WRITE)
    os.close(own)


def read(reader: int, size: int = 1 << 20) -> str:
    return os.read(reader, size).decode()


def test_what_nobody_reads_is_lost_and_counted(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    output = Output(writer)
    output.write("one")
    fill(writer)
    for number in (1, 2):
        output.write("two")
        assert output.lost == number
    assert read(reader).strip("x") == "one\n"
    output.write("three")
    assert read(reader) == "pad19: 2 messages lost, since nobody read standard error\nthree\n"
    assert output.lost == 0
    assert os.get_blocking(writer)  # for all others who have it


def test_a_torn_line_gets_an_end(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    output = Output(writer)
    fill(writer)
    assert len(read(reader, MAX_WRITE)) == MAX_WRITE  # so there is room for as much
    output.write("y" * (MAX_WRITE + 1))
    assert read(reader).lstrip("x") == "y" * MAX_WRITE
    output.write("whole")
    assert read(reader) == "\npad19: 1 message lost, since nobody read standard error\nwhole\n"


def test_a_long_message_is_written_as_it_is_read(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    text = "\n".join(["é" * 50] * 200)
    Output(writer).write(text)
    assert read(reader) == f"{text}\n"


def test_a_reader_that_is_gone(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    before = Output(writer)
    os.close(reader)
    for output in (before, Output(writer)):
        output.write("one")
        assert output.lost == 1


def test_a_file(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        print("one", file=file, flush=True)
        Output(file.fileno()).write("two \udce9")
    assert (tmp_path / "log").read_text() == "one\ntwo \\udce9\n"
