"""Waiting for what other processes do and nobody announces."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable

from .process import PATIENCE, Serving

PAUSE = 0.01  # seconds between two looks: asking all the time would hold back what is waited for


def wait_until(ask: Callable[[], object], expected: object = True, *, patience: float = PATIENCE) -> None:
    """Ask until that is the answer. ``patience``: seconds.

    Only for what gives no event. The kernel tells nobody that a process has a new child or another
    socket, and a file system only now and then that something was written. What a server says is
    waited for by `Serving.wait_for_err` and `Serving.lines`, the end of processes by `wait_for_end`.
    """
    deadline = time.monotonic() + patience
    while (answer := ask()) != expected:
        assert time.monotonic() < deadline, answer
        time.sleep(PAUSE)


def wait_for_workers(server: Serving, count: int) -> list[int]:
    """Return so many workers, when there are neither more nor fewer."""
    wait_until(lambda: len(server.workers), count)
    return server.workers


def wait_for_end(pids: Iterable[int]) -> None:
    """Of processes that need not be our children, and may have ended already."""
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            ready, _, _ = select.select([fd], [], [], PATIENCE)
            if not ready:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)
        assert ready, f"process {pid} lives on"


def kill_worker(server: Serving) -> None:
    """The one that is left after a reload."""
    [worker] = wait_for_workers(server, 1)
    os.kill(worker, signal.SIGKILL)
