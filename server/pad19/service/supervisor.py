"""The supervisor: keeps workers serving, and starts new ones when something has changed.

A small program: no event loop but its own, no TLS, no content. It owns the listening sockets, which
stay open whatever happens to the workers. It reads signals and what workers report, and leaves what
follows from them to `Fleet`, and to `Reloader` when another configuration is to be served.
"""

import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from . import keyring, systemd
from .announcement import announce, first_uri, status_line
from .child import WorkerProcess
from .config.model import Config, ConfigError
from .fleet import SLOTS, STOP_MARGIN, Fleet
from .generation import Generation
from .logs import messages
from .passing import PASSING, is_passing
from .reloader import Reloader, worker_count
from .shared_state import SharedState
from .signals import Signals
from .sockets import Bound, Unavailable, begin_listening, bind, close_others
from .telemetry.overview import Overview
from .telemetry.status import as_text
from .telemetry.status_socket import StatusSocket
from .watch import Watcher

LOGGER = logging.getLogger("pad19.service")

TICK = 1.0  # seconds between two looks at clocks, at most
_INIT = 1  # the number of the process that those become children of whose own parent has ended
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
        self._is_development = is_development
        self._fleet: Fleet[WorkerProcess] = Fleet(self._start, self, time.monotonic)
        self._shared = SharedState(SLOTS)
        self._overview = Overview(self._fleet, self._shared.scoreboard)
        self._reloader = Reloader(load, self._fleet, self._overview, is_development=is_development)
        self._selector = selectors.DefaultSelector()
        self._signals = Signals()
        self._sockets: tuple[Bound, ...] = ()  # those that are served
        self._keyrings: dict[int, int] = {}  # by generation
        self._problems: tuple[str, ...] = ()  # of the start
        self._unavailable: tuple[str, ...] = ()  # likewise; these may be over the next time
        self._interrupts = 0

    def run(self) -> None:
        """Serve until stopped. Raises what `supervise` does, and `OSError` where the system has no room."""
        try:
            self._run()
        finally:
            for worker in self._fleet.workers:  # none, unless something went wrong here
                worker.child.kill()
            close_others(self._sockets, ())
            for fd in self._keyrings.values():
                keyring.close(fd)
            self._reloader.close()
            self._overview.close()
            self._shared.close()
            self._selector.close()

    def _run(self) -> None:
        config = self._reloader.read()
        try:
            self._sockets = bind(config, _given())
        except ConfigError as error:
            # A worker without sockets finds what else is wrong: the operator mends all at once.
            self._unavailable = error.problems if isinstance(error, Unavailable) else ()
            self._problems = () if self._unavailable else error.problems
        given = [entry for entry in self._sockets if entry.inherited]
        if config.server.listen and given and all(entry.forwarder for entry in given):
            LOGGER.warning(
                "server.listen is not listened on, since the sockets come from systemd, and all of them are "
                "forwarders': add its addresses to a .socket unit, or remove it"
            )
        try:
            self._overview.prepare(config)
        except Unavailable as error:
            self._unavailable += error.problems
        except ConfigError as error:
            self._problems += error.problems
        with self._signals.caught():
            for source in (self._signals, self._reloader.watcher):
                self._selector.register(source, selectors.EVENT_READ)
            self._fleet.begin(config, self._sockets, worker_count(config))
            self._loop()
        if self._problems:
            raise ConfigError((*self._problems, *self._unavailable))
        if self._unavailable:
            raise Unavailable(self._unavailable)

    # What the fleet asks and tells

    def _start(self, generation: Generation[WorkerProcess], number: int, slot: int) -> WorkerProcess:
        if generation.number not in self._keyrings:
            self._keyrings[generation.number] = keyring.make()
        current = self._fleet.current
        child = WorkerProcess(
            generation.config,
            generation.sockets,
            self._shared.handed,
            self._keyrings[generation.number],
            is_development=self._is_development,
            stands_in=generation is current,
            generation=generation.number,
            number=number,
            size=generation.size,
            slot=slot,
            known=current.known if current else frozenset(),
        )
        try:
            self._selector.register(child, selectors.EVENT_READ)
        except OSError:
            child.kill()
            child.wait()
            raise
        return child

    def open(self, generation: Generation[WorkerProcess]) -> Sequence[str]:
        """Listen where nobody did so far; why that cannot be."""
        try:
            begin_listening(generation.sockets, self._sockets)
        except Unavailable as error:
            return error.problems
        return ()

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
            self._forget_keys(before)
            self._overview.reloaded()
        self._overview.adopt(generation.config)
        self._reloader.served(generation.config, generation.files)

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
        self._forget_keys(generation)
        self._overview.withdraw()
        if self._fleet.stopping:
            return
        if not problems:
            self._reloader.ask()  # what it was begun for is not served yet, also if its files are as before
        elif self._fleet.current is None:
            for problem in problems:
                if is_passing(problem) or not generation.is_to_blame:
                    self._unavailable += (problem,)
                else:
                    self._problems += (problem,)
            self._fleet.stop()
        else:
            self._reloader.failed(generation.files, problems)

    def _forget_keys(self, generation: Generation[WorkerProcess]) -> None:
        """Nobody of it starts any more."""
        keyring.close(self._keyrings.pop(generation.number, keyring.NONE))

    # The loop

    def _loop(self) -> None:
        watchdog = systemd.watchdog_interval()
        fed = time.monotonic()
        while not self._fleet.is_done:
            longest = min(TICK, watchdog or TICK, self._reloader.wait(time.monotonic()))
            for key, _ in self._selector.select(longest):
                source = key.fileobj
                if isinstance(source, WorkerProcess):
                    self._listen_to(source)
                elif isinstance(source, Watcher):
                    self._reloader.notice()
                elif isinstance(source, StatusSocket):
                    self._tell(self._overview.answer)
                elif isinstance(source, Signals):
                    for number in source.read():
                        self._obey(number)
            self._bury()
            self._fleet.tick()
            now = time.monotonic()
            self._signals.look(now)
            self._reloader.tick(now)
            if watchdog and now - fed >= watchdog / 2:
                systemd.still_alive()
                fed = now

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
        if os.getpid() == _INIT:  # in a container
            _bury_others({worker.child.pid for worker in self._fleet.workers})

    # Signals

    def _obey(self, number: signal.Signals) -> None:
        match number:
            case signal.SIGHUP if not self._signals.terminal_is_gone:
                self._reloader.ask()
            case signal.SIGTERM | signal.SIGINT | signal.SIGHUP:
                if number == signal.SIGHUP:
                    LOGGER.info("the terminal was closed: stopping")
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


def _bury_others(ours: Collection[int]) -> None:
    """Take note of what has ended and nobody else will ask about: each would keep its number for ever."""
    with suppress(ChildProcessError):  # there are no children at all
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in ours:  # it is next; the others have their turn then
                return
            os.waitpid(ended.si_pid, 0)


def _given() -> list[socket.socket]:
    try:
        return [sock for _, sock in systemd.activated()]
    except systemd.ActivationError as error:
        raise ConfigError((str(error),)) from None
