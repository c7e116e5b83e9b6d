"""The supervisor: keeps workers serving, and starts new ones when something has changed.

A small program: no event loop but its own, no TLS, no content. It owns the listening sockets, which
stay open whatever happens to the workers. It reads signals and what workers report, and leaves to
`Fleet` what follows from them.
"""

import logging
import math
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence

from . import systemd
from .announcement import announce, first_uri, status_line
from .attempts import RETRY, Attempts
from .changes import POLL, Changes
from .child import WorkerProcess
from .config.model import Config, ConfigError
from .config.read import shown_path
from .fleet import SLOTS, STOP_MARGIN, Fleet, Generation
from .logs import messages
from .passing import PASSING, is_passing
from .settling import Settling
from .shared_state import SharedState
from .signals import Signals
from .sockets import Bound, Unavailable, bind, close_others
from .telemetry.overview import Overview
from .telemetry.status import as_text
from .telemetry.status_socket import StatusSocket
from .watch import STEP, STEP_IN_DEVELOPMENT, Watcher

LOGGER = logging.getLogger("pad19.service")

MAX_WORKERS = 64  # one for each core, but no more than can be asked for
QUIET = 0.3  # seconds without another change, so that an rsync in progress is one change
QUIET_IN_DEVELOPMENT = 0.02  # an author has saved one file, and waits
TICK = 1.0  # seconds between two looks at clocks, at most
_MORE_ROOM = "allow this process more of that, or end others, and start again"


def supervise(load: Callable[[], Config], *, is_development: bool = False) -> None:
    """Serve until stopped.

    Args:
        load: Reads the configuration anew each time; may raise `ConfigError`.
        is_development: Changes are served at once, and mistakes in routes are shown to visitors.

    Raises:
        Unavailable: Addresses cannot be had, or the system has no room; nothing else is wrong.
        ConfigError: Nothing can be served this way.
    """
    try:
        Supervisor(load, is_development=is_development).run()
    except OSError as error:
        if error.errno not in PASSING:
            raise
        raise Unavailable((f"nothing can be served ({error.strerror}): {_MORE_ROOM}",)) from error
    except ConfigError as error:
        if isinstance(error, Unavailable) or not all(map(is_passing, error.problems)):
            raise
        raise Unavailable(error.problems) from None


class Supervisor:
    """Serves a configuration, and whatever it becomes, until it is told to stop."""

    def __init__(self, load: Callable[[], Config], *, is_development: bool = False) -> None:
        self._load = load
        self._is_development = is_development
        self._fleet: Fleet[WorkerProcess] = Fleet(self._start, self, time.monotonic)
        self._shared = SharedState(SLOTS)
        self._overview = Overview(self._fleet, self._shared.scoreboard)
        self._changes = Changes(Watcher(step=STEP_IN_DEVELOPMENT if is_development else STEP))
        self._settling = Settling(self._changes.news, QUIET_IN_DEVELOPMENT if is_development else QUIET)
        self._attempts = Attempts()
        self._selector = selectors.DefaultSelector()
        self._signals = Signals()
        self._sockets: tuple[Bound, ...] = ()  # those that are served
        self._problems: tuple[str, ...] = ()  # of the start
        self._unavailable: tuple[str, ...] = ()
        self._is_asked = False  # to reload, by a signal
        self._has_changed = False  # something that belongs to the configuration
        self._size = 1  # workers, as the configuration that was read last has it
        self._unreadable: tuple[str, ...] = ()  # why the configuration could not be read
        self._interrupts = 0

    def run(self) -> None:
        """Serve until stopped. Raises what `supervise` does, and `OSError` where the system has no room."""
        try:
            self._run()
        finally:
            for worker in self._fleet.workers:  # none, unless something went wrong here
                worker.child.kill()
            close_others(self._sockets, ())
            self._changes.watcher.close()
            self._overview.close()
            self._shared.close()
            self._selector.close()

    def _run(self) -> None:
        config = self._read()
        try:
            self._sockets = bind(config, _given())
        except ConfigError as error:
            # A worker without sockets finds what else is wrong: the operator mends all at once.
            self._unavailable = error.problems if isinstance(error, Unavailable) else ()
            self._problems = () if self._unavailable else error.problems
        try:
            self._overview.prepare(config)
        except Unavailable as error:
            self._unavailable += error.problems
        except ConfigError as error:
            self._problems += error.problems
        with self._signals.caught():
            for source in (self._signals, self._changes.watcher):
                self._selector.register(source, selectors.EVENT_READ)
            self._fleet.begin(config, self._sockets, self._size)
            self._loop()
        if self._problems:
            raise ConfigError((*self._problems, *self._unavailable))
        if self._unavailable:
            raise Unavailable(self._unavailable)

    # What the fleet asks and tells

    def _start(self, generation: Generation[WorkerProcess], number: int, slot: int) -> WorkerProcess:
        child = WorkerProcess(
            generation.config,
            generation.sockets,
            self._shared.handed,
            is_development=self._is_development,
            generation=generation.number,
            number=number,
            size=generation.size,
            slot=slot,
        )
        try:
            self._selector.register(child, selectors.EVENT_READ)
        except OSError:
            child.kill()
            child.wait()
            raise
        return child

    def promoted(
        self, generation: Generation[WorkerProcess], before: Generation[WorkerProcess] | None
    ) -> None:
        """It serves; announce it, if it is the first one."""
        if self._problems or self._unavailable:
            self._fleet.stop()
            return
        if before is None:
            announce(generation.config, generation.certificates, generation.sockets)
            if self._is_development:
                messages.say(f"Try: pad19 get {first_uri(generation.config, generation.sockets)}")
            if sock := self._overview.open(generation.config):
                self._selector.register(sock, selectors.EVENT_READ)
        else:
            close_others(self._sockets, generation.sockets)
            self._sockets = generation.sockets
            self._overview.reloaded()
        self._overview.adopt(generation.config)
        self._changes.served(generation.config, generation.files)
        self._attempts.succeeded()

    def settled(self, generation: Generation[WorkerProcess]) -> None:
        """Every new connection is served as it says; tell so, if it is not the first one."""
        if self._fleet.stopping:
            return
        status = status_line(generation.config, generation.sockets)
        if generation.number > 1:
            LOGGER.info("reloaded: %s", status)
        systemd.ready(status)

    def abandoned(self, generation: Generation[WorkerProcess], problems: Sequence[str]) -> None:
        """The one before it goes on; if there is none, that was all."""
        close_others(generation.sockets, self._sockets)
        self._overview.withdraw()
        if self._fleet.stopping:
            return
        if not problems:
            self._is_asked = True  # what it was begun for is not served yet, also if its files are as before
        elif self._fleet.current is None:
            for problem in problems:
                if is_passing(problem) or not generation.is_to_blame:
                    self._unavailable += (problem,)
                else:
                    self._problems += (problem,)
            self._fleet.stop()
        else:
            self._changes.tried(generation.files)
            self._not_reloaded(problems, costly=True)

    # Reload

    def _read(self) -> Config:
        self._changes.reading()
        config = self._from_the_same_file()
        self._changes.was_read(config)
        self._size = _size(config)
        self._unreadable = ()
        return config

    def _reload(self, *, again: bool = False) -> None:
        """``again``: nobody has asked for it, and nothing has changed."""
        current = self._fleet.current
        if current is None or self._fleet.stopping:
            return
        self._attempts.begin(again=again)
        if not again:
            systemd.reloading()
        try:
            config = self._read()
        except ConfigError as error:
            self._unreadable = error.problems
            self._not_reloaded(error.problems)
            return
        try:
            if not self._fleet.has_room(self._size):  # it asks for more than the one before it
                self._is_asked = True  # when something has ended
                return
            self._overview.prepare(config)
            sockets = bind(config, before=self._sockets)
        except ConfigError as error:
            self._not_reloaded(error.problems)
            return
        self._fleet.begin(config, sockets, self._size)

    def _from_the_same_file(self) -> Config:
        source = self._fleet.current and self._fleet.current.config.source
        if source and not os.path.lexists(source):
            # Without its file, a folder would be served as it lies there: code, keys and all.
            raise ConfigError((f"{shown_path(source)} is missing: put it back",))
        return self._load()

    def _try_again(self, now: float) -> None:
        """See whether what failed the last time would work now: much is mended where nobody watches."""
        if self._settling.is_under_way:
            return
        if self._changes.news():
            self._settling.begin(now)  # somebody mends it just now
            return
        if self._unreadable:
            try:
                config = self._from_the_same_file()
            except ConfigError as error:
                if error.problems == self._unreadable:
                    self._attempts.postpone(now, RETRY)
                    return
            else:
                if not self._changes.knows(config):  # it names files that may be half-written
                    self._changes.was_read(config)
                    self._attempts.postpone(now, QUIET)
                    return
        self._reload(again=True)

    def _not_reloaded(self, problems: Sequence[str], *, costly: bool = False) -> None:
        self._overview.withdraw()
        if not self._attempts.failed(problems, time.monotonic(), costly=costly):
            return
        self._overview.not_reloaded(problems)
        current = self._fleet.current
        for problem in problems:
            LOGGER.error("%s", problem)
        LOGGER.error("not reloaded: what was served before is served still")
        if current:
            systemd.ready(f"{status_line(current.config, self._sockets)} (the last reload failed)")

    # The loop

    def _loop(self) -> None:
        watchdog = systemd.watchdog_interval()
        fed = looked = time.monotonic()
        while not self._fleet.is_done:
            longest = min(TICK, watchdog or TICK, self._settling.wait(time.monotonic()))
            for key, _ in self._selector.select(longest):
                source = key.fileobj
                if isinstance(source, WorkerProcess):
                    self._listen_to(source)
                elif isinstance(source, Watcher):
                    source.clear()
                    looked = -math.inf
                elif isinstance(source, StatusSocket):
                    self._tell(self._overview.answer)
                elif isinstance(source, Signals):
                    for number in source.read():
                        self._obey(number)
            self._bury()
            self._fleet.tick()
            now = time.monotonic()
            if now - looked >= POLL:
                looked = now
                self._settling.begin(now)
            self._reload_when_due(now)
            if watchdog and now - fed >= watchdog / 2:
                systemd.still_alive()
                fed = now

    def _reload_when_due(self, now: float) -> None:
        self._has_changed |= self._settling.is_over(now)
        if self._is_asked or self._has_changed:
            self._fleet.make_way()
        if not self._fleet.has_room(self._size):
            return
        # Perhaps the generation that has come meanwhile has read the change already.
        if self._is_asked or (self._has_changed and self._changes.news()):
            self._is_asked = self._has_changed = False
            self._reload()
            return
        self._has_changed = False
        if self._changes.matter and self._attempts.are_due(now):
            self._try_again(now)

    def _listen_to(self, child: WorkerProcess) -> None:
        for worker in self._fleet.workers:
            if worker.child is child:
                for report in child.reports():
                    self._fleet.reported(worker, report)

    def _bury(self) -> None:
        for worker in [*self._fleet.workers]:
            child = worker.child
            status = child.poll()
            if status is None:
                continue
            self._listen_to(child)  # its last words
            self._selector.unregister(child)
            child.close()
            self._shared.clear(worker.slot)
            self._fleet.ended(worker, status)

    # Signals

    def _obey(self, number: signal.Signals) -> None:
        match number:
            case signal.SIGHUP if not self._signals.terminal_is_gone:
                self._is_asked = True
            case signal.SIGTERM | signal.SIGINT | signal.SIGHUP:
                self._interrupts += number == signal.SIGINT
                if self._interrupts > 1:
                    self._fleet.hurry()
                self._stop()
            case signal.SIGUSR1:
                self._fleet.reopen_logs()
            case signal.SIGUSR2:
                self._tell(lambda: messages.say(as_text(self._overview.snapshot()).rstrip("\n")))

    def _tell(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception:  # whoever is curious must not end what is served
            LOGGER.exception("the status cannot be told")

    def _stop(self) -> None:
        if self._fleet.stopping:
            return
        grace = max((worker.generation.config.limits.grace_s for worker in self._fleet.workers), default=0)
        systemd.stopping(grace + STOP_MARGIN, "Stopping: open connections may finish")
        # Workers have them still, and take what waits there before they let go.
        close_others(self._sockets, ())
        self._fleet.stop()


def _size(config: Config) -> int:
    return config.server.workers or min(_cores(), MAX_WORKERS)


def _cores() -> int:
    # How many this process may use, where the system tells.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _given() -> list[socket.socket]:
    try:
        return [sock for _, sock in systemd.activated()]
    except systemd.ActivationError as error:
        raise ConfigError((str(error),)) from None
