"""A worker process, as its supervisor sees it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from .config.model import Config
from .handover import Order, Report, ReportReader, handed
from .shared_state import Handed
from .signals import FOR_SUPERVISORS
from .sockets import Bound

# Nothing but this package and what is installed: the working directory may be full of strangers' modules.
COMMAND = (sys.executable, "-P", "-m", "pad19.service.worker_process")


class Child(Protocol):
    """What `Fleet` needs of a process."""

    @property
    def pid(self) -> int:
        """Its number in the system."""

    def drain(self) -> None:
        """Take no more connections, finish the open ones, end."""

    def hurry(self) -> None:
        """Do not wait for the open ones."""

    def reopen_log(self) -> None:
        """Go on in a new file."""

    def abort(self) -> None:
        """End at once, with a last word on what it was doing."""

    def kill(self) -> None:
        """End at once, whatever it is doing."""


class WorkerProcess:
    """A fresh Python that serves a configuration."""

    def __init__(
        self,
        config: Config,
        sockets: tuple[Bound, ...],
        shared: Handed,
        keyring: int,
        *,
        is_development: bool,
        stands_in: bool,
        generation: int,
        number: int,
        size: int,
        slot: int,
        known: frozenset[str],
    ) -> None:
        """Start it.

        Raises:
            OSError: There is no process, descriptor or memory to be had.
        """
        ours, theirs = os.pipe()
        lifeline = self._lifeline = order_fd = -1
        try:
            lifeline, self._lifeline = os.pipe()
            order = Order(
                config=config,
                is_development=is_development,
                stands_in=stands_in,
                generation=generation,
                number=number,
                size=size,
                slot=slot,
                shared=shared,
                keyring=keyring,
                sockets=handed(sockets),
                reports=theirs,
                lifeline=lifeline,
                known=known,
            )
            order_fd = order.put()
            with _blocked():
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    [*COMMAND, str(order_fd)],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(order_fd, *order.descriptors),
                    # Ctrl-C is for the supervisor alone, which tells its workers.
                    process_group=0,
                )
        except BaseException:
            _close(ours, self._lifeline)
            raise
        finally:
            _close(theirs, lifeline, order_fd)
        os.set_blocking(ours, False)
        self._reports = ours
        self._reader = ReportReader(ours)

    @property
    def pid(self) -> int:
        """Its number in the system."""
        return self._process.pid

    def fileno(self) -> int:
        """Readable when there are reports, or it has ended."""
        return self._reports

    def reports(self) -> Iterator[Report]:
        """What it has told since the last time."""
        return self._reader.read()

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it lives."""
        return self._process.poll()

    def wait(self) -> None:
        """Until it has ended, and forget it."""
        self._process.wait()
        self.close()

    def close(self) -> None:
        """Forget it, once it has ended."""
        _close(self._reports, self._lifeline)

    def drain(self) -> None:
        """Take no more connections, finish the open ones, end."""
        self._signal(signal.SIGTERM)

    def hurry(self) -> None:
        """Do not wait for the open ones."""
        self._signal(signal.SIGQUIT)

    def reopen_log(self) -> None:
        """Go on in a new file."""
        self._signal(signal.SIGUSR1)

    def abort(self) -> None:
        """End at once; with PYTHONFAULTHANDLER set, standard error shows what it was doing."""
        self._signal(signal.SIGABRT)

    def kill(self) -> None:
        """End at once, whatever it is doing."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)


@contextmanager
def _blocked() -> Iterator[None]:
    """Have a process that is started meanwhile begin with `FOR_SUPERVISORS` blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_SUPERVISORS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _close(*descriptors: int) -> None:
    """Close those that were opened."""
    for fd in descriptors:
        if fd >= 0:
            os.close(fd)
