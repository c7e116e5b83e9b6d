"""How often somebody may come: ``60/10s``."""

import re
from dataclasses import dataclass
from typing import Self

MAX_COUNT = 1_000_000
MAX_SECONDS = 86_400  # a day
DESCRIPTION = 'a number, a slash and a time such as "10s", "5m" or "1h"'
_UNITS = {"s": 1, "m": 60, "h": 3600}
_FORM = re.compile(r"([0-9]+)/([0-9]+)([smh])")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in the seconds that begin with the first of them."""

    count: int  # 1 to MAX_COUNT
    seconds: int  # 1 to MAX_SECONDS

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``60/10s``, ``5/1m`` or ``1000/1h``.

        Raises:
            ValueError: It is none of these, or out of bounds; the message continues "it ...".
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(f"must be {DESCRIPTION}")
        count, time, unit = match.groups()
        # The lengths come first: int() refuses thousands of digits with an error of its own.
        if len(count) > len(str(MAX_COUNT)) or not 1 <= int(count) <= MAX_COUNT:
            raise ValueError(f"must have a number from 1 to {MAX_COUNT} before the slash")
        if len(time) > len(str(MAX_SECONDS)) or not 1 <= int(time) * _UNITS[unit] <= MAX_SECONDS:
            raise ValueError("must have a time from 1s to 24h behind the slash")
        return cls(int(count), int(time) * _UNITS[unit])
