"""Waiting for what other processes do and nobody announces."""

from __future__ import annotations

import os
import selectors
import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from .process import PATIENCE, Serving

PAUSE = 0.01  # seconds between two looks: asking all the time would hold back what is waited for


class HasFileno(Protocol):
    """An open file or socket, or what behaves so."""

    def fileno(self) -> int: ...


def wait_until(ask: Callable[[], object], expected: object = True) -> None:
    """Ask until that is the answer.

    Only for what gives no event. The kernel tells nobody that a process has a new child or another
    socket, and a file system only now and then that something was written. What a server says is
    waited for by `Serving.wait_for_err` and `Serving.lines`, the end of processes by `wait_for_end`.
    """
    deadline = time.monotonic() + PATIENCE
    while (answer := ask()) != expected:
        assert time.monotonic() < deadline, answer
        time.sleep(PAUSE)


def is_readable(source: int | HasFileno, seconds: float = 0.0) -> bool:
    """Whether something can be read from a descriptor within that time, whatever its number is."""
    with selectors.DefaultSelector() as selector:  # select() takes none from 1024 on
        selector.register(source, selectors.EVENT_READ)
        return bool(selector.select(seconds))


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
            ready = is_readable(fd, PATIENCE)
            if not ready:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)
        assert ready, f"process {pid} lives on"


def wait_for_threads(name: str) -> None:
    """None of this name is left in this process, nor what it had open."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(PATIENCE)
            assert not thread.is_alive()


def kill_worker(server: Serving) -> None:
    """The one that is left after a reload."""
    [worker] = wait_for_workers(server, 1)
    os.kill(worker, signal.SIGKILL)
