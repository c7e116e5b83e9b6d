"""A `Record` as a line for somebody who watches it in a terminal while writing routes."""

import time
from collections.abc import Callable

from pad19.dispatch.record import Record

from .access_log import printable

# Parameters of SGR (ECMA-48, section 8.3.117). Not click's: it costs 6 ms at each start of a worker.
_BOLD, _DIM, _SLOW, _PLAIN = "1", "2", "33", "39"
_COLOURS = {1: "36", 2: "32", 3: "34", 4: "33", 5: "31", 6: "35"}  # of statuses, by their first digit
SLOW = 0.5  # seconds


def terminal_formatter(*, colour: bool) -> Callable[[Record], str]:
    """The function that writes lines, without their newline: time, status, duration, size, URI, reason."""

    def styled(text: str, *parameters: str) -> str:
        return f"\x1b[{';'.join(parameters)}m{text}\x1b[0m" if colour and parameters else text

    def line(record: Record) -> str:
        status = "--" if record.status is None else str(int(record.status))
        duration = f"{record.duration * 1000:8.1f} ms"
        fields = [
            time.strftime("%H:%M:%S", time.localtime(record.started)),
            styled(status, _BOLD, _COLOURS.get((record.status or 0) // 10, _PLAIN)),
            styled(duration, _SLOW) if record.duration >= SLOW else duration,
            f"{record.bytes_sent:9,} B",
            printable(record.request) or "-",
        ]
        if record.reason:
            fields.append(styled(f"({printable(record.reason)})", _DIM))
        return "  ".join(fields)

    return line
