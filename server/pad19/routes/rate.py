"""How often somebody may ask: ``5/1m``, five times in any minute or one after another.

One number is kept for each visitor, the time at which all that he asked for would have been spread
evenly (the generic cell rate algorithm). Each worker counts for itself.
"""

import math
from functools import lru_cache
from ipaddress import ip_address

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


@lru_cache(maxsize=4096)
def address_group(address: str) -> str:
    """What counts as one visitor: an IPv4 address, or an IPv6 /64, since that is what one customer gets."""
    if not address:
        return ""  # a UNIX socket
    ip = ip_address(address.partition("%")[0])
    if ip.version == 6:
        return str(ip.ipv4_mapped) if ip.ipv4_mapped else f"{ip.exploded[:19]}::/64"
    return str(ip)
