"""Standard error: what an operator should know, in the form that its reader understands."""

import logging
import sys
from contextlib import suppress

from . import systemd


class _Formatter(logging.Formatter):
    """For the journal: it knows the program's name, and sorts lines by priority."""

    def format(self, record: logging.LogRecord) -> str:
        return systemd.prioritized(super().format(record), record.levelno)


def set_up() -> None:
    """Send what is logged to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter() if _in_journal() else logging.Formatter("pad19: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells of each change that it sees


def say(line: str) -> None:
    """A line without anything in front, on a terminal."""
    _write(line, logging.INFO)


def complain(problem: str) -> None:
    """An error that ends the program."""
    _write(problem if _in_journal() else f"pad19: {problem}", logging.ERROR)


def _write(line: str, level: int) -> None:
    text = systemd.prioritized(line, level) if _in_journal() else line
    with suppress(OSError):  # nobody reads it: that is no reason not to serve
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _in_journal() -> bool:
    return systemd.is_journal(2)
