"""Where an exception came from, as the author of a module wants to know it."""

import importlib
import linecache
import sysconfig
import traceback
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path, PurePath
from types import FrameType, TracebackType

MAX_FRAMES = 2000  # of one exception: endless recursion has a thousand
CONTEXT = 2  # lines of source before a line, and after it
MAX_WIDTH = 200  # characters of a line of source

_PACKAGE = Path(__file__).parents[1]
_INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True, slots=True)
class Frame:
    """A place in the source."""

    file: str
    line: int  # counted from 1
    function: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}, in {self.function}"

    @property
    def is_own(self) -> bool:
        """Whether a capsule's author wrote it: it belongs neither to Python nor to something installed."""
        return not _is_library(self.file)

    def source(self) -> str:
        """The line with some around it, numbered, and this one marked. Empty if there is no such file."""
        linecache.checkcache(self.file)
        lines = linecache.getlines(self.file)
        if not 0 < self.line <= len(lines):
            return ""
        first, last = max(1, self.line - CONTEXT), min(len(lines), self.line + CONTEXT)
        width = len(str(last))
        return "\n".join(
            f"{'>' if number == self.line else ' '} {number:{width}}  {text.rstrip()[:MAX_WIDTH]}".rstrip()
            for number, text in enumerate(lines[first - 1 : last], first)
        )


def frames_of(error: BaseException) -> list[Frame]:
    """The place where it was raised, the one that called it, and so on: each once, and none of pad19."""
    trace = traceback.walk_tb(error.__traceback__)
    stack = traceback.StackSummary.extract(trace, limit=-MAX_FRAMES, lookup_lines=False)
    frames = [Frame(each.filename, each.lineno or 0, each.name) for each in reversed(stack)]
    frames = [frame for frame in frames if not is_hidden(frame.file)]
    if isinstance(error, SyntaxError):
        file, line = error.filename, error.lineno  # whatever it was made with
        if isinstance(file, str) and isinstance(line, int) and file and line:
            frames.insert(0, Frame(file, line, "<module>"))  # nothing in there ran
    return [*dict.fromkeys(frames)]


def stack_of(frame: FrameType, until: str | None = None) -> list[Frame]:
    """Where a thread is, who called that, and so on, as `frames_of`. ``until``: the file where that ends."""
    frames: list[Frame] = []
    for outer, line in islice(traceback.walk_stack(frame), MAX_FRAMES):
        if outer.f_code.co_filename == until:
            break
        frames.append(Frame(outer.f_code.co_filename, line, outer.f_code.co_name))
    return [frame for frame in frames if not is_hidden(frame.file)]


def format_whole(error: BaseException) -> str:
    """The traceback as Python shows it, from where a module begins."""
    trace = error.__traceback__
    while trace is not None and is_hidden(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return format_error(error, trace)


def format_error(error: BaseException, trace: TracebackType | None) -> str:
    """As Python shows it; less of it where that fails, as with a SyntaxError made of wrong types."""
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except Exception:
        return f"{''.join(traceback.format_tb(trace))}{summary_of(error)}\n"


def summary_of(error: BaseException) -> str:
    """Its type and message, as Python shows them, maybe with notes in further lines. Never fails."""
    try:
        if isinstance(error, SyntaxError):
            return f"{type(error).__name__}: {error.msg}"  # the rest of it are a frame and its source
        return "".join(traceback.format_exception_only(error)).rstrip("\n")
    except Exception:
        return f"{type(error).__name__}, whose message cannot be shown"


@cache
def is_hidden(file: str) -> bool:
    """Whether it is pad19's, or stands between an import and what is imported: that tells nobody anything."""
    return (
        file.startswith("<frozen importlib")
        or file == importlib.__file__
        or PurePath(file).is_relative_to(_PACKAGE)
    )


@cache
def _is_library(file: str) -> bool:
    path = PurePath(file)
    return (
        file.startswith("<")  # made by exec(), as dataclasses do
        or not _INSTALLED.isdisjoint(path.parts)
        or path.is_relative_to(sysconfig.get_path("stdlib"))
    )
