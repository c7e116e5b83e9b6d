import os
import subprocess
import sys
import threading
from contextlib import suppress
from io import FileIO
from pathlib import Path

import pytest

from pad19.service.logs import messages
from pad19.service.logs.messages import MAX_WRITE, Output
from support.descriptors import Pipe

SCRIPT = """
import logging, sys
from pad19.service.logs import messages
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


MISTAKES = """
import logging
from pad19.service.logs import messages
messages.set_up()

class Mute:
    def __str__(self):
        raise ValueError("no words")
    __repr__ = __str__

log = logging.getLogger("page")
log.warning("%d things", "three")
log.warning("one %s", Mute())
log.warning(Mute())
log.error("two", exc_info=SyntaxError("tpl", ("tpl.html", "3", "x", "text", "3", "y")))
log.error("three", exc_info=SyntaxError(Mute(), ("tpl.html", "3", "x", "text", "3", "y")))
log.error(Mute(), exc_info=ValueError("four"))
log.error("five", exc_info=ValueError(Mute()))
"""
SAID = """\
pad19: a message of page cannot be written (TypeError): '%d things'
pad19: a message of page cannot be written (ValueError): 'one %s'
pad19: a message of page cannot be written (ValueError): an object of the type Mute
pad19: two
SyntaxError: tpl
pad19: three
SyntaxError, whose message cannot be shown
pad19: a message of page cannot be written (ValueError): an object of the type Mute
ValueError: four
pad19: five
ValueError: <exception str() failed>
"""


def test_a_message_that_cannot_be_put_together_is_a_line_all_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", MISTAKES], capture_output=True, text=True, check=True)
    assert done.stderr == SAID


# Readers that do not read


def fill(writer: FileIO) -> None:
    own = os.open(f"/dev/fd/{writer.fileno()}", os.O_WRONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(own, b"x" * MAX_WRITE)
    os.close(own)


def read(reader: FileIO, size: int = 1 << 20) -> str:
    """What is there, which must be something."""
    os.set_blocking(reader.fileno(), False)
    return os.read(reader.fileno(), size).decode()


def test_what_is_not_read_at_once_waits(pipe: Pipe) -> None:
    reader, writer = pipe
    output = Output(writer.fileno())
    output.write("one")
    fill(writer)
    for text in ("two", "three"):
        output.write(text)
    assert read(reader).strip("x") == "one\n"
    output.finish()
    output.write("four")
    assert read(reader) == "two\nthree\nfour\n"
    assert output.lost == 0
    assert os.get_blocking(writer.fileno())  # for all others who have it


def test_what_is_too_much_is_lost_and_counted(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_WAITING", len("two\n"))
    reader, writer = pipe
    output = Output(writer.fileno())
    fill(writer)
    output.write("two")
    for number in (1, 2):
        output.write("3")  # which would have room once "two" is out, but would seem to come right behind it
        assert output.lost == number
    assert set(read(reader)) == {"x"}
    output.finish()
    assert output.lost == 0
    output.write("four")
    assert read(reader) == "two\npad19: 2 messages lost, since nobody read standard error\nfour\n"


def test_a_message_that_is_longer_than_all_that_may_wait(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_WAITING", 1)
    reader, writer = pipe
    Output(writer.fileno()).write("one")
    assert read(reader) == "one\n"


def test_a_torn_line_gets_an_end(pipe: Pipe) -> None:
    reader, writer = pipe
    output = Output(writer.fileno())
    fill(writer)
    assert len(read(reader, MAX_WRITE)) == MAX_WRITE  # so there is room for as much
    output.write("y" * (MAX_WRITE + 1))
    reader.close()
    output.finish()
    assert output.lost == 1
    reopened = os.open(f"/proc/self/fd/{writer.fileno()}", os.O_RDONLY | os.O_NONBLOCK)  # with what is in it
    with FileIO(reopened) as again:
        assert read(again).lstrip("x") == "y" * MAX_WRITE
        output.write("whole")
        assert read(again) == "\npad19: 1 message lost, since nobody read standard error\nwhole\n"


def test_a_long_message_is_written_as_it_is_read(pipe: Pipe) -> None:
    reader, writer = pipe
    text = "\n".join(["é" * 50] * 200)
    Output(writer.fileno()).write(text)
    assert read(reader) == f"{text}\n"


def test_a_reader_that_is_gone(pipe: Pipe) -> None:
    reader, writer = pipe
    before = Output(writer.fileno())
    reader.close()
    for output in (before, Output(writer.fileno())):
        for number in (1, 2):
            output.write("one")
            assert output.lost == number


def test_a_reader_that_goes_while_messages_wait(pipe: Pipe) -> None:
    reader, writer = pipe
    output = Output(writer.fileno())
    fill(writer)
    for _ in range(3):
        output.write("one")
    reader.close()
    output.finish()
    assert output.lost == 3
    assert "messages" not in {thread.name for thread in threading.enumerate()}  # nobody goes on trying


def test_a_machine_that_has_no_thread_left(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    reader, writer = pipe
    output = Output(writer.fileno())
    fill(writer)
    output.write("one")
    assert set(read(reader)) == {"x"}
    output.finish()
    output.write("two")
    assert read(reader) == "one\ntwo\n"


def test_many_threads_and_a_slow_reader(pipe: Pipe) -> None:
    reader, writer = pipe
    output = Output(writer.fileno())

    def write(name: str) -> None:
        for number in range(200):
            output.write(f"{name} {number} {'z' * 500}")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    received = ""
    while received.count("\n") < 600:
        received += os.read(reader.fileno(), 1000).decode()
    lines = received.splitlines()
    for name in "abc":
        assert [line for line in lines if line[0] == name] == [
            f"{name} {number} {'z' * 500}" for number in range(200)
        ]


LAST = """
import logging, sys
from pad19.service.logs import messages
messages.set_up()
for number in range(300):
    logging.warning("%d %s", number, "z" * 1000)
if sys.argv[1:]:
    messages.complain("wrong")
"""


@pytest.mark.parametrize("arguments", [[], ["complain"]])
def test_the_last_messages_of_a_process(arguments: list[str]) -> None:
    command = [sys.executable, "-c", LAST, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        lines = process.stderr.read().splitlines()
    assert lines[:300] == [f"pad19: {number} {'z' * 1000}" for number in range(300)]  # more than a pipe holds
    assert lines[300:] == ["pad19: wrong"] * len(arguments)


def test_a_process_does_not_stay_for_a_reader_that_does_not_read(pipe: Pipe) -> None:
    _, writer = pipe
    assert subprocess.run([sys.executable, "-c", LAST], stderr=writer, timeout=15, check=True).returncode == 0


def test_a_file(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        print("one", file=file, flush=True)
        Output(file.fileno()).write("two \udce9")
    assert (tmp_path / "log").read_text() == "one\ntwo \\udce9\n"
