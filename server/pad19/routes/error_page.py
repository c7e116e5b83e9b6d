"""What went wrong in a capsule's code, as a page: for its author, while it is being written.

Values of variables are not shown: there may be secrets among them.
"""

import reprlib
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pad19.protocol.gemtext import Gemtext
from pad19.protocol.request import Request
from pad19.protocol.response import Reply
from pad19.protocol.status import Status

from .frames import Frame, frames_of, summary_of
from .loading.broken import Answer, BrokenModule
from .naming import plain
from .output import RUNNING

NOTE = "error page"  # for the log, where a status of 20 looks as if all were well
MAX_ERRORS = 8
MAX_OWN = 8  # places in the author's files, of one exception
MAX_FOREIGN = 12  # places in libraries
MAX_TEXT = 2000  # characters of a message


def answer(request: Request, error: BaseException, error_id: str) -> Reply:
    """The page of an exception that a route raised; to be the ``on_error`` of `Mounted`.

    Who uploads would take a page for success, so there it is a line.
    """
    if request.upload is not None:
        return Reply(Status.CGI_ERROR, f"error {error_id}: {_line_of(error)}")
    page = Gemtext()
    for number, (relation, inner, frames) in enumerate(_related(error)):
        _show_error(page, _text(f"{relation}{summary_of(inner)}"), level=2 if number else 1)
        _show_frames(page, frames)
    _show_request(page, request)
    return _reply(page.text().text(f"The log has it as error {error_id}."))


def _page_of(module: BrokenModule) -> Reply:
    """Why a module cannot be mounted."""
    page = Gemtext()
    for number, (relation, inner, frames) in enumerate(_related(module.error)):
        summary = f"{relation}{summary_of(inner)}" if number else module.summary
        _show_error(page, _text(summary), level=2 if number else 1)
        if not number:
            page.text(plain(f"This is why {module.mount or module.file} cannot be mounted."))
            if module.hint:
                page.text(plain(f"To mend it: {module.hint}."))
        _show_frames(page, frames)
    return _reply(page)


def answer_of(module: BrokenModule) -> Answer:
    """What is answered in the place of a module that cannot be mounted: the reason, see `answer`."""
    page = _page_of(module)
    line = Reply(Status.CGI_ERROR, _line_of(module.error))
    return lambda request: page if request.upload is None else line


def _line_of(error: BaseException) -> str:
    _, inner, frames = next(_related(error))
    places = [_place(frame) for frame in frames if frame.is_own]
    return ", ".join([plain(summary_of(inner).partition("\n")[0]), *places[:1]])


def _related(error: BaseException) -> Iterator[tuple[str, BaseException, list[Frame]]]:
    """The exception, those in it and before it: how they are related to it, and where they are from.

    A group of one, as nurseries make them, only adds to the places of that one.
    """
    waiting = deque([("", error)])
    seen: set[int] = set()
    while waiting and len(seen) < MAX_ERRORS:
        relation, error = waiting.popleft()
        frames = frames_of(error)
        errors = [error]
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
            frames = frames_of(error) + frames
            errors.append(error)
        if id(error) in seen:
            continue
        seen.add(id(error))
        yield relation, error, frames
        if isinstance(error, BaseExceptionGroup):
            count = len(error.exceptions)
            waiting.extend((f"{i} of {count}: ", each) for i, each in enumerate(error.exceptions, 1))
        for each in errors:
            if each.__cause__ is not None:
                waiting.append(("Caused by ", each.__cause__))
            elif each.__context__ is not None and not each.__suppress_context__:
                waiting.append(("While there was ", each.__context__))


def _show_error(page: Gemtext, summary: str, level: int) -> None:
    first, _, rest = summary.partition("\n")
    if level > 1:
        page.text()
    page.heading(first, level)
    if rest:
        page.preformatted(rest, "the rest of the message")


def _show_frames(page: Gemtext, frames: list[Frame]) -> None:
    """The author's own places first, the nearest to the mistake before those that lead to it."""
    own = [frame for frame in frames if frame.is_own]
    foreign = [frame for frame in frames if not frame.is_own]
    for frame in own[:MAX_OWN]:
        page.text().text(_place(frame))
        if source := frame.source():
            page.preformatted(_text(source), f"lines around line {frame.line}")
    _show_rest(page, len(own) - MAX_OWN)
    if foreign:
        page.text().text("In libraries:" if own else "In libraries alone:")
    for frame in foreign[:MAX_FOREIGN]:
        page.item(_place(frame))
    _show_rest(page, len(foreign) - MAX_FOREIGN)


def _show_rest(page: Gemtext, count: int) -> None:
    if count > 0:
        page.text(f"And {count} more.")


def _show_request(page: Gemtext, request: Request) -> None:
    page.text().heading("The request", 2)
    running = RUNNING.get()
    if running is not None and running.request is request:  # else no route was called yet
        page.item(f"route: {running.speaker.name}")
    else:
        running = None
    page.item(f"path: {plain(request.path)}")
    page.item("no query" if request.query is None else f"query: {_text(plain(request.query))}")
    for name, value in running.captures.items() if running else ():
        page.item(f"{name}: {plain(reprlib.repr(value))}")


def _place(frame: Frame) -> str:
    """With a path from the working directory, if it is below that: screens can be narrow."""
    path = Path(frame.file)
    with suppress(OSError, ValueError):
        path = path.relative_to(Path.cwd())
    return plain(str(replace(frame, file=str(path))))


def _text(text: str) -> str:
    """Printable lines, not too many."""
    return "\n".join(map(plain, text[:MAX_TEXT].split("\n")))


def _reply(page: Gemtext) -> Reply:
    return Reply(Status.SUCCESS, "text/gemini", str(page).encode(), NOTE)
