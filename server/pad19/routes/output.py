"""What routes print and log goes to the log, under their names.

A call notes who is `Running` in a context variable, which the threads and tasks that a route starts
inherit. `RouteOutput` takes the place of standard output, which belongs to the access log, and
`RouteNames` sees to what is logged. Neither ever raises: no route fails because it prints. What programs
print that a route starts goes to standard error as it is.

Python only warns of a forgotten ``await``, while visitors get an answer as if all were well:
`log_missing_awaits` says what is missing, and where.
"""

import inspect
import io
import logging
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from itertools import islice
from types import FrameType, MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TextIO

from pad19.protocol.request import Request

from .frames import is_hidden
from .naming import is_private, plain
from .signature import name_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LOGGER = logging.getLogger("pad19.routes")

STANDARD_OUTPUT = 1  # the descriptor
MAX_LINE = 2000  # characters of a line that are logged
_DEPTH = 20  # frames, at most, from print() to a module of a routes folder
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Speaker:
    """A route, or a module, by the name that the log has for it: ``guestbook.sign``."""

    __slots__ = ("logger", "name")

    def __init__(self, name: str, module: str) -> None:
        self.name = name
        self.logger = logging.getLogger(f"pad19.routes.{module}")

    @classmethod
    def of(cls, function: Callable[..., object]) -> Self:
        """The one for a route's function."""
        inner: Any = inspect.unwrap(function)
        inner = getattr(inner, "func", inner)  # of a functools.partial
        return cls(plain(name_of(function)).partition(" (line")[0], plain(str(inner.__module__)))


class Running:
    """Who prints, and a line that has not ended yet; for a call also what it is about."""

    __slots__ = ("captures", "pending", "request", "speaker")

    def __init__(
        self, speaker: Speaker, request: Request | None = None, captures: Mapping[str, Any] = _NOTHING
    ) -> None:
        self.speaker = speaker
        self.request = request
        self.captures = captures
        self.pending = ""

    def end_line(self) -> None:
        """Log what was printed without a newline behind it."""
        line, self.pending = self.pending, ""
        _tell(self.speaker, line)


RUNNING: ContextVar[Running | None] = ContextVar("pad19_running", default=None)


class RouteOutput(io.TextIOBase):
    """Stands for ``sys.stdout``: a line that is printed is a line of the log, at the level INFO.

    Outside of calls it goes by the name of the module that prints. Lines without text are dropped.
    """

    encoding = "utf-8"
    errors: str | None = "replace"
    name = "<stdout>"

    def __init__(self) -> None:
        super().__init__()
        self.buffer = _Bytes(self)
        self._modules: dict[str, Running] = {}
        self._lock = threading.RLock()  # a signal handler may print as well

    def writable(self) -> bool:
        """Yes."""
        return True

    def fileno(self) -> int:
        """For programs: in a worker with routes, it leads to standard error."""
        return STANDARD_OUTPUT

    def reconfigure(self, **_options: object) -> None:
        """Do nothing: text is text here."""

    def write(self, text: str) -> int:
        """Take some text, and log the lines that end in it."""
        running = RUNNING.get() or self._module()
        with self._lock:  # threads of one call share its line
            *lines, rest = f"{running.pending}{text}".split("\n")
            running.pending = rest[: MAX_LINE + 1]
        for line in lines:  # without the lock: handlers have their own, and may print
            _tell(running.speaker, line)
        return len(text)

    def flush(self) -> None:
        """Log what is there of a line; outside of calls, whoever's it is."""
        running = RUNNING.get()
        for each in [running] if running else [*self._modules.values()]:
            each.end_line()

    def close(self) -> None:
        """Do nothing: others will print."""

    def _module(self) -> Running:
        name = _printing(sys._getframe())
        return self._modules.setdefault(name, Running(Speaker(name, name)))


class _Bytes(io.BufferedIOBase):
    """Takes bytes for a `RouteOutput`, as text in UTF-8."""

    def __init__(self, output: RouteOutput) -> None:
        super().__init__()
        self._output = output

    def writable(self) -> bool:
        """Yes."""
        return True

    def fileno(self) -> int:
        """The same."""
        return self._output.fileno()

    def write(self, data: "ReadableBuffer") -> int:
        """Take some bytes."""
        taken = bytes(data)
        self._output.write(taken.decode("utf-8", "replace"))
        return len(taken)

    def flush(self) -> None:
        """Log what is there of a line."""
        self._output.flush()

    def close(self) -> None:
        """Do nothing: others will print."""


def _printing(frame: FrameType) -> str:
    """The module of a routes folder that prints, or has a library print for it; else that library."""
    stack = (outer for outer, _ in traceback.walk_stack(frame) if outer.f_globals is not globals())
    names = [str(outer.f_globals.get("__name__")) for outer in islice(stack, _DEPTH)]
    return plain(next(filter(is_private, names), names[0]))


class RouteNames(logging.Filter):
    """For a handler of the log: puts a route's name before what it, or a library for it, logs.

    What a module of a routes folder logs outside of calls gets the module's name. Records of pad19
    itself are left alone.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets everything pass."""
        if record.name.partition(".")[0] == "pad19" or hasattr(record, "route"):
            return True
        running = RUNNING.get()
        if running is not None:
            name = running.speaker.name
        elif is_private(record.name):
            name = plain(record.name)
        else:
            return True
        with suppress(Exception):  # a message whose str() fails is the business of the handler
            prefix = name.replace("%", "%%") if record.args else name
            record.msg = f"{prefix}: {record.msg}"
            record.route = name  # other handlers may have this filter too
        return True


_NEVER_AWAITED = re.compile(r"coroutine '(.+)' was never awaited")


def log_missing_awaits() -> None:
    """Log each call of an ``async def`` function without ``await``; other warnings are shown as before."""
    warnings.filterwarnings("always", _NEVER_AWAITED.pattern, RuntimeWarning)
    shown_before = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        found = _NEVER_AWAITED.fullmatch(str(message))
        if found is None:
            shown_before(message, category, filename, lineno, file, line)
            return
        running = RUNNING.get()
        # Python tells where it noticed. What was kept in a variable, it notices when the function has ended.
        place = "" if is_hidden(filename) else f" at {plain(filename)}, line {lineno}"
        LOGGER.warning(
            "%s: await is missing%s: %s() was called, but has done nothing",
            running.speaker.name if running else "routes",
            place,
            plain(found[1]),
        )

    warnings.showwarning = show


_telling = threading.local()


def _tell(speaker: Speaker, line: str) -> None:
    line = line.rstrip()
    if not line:
        return
    if len(line) > MAX_LINE:
        line = f"{line[:MAX_LINE]}…"
    line = plain(line)
    with suppress(Exception):
        if getattr(_telling, "is_active", False):
            # Somebody's log handler writes to sys.stdout, which logs, and so on without end.
            sys.stderr.write(f"{speaker.name}: {line}\n")
            return
        _telling.is_active = True
        try:
            speaker.logger.info("%s: %s", speaker.name, line)
        finally:
            _telling.is_active = False
