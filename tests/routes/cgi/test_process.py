"""Real programs and their ends: whatever happens, nothing that was started stays alive."""

import logging
import os
import signal
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pad19.protocol.failure import CGIError, ServerUnavailable
from pad19.routes.cgi import process as cgi_process
from pad19.routes.cgi.output import GatewayFailure, TookTooLong
from pad19.routes.cgi.process import CHUNK, LINGER, QUEUE, TERM, Limits, Program, Programs
from support.disk import descriptors
from support.scripts import PYTHON, SH, Lifeline, running, write_script

TIMEOUT = 30.0
ALIVE = 'exec 3>"$LIFELINE"\n'


async def start(programs: Programs, tmp_path: Path, text: str) -> Program:
    path = write_script(tmp_path / "script", text)
    return await programs.start(str(path), {"LIFELINE": str(tmp_path / "lifeline")})


async def read_all(program: Program) -> bytes:
    received = b""
    while data := await program.read():
        received += data
    return received


async def output(tmp_path: Path, text: str, limits: Limits | None = None) -> bytes:
    """What a script writes that ends by itself.

    Raises:
        GatewayFailure: It ends badly.
    """
    written = b""
    failure: GatewayFailure | None = None
    async with running(Programs(limits)) as programs:
        program = await start(programs, tmp_path, text)
        try:
            written = await read_all(program)
        except GatewayFailure as error:  # not through the nursery, which would wrap it
            failure = error
        await program.aclose()
    if failure:
        raise failure
    return written


# What goes in and out


async def test_environment_is_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "the key's passphrase")
    path = write_script(tmp_path / "script", f"{PYTHON}import os\nprint(sorted(os.environb.items()))\n")
    async with running(Programs(environment={"PAGES": "/srv/pages", "QUERY_STRING": "ours"})) as programs:
        program = await programs.start(str(path), {"QUERY_STRING": "theirs", "NAME": "Zoë\n\udcff"})
        printed = await read_all(program)
        await program.aclose()
    expected = {
        b"LANG": b"C.UTF-8",
        b"NAME": "Zoë\n".encode() + b"\xff",
        b"PAGES": b"/srv/pages",
        b"PATH": b"/usr/local/bin:/usr/bin:/bin",
        b"QUERY_STRING": b"theirs",
    }
    assert printed.decode() == f"{sorted(expected.items())}\n"


async def test_place(tmp_path: Path) -> None:
    """Its folder, no input, no descriptors of ours, a group of its own."""
    script = f"""{PYTHON}import os, sys
print(os.getcwd(), sys.argv, sys.stdin.read() == "", os.getpgrp() == os.getpid(), os.getsid(0) == os.getpid())
print(len(os.listdir("/proc/self/fd")))
"""
    lines = (await output(tmp_path, script)).decode().splitlines()
    assert lines == [f"{tmp_path} {[str(tmp_path / 'script')]} True True True", "4"]  # the fourth one lists


async def test_output_comes_as_it_is_written(tmp_path: Path, lifeline: Lifeline) -> None:
    os.mkfifo(tmp_path / "go")
    async with running() as programs:
        program = await start(programs, tmp_path, f"{SH}{ALIVE}echo one; read word < go; echo $word")
        assert await program.read() == b"one\n"
        (tmp_path / "go").write_text("two\n")
        assert await read_all(program) == b"two\n"
        await program.aclose()
        await lifeline.cut()


async def test_pipe_is_the_only_buffer(tmp_path: Path, lifeline: Lifeline) -> None:
    """Who writes without end waits for the reader."""
    script = f"""{PYTHON}import os
lifeline = open(os.environ["LIFELINE"], "w")
os.set_blocking(1, False)
def fill():
    count = 0
    try:
        while True: count += os.write(1, bytes(4096))
    except BlockingIOError:
        print(count, file=lifeline, flush=True)
fill()
open("go").read()
fill()
os.set_blocking(1, True)
while True: os.write(1, bytes(4096))
"""
    os.mkfifo(tmp_path / "go")
    async with running() as programs:
        program = await start(programs, tmp_path, script)
        assert int(await lifeline.word()) == CHUNK
        assert await program.read() == bytes(CHUNK)
        (tmp_path / "go").write_text("")
        assert int(await lifeline.word()) == CHUNK
        assert max([len(await program.read()) for _ in range(100)]) <= CHUNK
        await program.aclose()
        await lifeline.cut()


async def test_output_larger_than_the_pipe(tmp_path: Path) -> None:
    script = f"{PYTHON}import os\nfor n in range(100): os.write(1, bytes([n]) * 5000)\n"
    assert await output(tmp_path, script) == b"".join(bytes([n]) * 5000 for n in range(100))


# How it ends

ENDS = [  # script, failure
    ("echo out; exit 3", "it ended with status 3"),
    ("echo out; kill -SEGV $$", "it was killed by SIGSEGV"),
    ("echo out; kill -40 $$", "it was killed by signal 40"),
    ("echo out; exec no-such-program", "it ended with status 127"),
    ("echo out; exec >&-; exit 4", "it ended with status 4"),
]


@pytest.mark.parametrize(("script", "message"), ENDS)
async def test_failure_comes_behind_the_output(tmp_path: Path, script: str, message: str) -> None:
    async with running() as programs:
        program = await start(programs, tmp_path, SH + script)
        assert await program.read() == b"out\n"
        for _ in range(2):
            with pytest.raises(GatewayFailure, match=message):
                await program.read()
        await program.aclose()


NOT_RUN = [  # text, what the log says
    ("#!/no/such/interpreter\n", "No such file or directory; there is no /no/such/interpreter, which its"),
    (
        "#!/bin/sh\r\necho 20 text/plain\r\n",
        "No such file or directory; its #! line ends in CR and LF: save it",
    ),
    ("echo 20 text/plain\n", "Exec format error; it has no #! line: write for example #!/usr/bin/env"),
    ("", "Exec format error; it has no #! line: write for example #!/usr/bin/env"),
]


@pytest.mark.parametrize(("text", "message"), NOT_RUN)
async def test_what_cannot_be_run(
    tmp_path: Path, text: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = descriptors()
    async with running(Programs(Limits(programs=1))) as programs:
        for _ in range(2):  # and it keeps no slot
            with pytest.raises(CGIError, match="failed"):
                await start(programs, tmp_path, text)
    [said] = set(caplog.messages)
    assert said.startswith(f"{tmp_path / 'script'}: it cannot be run: {message}")
    assert descriptors() == before


async def test_system_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_arguments: object, **_options: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("pad19.routes.cgi.process.trio.lowlevel.open_process", full)
    async with running() as programs:
        with pytest.raises(ServerUnavailable, match="the system is busy"):
            await start(programs, tmp_path, SH)


async def test_deadline(tmp_path: Path, lifeline: Lifeline, mock_clock: MockClock) -> None:
    async with running(Programs(Limits(timeout=TIMEOUT))) as programs:
        program = await start(programs, tmp_path, f"{SH}{ALIVE}echo out; echo up >&3; sleep 1000")
        assert await lifeline.word() == "up"
        assert await program.read() == b"out\n"
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(TookTooLong, match="it was stopped after 30 seconds"):
                    await program.read()

            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            mock_clock.jump(TIMEOUT - 0.1)
            await wait_all_tasks_blocked()
            assert nursery.child_tasks
            mock_clock.jump(0.1)
        await lifeline.cut()
        await program.aclose()


async def test_slow_reader_does_not_put_off_the_deadline(
    tmp_path: Path, lifeline: Lifeline, mock_clock: MockClock
) -> None:
    async with running(Programs(Limits(timeout=TIMEOUT))) as programs:
        program = await start(programs, tmp_path, f"{SH}{ALIVE}echo up >&3; yes")
        assert await lifeline.word() == "up"
        assert await program.read()
        mock_clock.jump(TIMEOUT)  # and nobody reads
        await lifeline.cut()
        with pytest.raises(TookTooLong):
            await program.read()
        await program.aclose()


async def test_term_then_kill(tmp_path: Path, lifeline: Lifeline, mock_clock: MockClock) -> None:
    script = f"""{PYTHON}import os, signal
lifeline = os.open(os.environ["LIFELINE"], os.O_WRONLY)
signal.signal(signal.SIGTERM, lambda *_: os.write(lifeline, b"term\\n"))
os.write(lifeline, b"up\\n")
while True: signal.pause()
"""
    async with running(Programs(Limits(programs=1))) as programs:
        program = await start(programs, tmp_path, script)
        assert await lifeline.word() == "up"
        await program.aclose()
        assert await lifeline.word() == "term"
        await wait_all_tasks_blocked()
        mock_clock.jump(TERM)
        await lifeline.cut()
        again = await start(programs, tmp_path, f"{SH}echo free")  # its slot is free when it is dead
        assert await read_all(again) == b"free\n"
        await again.aclose()


async def test_time_to_clean_up(tmp_path: Path, lifeline: Lifeline, caplog: pytest.LogCaptureFixture) -> None:
    """Who heeds SIGTERM may finish, and what it says then is logged."""
    script = f"{SH}{ALIVE}trap 'echo cleaned >&3; echo bye >&2; exit' TERM\necho up >&3\nsleep 1000 & wait"
    async with running() as programs:
        program = await start(programs, tmp_path, script)
        assert await lifeline.word() == "up"
        await program.aclose()
        assert await lifeline.word() == "cleaned"
        await lifeline.cut()
        await wait_all_tasks_blocked()  # and heard
    assert caplog.messages == [f"{tmp_path / 'script'}: bye"]


async def test_worker_stops(tmp_path: Path, lifeline: Lifeline) -> None:
    async with running() as programs:
        program = await start(programs, tmp_path, f"{SH}{ALIVE}echo up >&3; sleep 1000")
        assert await lifeline.word() == "up"
    with trio.fail_after(1):
        await lifeline.cut()
    with pytest.raises(GatewayFailure, match="it was stopped"):
        await program.read()
    await program.aclose()


async def test_reader_is_cancelled_and_closes(tmp_path: Path, lifeline: Lifeline) -> None:
    before = [name for name in descriptors() if "lifeline" not in name]
    async with running() as programs:
        program = await start(programs, tmp_path, f"{SH}{ALIVE}echo up >&3; sleep 1000")
        assert await lifeline.word() == "up"
        with trio.move_on_after(0) as scope:
            try:
                await program.read()
            finally:
                await program.aclose()
        assert scope.cancelled_caught
        await lifeline.cut()
    assert [name for name in descriptors() if "lifeline" not in name] == before


async def test_children_do_not_survive(tmp_path: Path, lifeline: Lifeline) -> None:
    """What a script leaves in the background holds up neither its response nor its end."""
    script = f"{SH}{ALIVE}(trap '' TERM; echo up >&3; exec sleep 1000) &\nread word < go; echo out"
    os.mkfifo(tmp_path / "go")
    async with running() as programs:
        program = await start(programs, tmp_path, script)
        assert await lifeline.word() == "up"
        (tmp_path / "go").write_text("\n")
        with trio.fail_after(5):
            assert await read_all(program) == b"out\n"
            await lifeline.cut()
        await program.aclose()


async def test_pipe_held_by_somebody_who_left_the_group(tmp_path: Path, lifeline: Lifeline) -> None:
    script = f"""{PYTHON}import os, subprocess
lifeline = open(os.environ["LIFELINE"], "w")
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
print(child.pid, file=lifeline, flush=True)
os.write(1, b"out")
"""
    async with running() as programs:
        program = await start(programs, tmp_path, script)
        pid = int(await lifeline.word())
        try:
            with trio.fail_after(5):
                assert await read_all(program) == b"out"
                await program.aclose()
        finally:
            os.kill(pid, signal.SIGKILL)


async def test_closes_its_output_and_lives_on(
    tmp_path: Path, lifeline: Lifeline, mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The response is complete; what else it does, it may do until its deadline."""
    script = f"{SH}{ALIVE}echo out; exec >&-; echo closed >&3; read word < go; echo $word >&3; sleep 1000"
    os.mkfifo(tmp_path / "go")
    async with running(Programs(Limits(timeout=TIMEOUT))) as programs:
        program = await start(programs, tmp_path, script)
        assert await lifeline.word() == "closed"
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                assert await read_all(program) == b"out\n"

            nursery.start_soon(read)
            await wait_all_tasks_blocked()
            mock_clock.jump(LINGER)
        await program.aclose()
        (tmp_path / "go").write_text("alive\n")
        assert await lifeline.word() == "alive"
        assert not caplog.messages
        mock_clock.jump(TIMEOUT)
        await lifeline.cut()
    assert caplog.messages == [f"{tmp_path / 'script'}: it was stopped after 30 seconds"]


async def test_no_zombies(tmp_path: Path) -> None:
    pid = int(await output(tmp_path, f"{SH}echo $$"))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_what_cannot_be_killed_is_given_up(
    tmp_path: Path,
    lifeline: Lifeline,
    mock_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_pid: int, _number: int) -> None:
        raise PermissionError

    killpg = os.killpg
    async with running() as programs:
        program = await start(programs, tmp_path, f"{SH}{ALIVE}echo $$ >&3; sleep 1000")
        pid = int(await lifeline.word())
        monkeypatch.setattr("pad19.routes.cgi.process.os.killpg", refuse)
        await program.aclose()
        for pause in (TERM, cgi_process.KILL):
            await wait_all_tasks_blocked()
            mock_clock.jump(pause)
        await wait_all_tasks_blocked()
        assert caplog.messages == [f"{tmp_path / 'script'}: process {pid} cannot be killed"]
        killpg(pid, signal.SIGKILL)
        await lifeline.cut()
        await program._process.wait()  # or it would be missed when it is collected


# How many


async def test_queue(tmp_path: Path, lifeline: Lifeline, mock_clock: MockClock) -> None:
    async with (
        running(Programs(Limits(programs=1, timeout=1000))) as programs,
        trio.open_nursery() as nursery,
    ):
        first = await start(programs, tmp_path, f"{SH}{ALIVE}echo up >&3; sleep 1000")
        assert await lifeline.word() == "up"

        async def be_refused() -> None:
            with pytest.raises(ServerUnavailable, match="too many programs"):
                await programs.start(str(tmp_path / "script"), {})

        nursery.start_soon(be_refused)
        await wait_all_tasks_blocked()
        mock_clock.jump(QUEUE - 1)
        await wait_all_tasks_blocked()
        second: list[bytes] = []

        async def be_patient() -> None:
            program = await start(programs, tmp_path / "other", f"{SH}echo second")
            second.append(await read_all(program))
            await program.aclose()

        nursery.start_soon(be_patient)
        await wait_all_tasks_blocked()
        mock_clock.jump(1)
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        await first.aclose()
    assert second == [b"second\n"]


async def test_cancelled_in_the_queue(tmp_path: Path, lifeline: Lifeline) -> None:
    async with running(Programs(Limits(programs=1))) as programs:
        first = await start(programs, tmp_path, f"{SH}{ALIVE}echo up >&3; sleep 1000")
        assert await lifeline.word() == "up"
        with trio.move_on_after(0.01) as scope:
            await programs.start(str(tmp_path / "script"), {})
        assert scope.cancelled_caught
        await first.aclose()
        again = await start(programs, tmp_path / "other", f"{SH}echo free")
        assert await read_all(again) == b"free\n"
        await again.aclose()


async def test_nothing_starts_without_an_owner() -> None:
    with pytest.raises(RuntimeError, match="is not running"):
        await Programs().start("/bin/true", {})


# How much

ULIMITS = [
    (Limits(), "unlimited unlimited unlimited"),
    (Limits(cpu=7), "7 8 unlimited"),
    (Limits(memory=100 * 2**20), "unlimited unlimited 102400"),
    (Limits(cpu=5, memory=2**30), "5 6 1048576"),
]


@pytest.mark.parametrize(("limits", "expected"), ULIMITS)
async def test_limits_are_set(tmp_path: Path, limits: Limits, expected: str) -> None:
    script = f"{SH}echo $(ulimit -S -t) $(ulimit -H -t) $(ulimit -v)"
    assert (await output(tmp_path, script, limits)).decode().strip() == expected


async def test_processor_time(tmp_path: Path) -> None:
    with pytest.raises(GatewayFailure, match="killed by SIGXCPU"):
        await output(tmp_path, f"{SH}while :; do :; done", Limits(cpu=1))


async def test_memory(tmp_path: Path) -> None:
    script = f"{PYTHON}print(len(bytes(400 * 2**20)))"
    assert await output(tmp_path, script) == b"419430400\n"
    with pytest.raises(GatewayFailure, match="status 1"):
        await output(tmp_path, script, Limits(memory=300 * 2**20))


async def test_limit_that_cannot_be_set(tmp_path: Path) -> None:
    """Rather not at all than without the limit. No shell takes a negative one."""
    with pytest.raises(GatewayFailure, match="it ended with status"):
        await output(tmp_path, f"{SH}echo $(ulimit -t)", Limits(cpu=-1))


# Standard error

ERRORS = [  # what a script writes, the lines in the log
    (b"one\ntwo\n", ["one", "two"]),
    (b"no end", ["no end"]),
    (b"\x1b[31mred\r\n", ["\\x1b[31mred"]),
    (b"\tindented \xff\xc3\xa9\n", ["\tindented \\xffé"]),
    ("a\u2028b\u202ec\n".encode(), ["a\\u2028b\\u202ec"]),
    (b"x" * 5000 + b"\n" + b"short\n", ["x" * 4096, "short"]),
]


@pytest.mark.parametrize(("written", "lines"), ERRORS)
async def test_errors_are_logged(
    tmp_path: Path, written: bytes, lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await output(tmp_path, f"{PYTHON}import os\nos.write(2, {written!r})\n")
    assert caplog.messages == [f"{tmp_path / 'script'}: {line}" for line in lines]


async def test_flood_of_errors(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It neither fills the log nor stops the program."""
    script = (
        f"{PYTHON}import os\nfor _ in range(100): os.write(2, b'x' * 9999 + b'\\n')\nos.write(1, b'done')\n"
    )
    assert await output(tmp_path, script) == b"done"
    assert caplog.messages[-1] == f"{tmp_path / 'script'}: more of its standard error is not logged"
    assert sum(map(len, caplog.messages)) < 2 * cgi_process.MAX_LOGGED
