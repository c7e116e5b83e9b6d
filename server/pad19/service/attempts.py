"""When to try a reload again that has failed, though no file has changed.

A port becomes free, a disk has room, a folder may be written: nothing tells us. What only costs a look
is tried every few seconds, what costs a new worker less and less often.
"""

import math
import re
from collections.abc import Sequence

RETRY = 2.0  # seconds between two attempts
RETRY_AT_MOST = 60.0  # seconds: each attempt that took workers doubles the time until the next, up to this

_PID = re.compile(r"\(process \d+\)")


class Attempts:
    """What has become of the last attempt. Times are those of a clock that never goes back, in seconds."""

    def __init__(self) -> None:
        self._problems: tuple[str, ...] = ()
        self._pause = RETRY
        self._due = math.inf
        self.is_repeated = False  # the last one: nobody asked for it, and nothing had changed

    def begin(self, *, again: bool) -> None:
        """Another one is made. ``again``: for no other reason than that it is due."""
        self.is_repeated = again
        self._due = math.inf
        if not again:
            self._pause = RETRY

    def succeeded(self) -> None:
        """There is nothing to try again."""
        self._problems = ()
        self._due = math.inf

    def failed(self, problems: Sequence[str], now: float, *, costly: bool) -> bool:
        """Whether that is to be said: it is not if only a repeated attempt has failed in the same way."""
        gist = tuple(_PID.sub("", problem) for problem in problems)
        is_news = not self.is_repeated or gist != self._problems
        self._problems = gist
        self._due = now + self._pause
        if costly:
            self._pause = min(2 * self._pause, RETRY_AT_MOST)
        return is_news

    def postpone(self, now: float, seconds: float = RETRY) -> None:
        """It would fail in the same way, or it is too early."""
        self._due = now + seconds

    def are_due(self, now: float) -> bool:
        """Whether it is time for another one."""
        return now >= self._due
