"""Folders without an index as gemtext: what is there, and a page that shows it."""

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pad19.protocol.characters import CONTROLS, SEPARATORS
from pad19.protocol.gemtext import Gemtext
from pad19.protocol.uri import percent_encode

from .files import Absent, absences, open_beneath
from .inodes import TEMPORARY
from .versions import FOLDER

SIDECAR = ".meta"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 253_402_300_799  # seconds since 1970; a disk may hold later dates than datetime
# Also what reverses the direction of the text after it ("gpj.exe").
_MISLEADING = re.compile(rf"[{CONTROLS}{SEPARATORS}\u202a-\u202e\u2066-\u2069]")
_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder in a listing."""

    name: str
    is_folder: bool
    size: int  # bytes
    modified: datetime  # aware, UTC


def scan(root: str, relative: str, *, hidden: bool) -> list[Entry]:
    """What may be listed in a folder (``""``, ``a/``) beneath ``root``, in no order.

    Left out are names with a dot in front (unless ``hidden``), those of ours always, names that are
    not UTF-8, whatever is neither a file nor a folder, and links that are broken or lead out of
    ``root``. Blocks: call it in a worker thread.

    Raises:
        Absent: There is no such folder, or it may not be read (see `open_beneath`).
        OSError: The system is in trouble.
    """
    opened = open_beneath(root, relative.rstrip("/"), stat.S_ISDIR)
    if not opened.is_folder:
        raise Absent("swapped for a file")
    entries = []
    try:
        # What was judged, and not what is at its path by now.
        with absences(os.path.join(root, relative)), os.scandir(opened.fd) as found:
            for item in found:
                if item.name.startswith(".") and (not hidden or is_reserved(item.name)):
                    continue
                if entry := _examine(item, root, relative):
                    entries.append(entry)
    finally:
        os.close(opened.fd)
    return entries


def is_reserved(name: str) -> bool:
    """Whether a name is never served: that of a sidecar file, or of what uploads keep beside files."""
    return name in {SIDECAR, FOLDER} or name.startswith(TEMPORARY)


def _examine(item: os.DirEntry[str], root: str, relative: str) -> Entry | None:
    try:
        item.name.encode()  # undecodable bytes arrive as surrogates
        status = item.stat(follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            status = open_beneath(root, relative + item.name, _never).status
    except (UnicodeEncodeError, OSError, Absent):  # removed since, a broken link, or one that leads out
        return None
    is_folder = stat.S_ISDIR(status.st_mode)
    if not is_folder and not stat.S_ISREG(status.st_mode):
        return None
    seconds = min(max(int(status.st_mtime), 0), _LATEST)
    return Entry(item.name, is_folder, status.st_size, _EPOCH + timedelta(seconds=seconds))


def _never(_mode: int) -> bool:
    return False


def write(title_path: str, entries: Iterable[Entry], *, preamble: str | None, parent: bool) -> str:
    """The page: a heading or a preamble, then links to the folders and the files.

    Args:
        title_path: The decoded path, ending in a slash, for the heading.
        entries: In any order; they are sorted as people count: ``file2`` before ``file10``.
        preamble: Gemtext that stands first instead of the heading, unchanged but for its line ends,
            which become those of the rest, and a preformatted block left open, which is closed.
        parent: Whether there is a folder above to link to.
    """
    page = Gemtext()
    if preamble is None:
        page.heading(_legible(title_path)).text()
    if parent:
        page.link("../", "..")
    for entry in sorted(entries, key=_order):
        page.link(_reference(entry), _label(entry))
    return f"{_finish(preamble or '')}{page}"


def _order(entry: Entry) -> tuple[bool, list[str | int], str]:
    # Splitting at groups of digits gives text and numbers in turn, so like compares with like.
    parts = _DIGITS.split(entry.name.casefold())
    natural = [int(part) if odd % 2 else part for odd, part in enumerate(parts)]
    return not entry.is_folder, natural, entry.name


def _reference(entry: Entry) -> str:
    segment = percent_encode(entry.name)
    if ":" in segment:
        segment = f"./{segment}"  # else the name begins with a scheme (RFC 3986, section 4.2)
    return f"{segment}/" if entry.is_folder else segment


def _label(entry: Entry) -> str:
    name = _legible(entry.name)
    if entry.is_folder:
        return f"{name}/"
    return f"{name}  {_size(entry.size)}  {entry.modified.date().isoformat()}"


def _legible(name: str) -> str:
    return _MISLEADING.sub("\ufffd", name)


def _size(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    value = size / 1024
    for unit in ("KiB", "MiB"):
        if value < 1023.95:  # from there on it would be rounded to 1024.0
            return f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def _finish(preamble: str) -> str:
    """End the preamble so that links can follow it."""
    text = preamble.replace("\r\n", "\n")
    if text and not text.endswith("\n"):
        text += "\n"
    toggles = sum(line.startswith("```") for line in text.split("\n"))
    return f"{text}```\n" if toggles % 2 else text
