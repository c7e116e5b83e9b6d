"""A `Record` as a line for somebody who watches it in a terminal while writing routes."""

import time
from collections.abc import Callable

import click

from pad19.dispatch.record import Record

from .access_log import printable

_COLOURS = {1: "cyan", 2: "green", 3: "blue", 4: "yellow", 5: "red", 6: "magenta"}  # by the first digit
SLOW = 0.5  # seconds


def terminal_formatter(*, colour: bool) -> Callable[[Record], str]:
    """The function that writes lines, without their newline: time, status, duration, size, URI, reason."""

    def line(record: Record) -> str:
        status = "--" if record.status is None else str(int(record.status))
        duration = f"{record.duration * 1000:8.1f} ms"
        fields = [
            time.strftime("%H:%M:%S", time.localtime(record.started)),
            _styled(status, colour, fg=_COLOURS.get(int(record.status or 0) // 10), bold=True),
            _styled(duration, colour, fg="yellow" if record.duration >= SLOW else None),
            f"{record.bytes_sent:9,} B",
            printable(record.request) or "-",
        ]
        if record.reason:
            fields.append(_styled(f"({printable(record.reason)})", colour, dim=True))
        return "  ".join(fields)

    return line


def _styled(text: str, colour: bool, **style: object) -> str:
    return click.style(text, **style) if colour else text  # type: ignore[arg-type]  # the styles of click
