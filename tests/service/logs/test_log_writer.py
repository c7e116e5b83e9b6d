import logging
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from pad19.service.config.model import ConfigError
from pad19.service.logs import writer as log_writer
from pad19.service.logs.writer import FLUSH_INTERVAL, MAX_BUFFER, LogWriter, open_log
from support.descriptors import Pipe
from support.disk import small_files


def reading(pipe: Pipe) -> trio.lowlevel.FdStream:
    """Its other end, as a stream that may be closed by itself."""
    return trio.lowlevel.FdStream(os.dup(pipe.reader.fileno()))


def fill(fd: int) -> int:
    """Write into a pipe until it takes no more: its reader sleeps."""
    os.set_blocking(fd, False)
    total = 0
    try:
        while True:
            total += os.write(fd, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(fd, True)
        return total


async def test_lines_arrive_together_a_moment_later(pipe: Pipe, mock_clock: trio.testing.MockClock) -> None:
    fd = pipe.writer.fileno()
    log = LogWriter(fd, "pipe")
    async with trio.open_nursery() as nursery, reading(pipe) as stream:
        nursery.start_soon(log.run)
        for _ in range(2):  # an idle writer wakes up again
            log.write("one")
            log.write("two é \udce9")
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(FLUSH_INTERVAL * 0.9)
            await trio.testing.wait_all_tasks_blocked()
            assert log._behind
            mock_clock.jump(FLUSH_INTERVAL * 0.2)
            assert await stream.receive_some() == "one\ntwo é \\udce9\n".encode()
            await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()


async def test_an_idle_writer_has_no_timer(pipe: Pipe, autojump_clock: trio.testing.MockClock) -> None:
    log = LogWriter(pipe.writer.fileno(), "pipe")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.run)
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == float("inf")
        nursery.cancel_scope.cancel()


async def test_closing_writes_the_rest_even_when_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with trio.CancelScope() as scope:
        async with open_log(str(path)) as log:
            log.write("last")
            scope.cancel()
            await trio.sleep_forever()
    assert path.read_text() == "last\n"
    log.write("too late")
    await log.aclose()
    assert path.read_text() == "last\n"


async def test_a_file_is_appended_to_and_not_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    before = os.umask(0)
    try:
        for line in ("one", "two"):
            async with open_log(str(path)) as log:
                log.write(line)
    finally:
        os.umask(before)
    assert path.read_text() == "one\ntwo\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


async def test_a_torn_line_of_the_last_run_stays_alone(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("whole\ntor")
    async with open_log(str(path)) as log:
        log.write("next")
    assert path.read_text() == "whole\ntor\nnext\n"


async def test_off_does_nothing() -> None:
    async with open_log("off") as log, trio.open_nursery() as nursery:
        nursery.start_soon(log.run)
        log.write("x")
        log.reopen()
        await trio.testing.wait_all_tasks_blocked()
        assert not log._behind
        nursery.cancel_scope.cancel()


async def test_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    async with open_log("-") as log:
        log.write("a line")
        log.reopen()
    assert capfd.readouterr().out == "a line\n"
    os.fstat(1)  # it is not ours to close


def test_standard_output_that_is_closed_is_a_mistake() -> None:
    program = (
        "import os, sys\nfrom pad19.service.config.model import ConfigError\n"
        "from pad19.service.logs.writer import open_log\nos.close(1)\n"
        "try:\n    open_log('-')\nexcept ConfigError as error:\n    print(error, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == (
        'log.access is "-", but standard output is closed: open it, name a file, or write "off"\n'
    )


UNOPENABLE = ["missing/access.log", "folder", "fifo", "loop", "x" * 300]


@pytest.mark.parametrize("name", UNOPENABLE)
def test_what_cannot_be_opened_is_a_mistake_of_the_configuration(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match=r"^log\.access is .*, but it cannot be opened \(.*\): ") as refusal:
        open_log(str(tmp_path / name))
    assert len(refusal.value.problems) == 1


async def test_a_sleeping_reader_costs_lines_but_no_time(
    pipe: Pipe, caplog: pytest.LogCaptureFixture
) -> None:
    fd = pipe.writer.fileno()
    full = fill(fd)
    log = LogWriter(fd, "the pipe")
    line = "y" * 999  # a thousand with its newline
    fitting = MAX_BUFFER // 1000
    async with trio.open_nursery() as nursery, reading(pipe) as stream:
        nursery.start_soon(log.run)
        for _ in range(fitting + 7):
            log.write(line)
        await trio.to_thread.run_sync(log._drain)  # gives up soon
        assert log._written == 0
        assert not caplog.records
        received = bytearray()
        with trio.fail_after(10):
            while len(received) < full + fitting * 1000:
                received += await stream.receive_some()
            while log._behind or not caplog.records:
                await trio.lowlevel.checkpoint()
        assert bytes(received[full:]) == (line.encode() + b"\n") * fitting
        log.write("awake")
        assert await stream.receive_some() == b"awake\n"
        nursery.cancel_scope.cancel()
    assert [record.getMessage() for record in caplog.records] == [
        "access log: 7 lines lost, the disk or the reader of the pipe is too slow or full"
    ]


async def test_a_sleeping_reader_does_not_keep_us_from_stopping(
    pipe: Pipe, caplog: pytest.LogCaptureFixture
) -> None:
    fill(pipe.writer.fileno())
    with trio.fail_after(5):
        log = LogWriter(pipe.writer.fileno(), "the pipe")
        log.write("one")
        log.write("two")
        await log.aclose()
    assert [record.getMessage() for record in caplog.records] == [
        "access log: 2 lines lost, the disk or the reader of the pipe is too slow or full"
    ]


async def test_what_is_lost_is_told_also_when_time_is_up_in_the_middle_of_a_look(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log_writer, "READER_TIMEOUT", 0.5)
    monkeypatch.setattr(log_writer, "CLOSE_TIMEOUT", 0.4)
    fill(pipe.writer.fileno())
    log = LogWriter(pipe.writer.fileno(), "the pipe")
    log.write("one")
    await log.aclose()
    assert [record.getMessage() for record in caplog.records] == [
        "access log: 1 line lost, the disk or the reader of the pipe is too slow or full"
    ]


async def test_a_hanging_system_call_does_not_keep_us_from_stopping(
    monkeypatch: pytest.MonkeyPatch, pipe: Pipe
) -> None:
    # A disk that hangs looks like this pipe without the look at poll() first.
    fd = pipe.writer.fileno()
    monkeypatch.setattr(log_writer, "_is_writable", lambda _fd: True)
    full = fill(fd)
    log = LogWriter(fd, "the pipe")
    log.write("one")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.run)
        with trio.fail_after(5):
            while not log._limiter.borrowed_tokens:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    with trio.fail_after(5):
        await log.aclose()
    async with reading(pipe) as stream:
        while full > 0:
            full -= len(await stream.receive_some())
        while log._limiter.borrowed_tokens:  # now the thread comes back
            await trio.lowlevel.checkpoint()


async def test_a_full_disk_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    log = open_log("/dev/full")
    log.write("one")
    for _ in range(3):
        log._drain()
    log.write("two")
    await log.aclose()
    assert [record.getMessage() for record in caplog.records] == [
        "access log: /dev/full cannot be written (No space left on device), lines wait",
        "access log: 2 lines lost, the disk or the reader of /dev/full is too slow or full",
    ]


async def test_a_single_line_is_counted_as_one(caplog: pytest.LogCaptureFixture) -> None:
    log = open_log("/dev/full")
    log.write("one")
    await log.aclose()
    assert "access log: 1 line lost, the disk" in caplog.text


async def test_a_reader_that_left_is_survived(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    pipe.reader.close()
    log = LogWriter(pipe.writer.fileno(), "the pipe")
    log.write("one")
    log._drain()
    assert "Broken pipe" in caplog.text
    assert log._behind


async def test_writing_goes_on_at_the_right_byte(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "access.log"
    log = open_log(str(path))
    log.write("0123456789")
    log.write("abcdefghij")
    for size in (5, 15):
        with small_files(size):  # the kernel writes so far and refuses the rest, like a disk that is full
            log._drain()
        assert path.stat().st_size == size
    assert log._behind
    await log.aclose()
    assert path.read_text() == "0123456789\nabcdefghij\n"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]  # one outage


async def test_workers_in_one_file_do_not_mix_lines_after_it_was_full(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    one, other = (open_log(str(path)) for _ in range(2))
    one.write("first")
    one.write("second")
    with small_files(len("first\nsec")):
        for log in (one, other):
            other.write("of the other")
            log._drain()
    await other.aclose()  # it is the first that finds room again
    await one.aclose()
    assert path.read_text() == "first\nsec\nof the other\nof the other\nsecond\n"
    assert one._written == one._taken


async def test_reopening_after_logrotate(tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    async with open_log(str(path)) as log, trio.open_nursery() as nursery:
        nursery.start_soon(log.run)
        path.rename(old)
        log.reopen()  # with nothing to write
        with trio.fail_after(5):
            while not path.exists():
                await trio.lowlevel.checkpoint()
        log.write("new")
        nursery.cancel_scope.cancel()
    assert old.read_text() == ""
    assert path.read_text() == "new\n"


async def test_a_file_that_was_moved_is_noticed_without_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(log_writer, "time", SimpleNamespace(monotonic=lambda: now))
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    log = open_log(str(path))

    def write(line: str) -> None:
        log.write(line)
        log._drain()

    write("1")
    path.rename(old)
    now = log_writer.LOOK_INTERVAL * 0.9
    write("2")  # looked at a moment ago
    assert not path.exists()
    now = log_writer.LOOK_INTERVAL
    write("3")
    path.unlink()
    now *= 2
    write("4")
    old.replace(path)  # another file of that name
    now *= 2
    write("5")
    await log.aclose()
    assert path.read_text() == "1\n2\n5\n"


async def test_a_folder_that_is_gone_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log_writer, "LOOK_INTERVAL", 0)
    folder, moved = tmp_path / "log", tmp_path / "moved"
    folder.mkdir()
    log = open_log(str(folder / "access.log"))
    folder.rename(moved)
    for number in range(3):
        log.write(str(number))
        log._drain()
    assert caplog.text.count("cannot be reopened") == 1
    assert (moved / "access.log").read_text() == "0\n1\n2\n"
    folder.mkdir()  # and from then on it is as if nothing had happened
    log.write("3")
    log._drain()
    folder.rename(tmp_path / "again")
    log.write("4")
    await log.aclose()
    assert (tmp_path / "again/access.log").read_text() == "3\n4\n"
    assert caplog.text.count("cannot be reopened") == 2


async def test_a_torn_line_is_written_whole_into_the_new_file(tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    log = open_log(str(path))
    log.write("first")
    log.write("second")
    with small_files(len("first\nsec")):
        log._drain()
    path.rename(old)
    log.reopen()
    await log.aclose()
    assert old.read_text() == "first\nsec"
    assert path.read_text() == "second\n"
    assert log._written == log._taken


async def test_reopening_what_cannot_be_opened_keeps_the_old_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    path = folder / "access.log"
    log = open_log(str(path))
    folder.rename(tmp_path / "moved")
    log.reopen()
    log.write("one")
    await log.aclose()
    assert (tmp_path / "moved/access.log").read_text() == "one\n"
    assert "cannot be reopened (No such file or directory), the old file goes on" in caplog.text


async def test_workers_on_one_pipe_do_not_mix_lines(pipe: Pipe) -> None:
    logs = [LogWriter(pipe.writer.fileno(), "pipe") for _ in range(4)]
    lines = 300
    received = bytearray()
    async with reading(pipe) as stream, trio.open_nursery() as nursery:
        for log in logs:
            nursery.start_soon(log.run)
        for number, log in enumerate(logs):
            for _ in range(lines):
                log.write(str(number) * 500)
        with trio.fail_after(10):
            while len(received) < len(logs) * lines * 501:
                received += await stream.receive_some()
        nursery.cancel_scope.cancel()
    assert all(len(set(line)) == 1 and len(line) == 500 for line in received.decode().splitlines())
