"""The files of a capsule, on disk: which of them nobody can ask for, and mistakes in ``.meta`` files."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from pad19.content import sidecar
from pad19.content.files import WELL_KNOWN, Absent, Unreadable, open_file
from pad19.content.listing import SIDECAR
from pad19.protocol.request import MAX_URI
from pad19.protocol.uri import percent_encode
from pad19.service.config.capsule import Capsule


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One line of the report."""

    path: str  # absolute
    line: int  # from 1; 0: the file as a whole
    text: str  # a sentence without a full stop
    is_note: bool = False  # maybe just so


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that may be served."""

    path: str  # absolute
    relative: str  # below the content folder


def walk(capsule: Capsule, host: str, entries: list[Entry]) -> Iterator[Finding]:
    """Go through a capsule's folder; what may be served under ``host`` is added to ``entries``. Blocks."""
    root = str(capsule.content)
    real_root = os.path.realpath(root)
    longest = MAX_URI - len(f"gemini://{host}/")
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        folder = os.path.join(root, prefix).rstrip("/")
        try:
            with os.scandir(folder) as found:
                items = [*found]
        except OSError as error:
            yield Finding(
                folder, 0, f"the folder cannot be read ({error.strerror}), so nobody gets what is in it"
            )
            continue
        for item in items:
            relative = prefix + item.name
            if item.name == SIDECAR:
                yield from _check_sidecar(root, relative)
                continue
            if item.name.startswith(".") and not capsule.hidden and relative != WELL_KNOWN:
                continue
            if problem := _name_problem(relative, item, longest) or _kind_problem(item, real_root):
                yield Finding(item.path, 0, problem)
            elif not item.is_dir():
                entries.append(Entry(item.path, relative))
            elif not item.is_symlink():  # where a link leads, it is found under its own name
                waiting.append(f"{relative}/")


def _name_problem(relative: str, item: os.DirEntry[str], longest: int) -> str | None:
    try:
        item.name.encode()
    except UnicodeEncodeError:
        return "the name is not UTF-8, so nobody can ask for it: rename it"
    if not item.name.isprintable():
        return "the name holds a character that nobody can see: rename it"
    if len(raw_path(relative)) - 1 > longest:
        return f"the name makes a URI of more than {MAX_URI} bytes, so nobody can ask for it: shorten it"
    return None


def _kind_problem(item: os.DirEntry[str], real_root: str) -> str | None:
    try:
        mode = item.stat().st_mode
    except FileNotFoundError:
        return "the link leads to nothing"
    except OSError as error:
        return f"it cannot be looked at ({error.strerror})"
    if item.is_symlink() and os.path.commonpath([real_root, os.path.realpath(item.path)]) != real_root:
        return "the link leads out of the content folder, so nobody gets it"
    if stat.S_ISDIR(mode):
        return None
    if not stat.S_ISREG(mode):
        return "it is neither a file nor a folder, so nobody gets it"
    if not os.access(item.path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        return "the file cannot be read by this user, so nobody gets it"
    return None


def _check_sidecar(root: str, relative: str) -> Iterator[Finding]:
    path = os.path.join(root, relative)
    try:
        content = open_file(root, relative).read(sidecar.MAX_TEXT + 1)
    except Unreadable:
        yield Finding(path, 0, "the file cannot be read by this user, so its folder is answered with 40")
        return
    except Absent as error:
        yield Finding(path, 0, f"it is ignored: {error}")
        return
    try:
        content.decode()
    except UnicodeDecodeError as error:
        yield Finding(path, content.count(b"\n", 0, error.start) + 1, "the text is not UTF-8")
    for problem in sidecar.parse(content.decode("utf-8", "replace"))[1]:
        place, _, text = problem.partition(": ")
        yield Finding(path, int(place.removeprefix("line ")), text)


def raw_path(relative: str) -> str:
    """The path of a URI for a file below the content folder."""
    return "/" + "/".join(map(percent_encode, relative.split("/")))
