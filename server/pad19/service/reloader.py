"""Reloads: from a wish, or from files that have changed, to a new generation of workers.

What cannot be served is told once, and tried again when `Attempts` says so. Until a new generation
serves, the one before it does.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import systemd
from .announcement import status_line
from .attempts import Attempts
from .changes import POLL, Changes
from .child import WorkerProcess
from .config.model import Config, ConfigError
from .config.read import shown_path
from .fleet import Fleet
from .settling import Settling
from .signature import Signatures
from .sockets import bind
from .telemetry.overview import Overview
from .watch import STEP, STEP_IN_DEVELOPMENT, Watcher

LOGGER = logging.getLogger("pad19.service")

MAX_WORKERS = 64  # one for each core, but no more than can be asked for
QUIET = 0.3  # seconds without another change, so that an rsync in progress is one change
QUIET_IN_DEVELOPMENT = 0.02  # an author has saved one file, and waits
_EMPTIED = "has become empty: put back what was in it, or a comment if you mean that"


class Reloader:
    """Reads the configuration, and begins generations. Times are those of `time.monotonic`."""

    def __init__(
        self,
        load: Callable[[], Config],
        fleet: Fleet[WorkerProcess],
        overview: Overview,
        *,
        is_development: bool,
    ) -> None:
        self._load = load
        self._fleet = fleet
        self._overview = overview
        self.watcher = Watcher(step=STEP_IN_DEVELOPMENT if is_development else STEP)
        self._changes = Changes(self.watcher)
        self._settling = Settling(self._changes.news, QUIET_IN_DEVELOPMENT if is_development else QUIET)
        self._attempts = Attempts()
        self._looked = time.monotonic()  # at everything
        self._is_asked = False  # for one, whether or not something has changed
        self._has_changed = False  # something that belongs to the configuration
        self._size = 1  # workers, as the configuration that was read last has it
        self._unreadable: tuple[str, ...] = ()  # why the configuration could not be read

    def close(self) -> None:
        """Notice nothing more."""
        self.watcher.close()

    def read(self) -> Config:
        """The configuration as it is now.

        Raises:
            ConfigError: It cannot be read, or not be served.
        """
        self._changes.reading()
        config = self._from_the_same_file()
        self._changes.was_read(config)
        self._size = worker_count(config)
        self._unreadable = ()
        return config

    # What its owner tells

    def ask(self) -> None:
        """A reload is wanted, whether or not something has changed."""
        self._is_asked = True

    def notice(self) -> None:
        """The watcher has news."""
        self.watcher.clear()
        self._looked = -math.inf

    def served(self, config: Config, files: Signatures) -> None:
        """A configuration is served from now on, for which its workers have read these files."""
        self._changes.served(config, files)
        self._attempts.succeeded()

    def failed(self, files: Signatures, problems: Sequence[str]) -> None:
        """Workers could not be made ready, which have read these files."""
        self._changes.tried(files)
        self._not_reloaded(problems, costly=True)

    # As time passes

    def wait(self, now: float) -> float:
        """Seconds until `tick` has something to do, unless something happens."""
        return self._settling.wait(now)

    def tick(self, now: float) -> None:
        """Do what is due by now."""
        if now - self._looked >= POLL:
            self._looked = now
            self._settling.begin(now)
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

    def _reload(self, *, again: bool = False) -> None:
        """``again``: nobody has asked for it, and nothing has changed."""
        current = self._fleet.current
        if current is None or self._fleet.stopping:
            return
        self._attempts.begin(again=again)
        if not again:
            systemd.reloading()
        try:
            config = self.read()
        except ConfigError as error:
            self._unreadable = error.problems
            self._not_reloaded(error.problems)
            return
        if not self._fleet.has_room(self._size):  # it asks for more than the one before it
            self._is_asked = True  # when something has ended
            return
        try:
            self._overview.prepare(config)
            sockets = bind(config, before=current.sockets)
        except ConfigError as error:
            self._not_reloaded(error.problems)
            return
        self._fleet.begin(config, sockets, self._size)

    def _from_the_same_file(self) -> Config:
        source = self._fleet.current and self._fleet.current.config.source
        if source and not os.path.lexists(source):
            # Without its file, a folder would be served as it lies there: code, keys and all.
            raise ConfigError((f"{shown_path(source)} is missing: put it back",))
        if emptied := self._changes.emptied:
            raise ConfigError(tuple(f"{shown_path(Path(path))} {_EMPTIED}" for path in emptied))
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
                    self._attempts.postpone(now)
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
        for problem in problems:
            LOGGER.error("%s", problem)
        LOGGER.error("not reloaded: what was served before is served still")
        if current := self._fleet.current:
            systemd.ready(f"{status_line(current.config, current.sockets)} (the last reload failed)")


def worker_count(config: Config) -> int:
    """How many workers a configuration asks for."""
    return config.server.workers or min(_cores(), MAX_WORKERS)


def _cores() -> int:
    # How many this process may use, where the system tells.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
