"""How the server is, for whoever asks: `pad19 status`, SIGUSR2, Prometheus."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pad19.service.child import WorkerProcess
from pad19.service.config.model import Config
from pad19.service.fleet import Fleet
from pad19.service.generation import Worker

from . import status, status_socket
from .scoreboard import Scoreboard
from .status import Certificate, Reloads, Snapshot
from .status_socket import StatusSocket

if TYPE_CHECKING:
    from .metrics import MetricsServer


class Overview:
    """Reads the state of a fleet, and tells it."""

    def __init__(self, fleet: Fleet[WorkerProcess], scoreboard: Scoreboard) -> None:
        self._fleet = fleet
        self._scoreboard = scoreboard
        self._started = time.monotonic()
        self._reloads = Reloads()
        self._socket: StatusSocket | None = None
        self._metrics: MetricsServer | None = None
        self._coming: MetricsServer | None = None  # of a configuration that is not served yet

    def open(self, config: Config) -> StatusSocket | None:
        """Be there for `pad19 status`."""
        subject = config.source or config.capsules[0].content
        self._socket = status_socket.open_socket(Path(os.path.abspath(subject)))
        return self._socket

    def answer(self) -> None:
        """Tell those who ask by way of the socket."""
        if self._socket:
            self._socket.answer(lambda: status.message(self.snapshot()))

    def close(self) -> None:
        """Tell nobody any more."""
        self.withdraw()
        if self._metrics:
            self._metrics.stop()
        if self._socket:
            self._socket.close()

    # Metrics come and go with the configuration

    def prepare(self, config: Config) -> None:
        """Listen for scrapers where a configuration says, if that is not done yet.

        Raises:
            ConfigError: It cannot be done.
        """
        current = self._fleet.current
        wanted = config.metrics
        is_as_wanted = current and current.config.metrics == wanted
        if wanted and not (self._metrics and is_as_wanted and self._metrics.is_reachable):
            from .metrics import MetricsServer  # which few have

            self._coming = MetricsServer(wanted.listen, self.snapshot, self._metrics)

    def adopt(self, config: Config) -> None:
        """The configuration is served."""
        if self._metrics and (self._coming or not config.metrics):
            self._metrics.stop()
            self._metrics = None
        if self._coming:
            self._metrics, self._coming = self._coming, None
            self._metrics.start()

    def withdraw(self) -> None:
        """The configuration is not going to be served."""
        if self._coming:
            self._coming.stop()
            self._coming = None

    # What has happened

    def reloaded(self) -> None:
        """A change is served."""
        self._reloads = replace(self._reloads, succeeded=self._reloads.succeeded + 1)

    def not_reloaded(self, problems: Sequence[str]) -> None:
        """A change is not served."""
        self._reloads = Reloads(
            succeeded=self._reloads.succeeded,
            failed=self._reloads.failed + 1,
            error="\n".join(problems),
            failed_at=datetime.now(UTC),
        )

    def snapshot(self) -> Snapshot:
        """How it is now. May be called in any thread."""
        current = self._fleet.current
        workers = [*self._fleet.workers]
        return Snapshot(
            version=_version(),
            uptime_s=time.monotonic() - self._started,
            generation=current.number if current else 0,
            addresses=tuple(str(bound.listen) for bound in current.sockets) if current else (),
            workers=tuple(map(self._worker, workers)),
            certificates=tuple(
                Certificate(
                    host=shown.host,
                    not_after=datetime.fromtimestamp(shown.not_after, UTC),
                    fingerprint=shown.fingerprint,
                )
                for shown in (current.certificates if current else ())
            ),
            metrics=tuple(map(str, self._metrics.addresses)) if self._metrics else (),
            totals=self._scoreboard.totals(),
            reloads=self._reloads,
            restarts=self._fleet.replaced,
            lacks=tuple(dict.fromkeys(lack for worker in workers for lack in worker.lacks)),
        )

    def _worker(self, worker: Worker[WorkerProcess]) -> status.Worker:
        pulse = self._scoreboard.pulse(worker.slot)
        return status.Worker(
            pid=worker.child.pid,
            generation=worker.generation.number,
            state=worker.state.value,
            age_s=time.monotonic() - worker.started,
            open_connections=pulse.open_connections,
            beat_age_s=pulse.beat_age_s,
        )


def _version() -> str:
    try:
        from importlib.metadata import version  # costs 20 ms, which the start need not pay

        return version("pad19")
    except (OSError, ImportError):  # no descriptors are left; or it is just being upgraded
        return "(unknown)"
