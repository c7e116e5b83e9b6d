"""How often somebody may ask: ``5/1m``, five times in any minute or one after another.

One number is kept for each visitor, the time at which all that he asked for would have been spread
evenly (the generic cell rate algorithm). Each worker counts for itself.
"""

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Self

from pad19.protocol.failure import SlowDown

MAX_COUNT = 1_000_000
MAX_SECONDS = 86_400  # a day
# Whoever has many addresses must not fill the memory. Past it, those are forgotten that asked last
# longest ago: about 2 MB.
MAX_VISITORS = 16_384
_RATE = re.compile(r"([0-9]{1,7})/([0-9]{1,5})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Rate:
    """So many times in so many seconds."""

    count: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``5/1m``; the unit is s, m or h.

        Raises:
            ValueError: It is none; the message continues "rate ...".
        """
        match = _RATE.fullmatch(text)
        rate = cls(int(match[1]), int(match[2]) * _SECONDS[match[3]]) if match else cls(0, 0)
        if not 1 <= rate.count <= MAX_COUNT or not 1 <= rate.seconds <= MAX_SECONDS:
            raise ValueError('must be a number of requests and a time of up to a day, such as "5/1m"')
        return rate


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
