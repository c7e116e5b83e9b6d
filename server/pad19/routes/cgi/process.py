"""Programs that run for one request each: started, listened to, and ended with all they have started.

How it works. A program has a task of its own, in a nursery that lives as long as the worker
(`Programs.run`), and is the leader of a process group. The task takes its standard error to the log,
notices its end, and otherwise ends it: at the deadline, when nobody reads its output any more
(`Program.aclose`: the client has left), and when the worker stops. So neither a slow client nor a
handler that is cancelled can keep one alive. Its output waits in the pipe, which is the only buffer:
when the client reads slowly, the program writes slowly.
"""

import errno
import logging
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import trio

from pad19.protocol.failure import CGIError, ServerUnavailable
from pad19.routes.naming import plain

from .first_line import flaw
from .output import GatewayFailure, TookTooLong

LOGGER = logging.getLogger("pad19.cgi")

CHUNK = 64 * 1024  # bytes; what a pipe holds
MAX_PIPE = 1024 * 1024  # bytes; what it can be made to hold (pipe(7))
QUEUE = 5.0  # seconds to wait for others to end; people wait no longer for a page
LINGER = 1.0  # seconds between closing its output and its end that still belong together
TERM = 3.0  # seconds from SIGTERM to SIGKILL
KILL = 2.0  # seconds from SIGKILL to giving up: only the kernel can hold a process back then
MAX_LINE = 4096  # bytes of standard error that are logged as one line
MAX_LOGGED = 64 * 1024  # bytes of it that are logged per program

# Not the server's own environment: what is in there is nobody else's business.
_FIXED = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
_TRY_AGAIN = {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM}
_BAD_INTERPRETER = {errno.ENOENT, errno.ENOEXEC}


@dataclass(frozen=True, slots=True)
class Limits:
    """What programs may take."""

    programs: int = 16  # at once, in this worker
    timeout: float = 30.0  # seconds from start to end, whoever is slow
    cpu: int | None = None  # seconds of processor time
    memory: int | None = None  # bytes of address space


class Programs:
    """All programs of a worker. `run` must be running before anything is started.

    ``environment``: more variables for each of them; those of the request win.
    """

    def __init__(self, limits: Limits | None = None, environment: Mapping[str, str] | None = None) -> None:
        self._limits = limits or Limits()
        self._environment = _FIXED | {**(environment or {})}
        self._slots = trio.CapacityLimiter(self._limits.programs)
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the programs until cancelled, and then end them: that takes a few seconds at most."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    async def start(
        self, path: str, variables: Mapping[str, str], stdin: int = subprocess.DEVNULL
    ) -> "Program":
        """Run the file ``path`` (absolute) in its folder. The caller closes the result.

        ``stdin``: a descriptor, which stays the caller's; without one there is no input.

        Raises:
            ServerUnavailable: Too many run already and none of them ends, or the system has no room. It
                is the server that is full, so 41 and not 44, which blames the client.
            CGIError: The system cannot run the file, which is logged.
        """
        if self._nursery is None:
            raise RuntimeError("Programs.run() is not running")
        program: Program = await self._nursery.start(
            self._run, path, self._environment | {**variables}, stdin
        )
        return program

    async def _run(
        self, path: str, variables: Mapping[str, str], stdin: int, *, task_status: trio.TaskStatus["Program"]
    ) -> None:
        with trio.move_on_after(QUEUE) as queue:
            await self._slots.acquire()
        if queue.cancelled_caught:
            raise ServerUnavailable("too many programs are running, try again")
        try:
            process = await _open(path, variables, self._limits, stdin)
            program = Program(process, path, self._limits.timeout)
            task_status.started(program)
            await program.watch()
        finally:
            self._slots.release()


class Program:
    """One that was started: a source of output (see `output`)."""

    def __init__(self, process: trio.Process, path: str, timeout: float) -> None:
        self.name = path
        self._process = process
        self._stdout = cast("trio.lowlevel.FdStream", process.stdout)  # as it is wherever there are pipes
        self._stderr = cast("trio.lowlevel.FdStream", process.stderr)
        self._timeout = timeout
        self._life = trio.CancelScope(deadline=trio.current_time() + timeout)
        self._reading = trio.CancelScope()
        self._ended = trio.Event()
        self._heard = trio.Event()  # all that it said on standard error
        self._failure: GatewayFailure | None = None  # once it has ended: why that was not well
        self._rest = b""  # what it had written when it ended
        self._is_complete = False

    async def read(self) -> bytes:
        """The next bytes of its output; ``b""`` if it has ended well, or closed it and runs on.

        Raises:
            TookTooLong: Its deadline has passed.
            GatewayFailure: It ended with another status than 0, or was stopped.
        """
        if not self._ended.is_set():
            with trio.CancelScope() as self._reading:
                data = await self._stdout.receive_some(CHUNK)
                # Read after its end, it would be from somebody else who has the pipe open.
                if data and not self._ended.is_set():
                    return data
                self._is_complete = True
                with trio.move_on_after(LINGER):
                    await self._ended.wait()
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        if self._failure:
            raise self._failure
        self._is_complete = True
        return b""

    async def aclose(self) -> None:
        """Stop it, unless its output is complete: then it may do the rest of its work."""
        if not self._is_complete:
            self._life.cancel()
        self._stdout.close()

    async def watch(self) -> None:
        """See it through to its end. Returns when it is dead, and raises nothing but `trio.Cancelled`."""
        try:
            async with trio.open_nursery() as beside:
                beside.start_soon(self._log_errors)
                await self._see_to_its_end()
                beside.cancel_scope.cancel()
        finally:
            self._stderr.close()

    async def _see_to_its_end(self) -> None:
        failure: GatewayFailure | None = GatewayFailure("it was stopped")
        has_exited = False
        try:
            with self._life:
                failure = _failure(await self._process.wait())
                has_exited = True
            if has_exited:
                # At once, while its number is nobody else's: what it left behind in its group ends with it.
                self._signal(signal.SIGKILL)
                self._rest = self._left_over()
                await self._hear_last_words()
            elif trio.current_time() >= self._life.deadline:
                failure = TookTooLong(f"it was stopped after {self._timeout:g} seconds")
                if self._is_complete:  # nobody reads it who would log that
                    LOGGER.warning("%s: %s", self.name, failure)
        finally:
            self._failure = failure
            self._ended.set()
            self._reading.cancel()
            if not has_exited:
                with trio.CancelScope(shield=True):
                    await self._end()
                    await self._hear_last_words()

    async def _hear_last_words(self) -> None:
        with trio.move_on_after(LINGER):  # somebody who has left the group may keep the pipe open
            await self._heard.wait()

    def _left_over(self) -> bytes:
        try:
            return os.read(self._stdout.fileno(), MAX_PIPE)
        except OSError:  # EAGAIN: nothing, but somebody else has the pipe open. EBADF: nobody wants it
            return b""

    async def _end(self) -> None:
        self._signal(signal.SIGTERM)
        with trio.move_on_after(TERM):
            await self._process.wait()
        self._signal(signal.SIGKILL)  # also for those in its group that are not dead yet
        with trio.move_on_after(KILL) as patience:
            await self._process.wait()
        if patience.cancelled_caught:
            LOGGER.error("%s: process %d cannot be killed", self.name, self._process.pid)

    def _signal(self, number: signal.Signals) -> None:
        # ESRCH: the group is empty. EPERM: all that is in it belongs to others (set-user-ID).
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _log_errors(self) -> None:
        line = b""
        left = MAX_LOGGED
        try:
            async for data in self._stderr:
                if left <= 0:
                    continue  # to its end: a pipe that is full would stop the program
                left -= len(data)
                *lines, line = (line + data).split(b"\n")
                if len(line) > MAX_LINE or left <= 0:
                    lines.append(line)
                    line = b""
                for text in lines:
                    self._log(text)
                if left <= 0:
                    LOGGER.warning("%s: more of its standard error is not logged", self.name)
        finally:
            if line:
                self._log(line)
            self._heard.set()

    def _log(self, line: bytes) -> None:
        text = line[:MAX_LINE].decode("utf-8", "backslashreplace").rstrip("\r")
        LOGGER.warning("%s: %s", self.name, plain(text))


async def _open(path: str, variables: Mapping[str, str], limits: Limits, stdin: int) -> trio.Process:
    encoded = {
        os.fsencode(name): value.encode("utf-8", "surrogateescape") for name, value in variables.items()
    }
    try:
        return await trio.lowlevel.open_process(
            _command(path, limits),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=os.path.dirname(path),  # noqa: PTH120 - the path is a string
            env=encoded,  # type: ignore[arg-type]  # bytes are right for subprocess, and depend on no locale
            start_new_session=True,
        )
    except OSError as error:
        if error.errno in _TRY_AGAIN:
            raise ServerUnavailable("the system is busy, try again") from error
        is_misread = error.errno in _BAD_INTERPRETER
        said = await trio.to_thread.run_sync(flaw, path) if is_misread else None
        hint = f"; {said}" if said else ""
        LOGGER.error("%s: it cannot be run: %s%s", path, error.strerror, hint)  # noqa: TRY400 - one line tells all
        raise CGIError(GatewayFailure.errormsg) from error


def _command(path: str, limits: Limits) -> list[str]:
    """What to execute. Limits are set by a shell in between, which then becomes the program.

    Not by a ``preexec_fn``, which may deadlock in a process with threads; not by prlimit(2) from here,
    which comes after the program has begun; not by prlimit(1), which only Linux has. Where the shell
    does not know a limit, or may not set it, the program does not start.
    """
    settings = []
    if limits.cpu is not None:
        # SIGXCPU at the soft limit names the cause; a program that catches it has a second more.
        settings += [f"ulimit -S -t {limits.cpu}", f"ulimit -H -t {limits.cpu + 1}"]
    if limits.memory is not None:
        settings.append(f"ulimit -v {limits.memory // 1024}")
    return ["/bin/sh", "-c", " && ".join([*settings, 'exec "$0"']), path] if settings else [path]


def _failure(returncode: int) -> GatewayFailure | None:
    if returncode >= 0:
        return GatewayFailure(f"it ended with status {returncode}") if returncode else None
    try:
        name = signal.Signals(-returncode).name
    except ValueError:  # a real-time signal
        name = f"signal {-returncode}"
    return GatewayFailure(f"it was killed by {name}")
