"""Clients that ask again and again, at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from .process import PATIENCE


@dataclass(frozen=True, slots=True)
class Asked:
    """One question."""

    start: float  # of time.monotonic()
    end: float
    problem: str  # "": it was answered as it should have been


class Load:
    """So many threads that ask, from `__enter__` to `stop`."""

    def __init__(self, clients: int, ask: Callable[[], None]) -> None:
        """``ask``: raises OSError or AssertionError if the answer is not right."""
        self._ask = ask
        self._stopping = False
        self._changed = threading.Condition()
        self._asked: list[Asked] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self) -> None:
        while not self._stopping:
            start = time.monotonic()
            problem = ""
            try:
                self._ask()
            except (OSError, AssertionError) as error:
                problem = repr(error)
            asked = Asked(start, time.monotonic(), problem)
            with self._changed:
                self._asked.append(asked)
                self._changed.notify_all()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> list[Asked]:
        """All that was asked, when the last answers are there."""
        self._stopping = True
        for thread in self._threads:
            thread.join(2 * PATIENCE)
            assert not thread.is_alive()
        return self._asked

    @property
    def failures(self) -> list[Asked]:
        with self._changed:
            return [asked for asked in self._asked if asked.problem]

    def answered(self, since: float, count: int = 1) -> float:
        """Wait until so many questions asked ``since`` then are answered; when that was."""

        def ends() -> list[float]:
            return [asked.end for asked in self._asked if asked.start >= since and not asked.problem]

        with self._changed:
            assert self._changed.wait_for(lambda: len(ends()) >= count, PATIENCE), "nobody is answered"
            return sorted(ends())[count - 1]

    def run(self, seconds: float) -> bool:
        """Let time pass. False: something failed meanwhile."""
        with self._changed:
            return not self._changed.wait_for(
                lambda: bool(self._asked) and bool(self._asked[-1].problem), seconds
            )
