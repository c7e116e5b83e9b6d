"""A module that cannot be mounted, and what to tell about it."""

import inspect
import re
import reprlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pad19
from pad19.protocol.request import Request
from pad19.protocol.response import Reply
from pad19.routes.frames import Frame, format_whole, frames_of, summary_of
from pad19.routes.interface import RouteError
from pad19.routes.mistakes import mend_of
from pad19.routes.naming import is_private, plain
from pad19.routes.table import Routes

MAX_PART = 500  # characters of a message

Answer = Callable[[Request], Reply]


@dataclass(frozen=True, slots=True)
class BrokenModule:
    """It did not import, or has no routes that can be used. As text: one sentence for the log."""

    prefix: str  # of the paths that it would answer: "/guestbook", or "" for all
    file: Path | None  # in the folder of routes
    mount: str | None  # else: what stands in the configuration
    error: BaseException

    def __str__(self) -> str:
        frame = self._nearest()
        place = str(self.file) if frame is None else f"{frame.file}, line {frame.line}"
        if isinstance(self.error, SyntaxError) and self.error.offset:
            place += f", column {self.error.offset}"
        parts = (self.mount, None if frame is None and self.mount else place, self.summary, self.hint)
        return ": ".join(plain(" ".join(part[:MAX_PART].split())) for part in parts if part)

    @property
    def summary(self) -> str:
        """What ails it."""
        error = self.error
        if isinstance(error, RouteError):
            return plain(str(error))
        if isinstance(error, SystemExit):
            code = "" if error.code is None else reprlib.repr(error.code)
            return f"it ends the program, with sys.exit({code})"
        return "\n".join(map(plain, summary_of(error).split("\n")))

    @property
    def hint(self) -> str | None:
        """What to do about it, where that is known."""
        if isinstance(self.error, SystemExit):
            return "let it only declare what there is"
        if isinstance(self.error, SyntaxError) and _ENCODED.search(self.summary):
            return "save the file as UTF-8"
        if found := _CALLED.search(self.summary):
            return f"write @routes.{found[1]} without parentheses"
        if _UNMADE.search(self.summary):
            return "write routes = Routes(), with parentheses"
        if meant := _meant(self.summary):
            return f"write {meant}"
        name = self.error.name if isinstance(self.error, ModuleNotFoundError) else None
        if not name or not isinstance(name, str):
            return mend_of(self.error)
        folder = self.file.parent if self.file else None
        if is_private(name):
            return f"there is no {plain(name).replace('.', '/')}.py"
        if folder and (folder / f"{name}.py").exists():
            return f"write it as from . import {name}"
        # A part of something installed is missing for another reason.
        return None if "." in name else f"install it, mostly that is {sys.executable} -m pip install {name}"

    @property
    def traceback(self) -> str:
        """As Python shows it, for a terminal."""
        return format_whole(self.error)

    def _nearest(self) -> Frame | None:
        """The place nearest to the mistake: one of the author's own, or for something installed any."""
        frames = frames_of(self.error)
        any_place = frames[0] if frames and self.mount else None
        return next((frame for frame in frames if frame.is_own), any_place)


def routes_instead(answer: Answer) -> Routes:
    """Routes for its place, also for uploads: what its own would take must not replace files."""
    routes = Routes()

    @routes.gemini("/{rest:path}")
    @routes.titan("/{rest:path}", max_size=sys.maxsize)
    @routes.titan("/{rest:path}", edit=True)
    async def instead(request: Request, rest: str) -> Reply:
        return answer(request)

    return routes


_CALLED = re.compile(r"Routes\.(around|lifespan|background)\(\) missing 1 required positional argument")
_UNMADE = re.compile(r"Routes\.(gemini|titan)\(\) missing 1 required positional argument: 'pattern'")
_ENCODED = re.compile("'utf-?8' codec can't decode|Non-UTF-8 code", re.IGNORECASE)
_MISSPELT = re.compile(
    r"cannot import name '(?P<name>\w+)' from 'pad19'"
    r"|Routes\.(?P<method>\w+)\(\) got an unexpected keyword argument '(?P<argument>\w+)'"
    r"|'Routes' (?:object )?has no attribute '(?P<attribute>\w+)'"
)
_ELSEWHERE = {  # what it is called there, and here
    **dict.fromkeys(("add", "add_route", "add_url_rule", "get", "page", "route", "view"), "gemini"),
    **dict.fromkeys(("delete", "post", "put", "upload"), "titan"),
    **dict.fromkeys(("after_request", "before_request", "middleware"), "around"),
    **dict.fromkeys(("on_event", "on_shutdown", "on_startup"), "lifespan"),
    **dict.fromkeys(("include_router", "mount", "register_blueprint"), "include"),
}


def _meant(summary: str) -> str | None:
    """What is nearly called like something that pad19 has. Newer Pythons say some of it themselves."""
    found = _MISSPELT.search(summary)
    if found is None or "Did you mean" in summary:
        return None
    from difflib import get_close_matches  # few need it

    wrong = found[found.lastgroup or 0]
    if found["attribute"]:
        if wrong in _ELSEWHERE:
            return _ELSEWHERE[wrong]
        known = dir(Routes())
    elif found["name"]:
        known = pad19.__all__
    else:
        known = [*inspect.signature(getattr(Routes, found["method"])).parameters]
    return next(iter(get_close_matches(wrong, known, 1)), None)
