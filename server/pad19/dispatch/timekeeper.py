"""One task that ends the connections that take too long.

Not a cancel scope for each: entering and leaving one costs a twentieth of a small request, and hardly
any ever fires.
"""

import math
from typing import Protocol

import trio


class Abortable(Protocol):
    """What can be late, such as a `TLSStream`."""

    async def abort(self) -> None:
        """Close without a word; whoever waits for it gets `trio.ClosedResourceError`."""


class Timekeeper:
    """Aborts what is not done in time. `run` must run."""

    def __init__(self, seconds: float) -> None:
        """``seconds``: the same for all, so that the first to begin is the first to be late."""
        self._seconds = seconds
        self._due: dict[Abortable, float] = {}  # in order
        self._begun = trio.Event()

    def begin(self, stream: Abortable) -> None:
        """Its time begins now."""
        if not self._due:
            self._begun.set()
        self._due[stream] = trio.current_time() + self._seconds

    def done(self, stream: Abortable) -> bool:
        """It is done. Whether that was in time; also False if it had not begun."""
        return self._due.pop(stream, None) is not None

    async def run(self) -> None:
        """Watch the time, until cancelled."""
        while True:
            await self._begun.wait()
            self._begun = trio.Event()
            while self._due:
                await trio.sleep_until(next(iter(self._due.values())))
                now = trio.current_time()
                while next(iter(self._due.values()), math.inf) <= now:
                    stream = next(iter(self._due))
                    del self._due[stream]
                    await stream.abort()
