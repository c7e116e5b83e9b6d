"""How often somebody may ask for a route: ``5/1m`` is five times at once, and once more each 12 seconds.

One number is kept for each visitor, the time at which all that was asked for would have been spread
evenly (the generic cell rate algorithm). Each worker counts for itself. The limit on connections is
another one (`pad19.dispatch.limits`): all workers share it, in a table of a fixed size.
"""

import math

from pad19.protocol.failure import SlowDown
from pad19.protocol.rate import Rate

# Whoever has many addresses must not fill the memory. Past it, those are forgotten that asked last
# longest ago: about 2 MB.
MAX_VISITORS = 16_384


class RateLimit:
    """Who asked how much of late."""

    def __init__(self, rate: Rate) -> None:
        self._interval = rate.seconds / rate.count
        self._burst = rate.seconds - self._interval  # how far ahead of an even pace one may be
        self._paces: dict[str, float] = {}  # in the order in which they asked last

    def count(self, visitor: str, now: float) -> None:
        """Count a request at ``now`` (seconds). One that is refused does not count.

        Raises:
            SlowDown: Too many; it says after how many seconds the next one is welcome.
        """
        pace = max(self._paces.pop(visitor, now), now)
        ahead = pace - now - self._burst
        if ahead > 1e-6:  # seconds; sums of fractions are not exact
            self._paces[visitor] = pace
            raise SlowDown(math.ceil(ahead - 1e-6))
        self._paces[visitor] = pace + self._interval
        if len(self._paces) > MAX_VISITORS:
            del self._paces[next(iter(self._paces))]
