"""How often somebody may ask for a route: ``5/1m`` is five times in the minute that begins with the first.

That is what ``limits.rate`` means, too, which limits connections (`pad19.dispatch.limits`): all workers
share that one, in a table of a fixed size, while here each worker counts for itself.
"""

import math

from pad19.protocol.failure import SlowDown
from pad19.protocol.rate import Rate

# Whoever has many addresses must not fill the memory. Past it, those are forgotten that asked last
# longest ago: about 3 MB.
MAX_VISITORS = 16_384
_ROUNDING = 1e-6  # seconds; sums of fractions are not exact


class RateLimit:
    """Who asked how much of late."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        # The end of a window, and how many it has seen; in the order in which they asked last.
        self._windows: dict[str, tuple[float, int]] = {}

    def count(self, visitor: str, now: float) -> None:
        """Count a request at ``now`` (seconds). One that is refused does not count.

        Raises:
            SlowDown: Too many; it says after how many seconds the next one is welcome.
        """
        end, count = self._windows.pop(visitor, (now, 0))
        if end - now < _ROUNDING:
            end, count = now + self._rate.seconds, 0
        if count == self._rate.count:
            self._windows[visitor] = end, count
            raise SlowDown(math.ceil(end - now - _ROUNDING))
        self._windows[visitor] = end, count + 1
        if len(self._windows) > MAX_VISITORS:
            del self._windows[next(iter(self._windows))]
