"""Waits until files that change have come to rest: what is still being written is not to be read.

Events cannot tell. A file that is written line by line has one for each line, any of which could be
the last. So two looks at all files have to be alike, and some time apart.
"""

import math
from collections.abc import Callable

from .signature import Signatures

PATIENCE = 5.0  # seconds until a change counts though there are more and more of them


class Settling:
    """Times are those of a clock that never goes back, in seconds."""

    def __init__(self, look: Callable[[], Signatures | None], quiet: float) -> None:
        """``look``: finds the files as they are; None if that is no news. ``quiet``: between two looks."""
        self._look = look
        self._quiet = quiet
        self._seen: Signatures | None = None
        self._due = math.inf
        self._latest = math.inf

    @property
    def is_under_way(self) -> bool:
        """Whether there is something to wait for."""
        return self._seen is not None

    def begin(self, now: float) -> None:
        """Something may have changed."""
        if self._seen is None:
            self._seen = self._look()
            self._due = now + self._quiet
            self._latest = now + PATIENCE

    def wait(self, now: float) -> float:
        """How long until `is_over` has something to say."""
        return math.inf if self._seen is None else max(self._due - now, 0.0)

    def is_over(self, now: float) -> bool:
        """Whether there is news that is worth reading now. True once, then all begins anew."""
        if self._seen is None or now < self._due:
            return False
        before, self._seen = self._seen, self._look()
        if self._seen is None:  # all is as it was
            return False
        if self._seen == before or now >= self._latest:
            self._seen = None
            return True
        self._due = now + self._quiet
        return False
