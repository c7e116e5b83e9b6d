"""Paths of zones, and what a path may mean to whoever answers behind one."""

import re
import unicodedata

from pad19.protocol.uri import InvalidURI, percent_decode

# What disks that ignore case ignore besides (Unicode's Default_Ignorable_Code_Point).
_IGNORABLE = re.compile(
    "[\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

Segments = tuple[str, ...]


def parse_path(text: str) -> Segments:
    """Read the path of a zone, ``/members/`` or ``/members``, which are the same.

    It may be percent-encoded or not.

    Raises:
        ValueError: It is none; the message continues "it ...".
    """
    if not text.startswith("/"):
        raise ValueError("must begin with a slash")
    if not text.isprintable():
        raise ValueError("must have no control characters")
    if "?" in text or "#" in text:
        raise ValueError("must be a path alone, without ? and #")
    if "*" in text or "{" in text:  # they would mean themselves, so that nothing were guarded
        raise ValueError("must have no * and no {, since a zone is all that is below its path")
    try:
        segments = tuple(percent_decode(part) for part in text.strip("/").split("/")) if text != "/" else ()
    except InvalidURI as error:
        raise ValueError(f"must be a path, but it has {error}") from None
    if text.startswith("//") or text.endswith("//") or "" in segments:
        raise ValueError("must have no empty segment, as in //")
    if {".", ".."} & {*segments}:
        raise ValueError("must have no segment . or ..")
    if any("/" in segment or "\0" in segment for segment in segments):
        raise ValueError("must have no encoded slash and no NUL in a segment")
    return segments


def resolve(segments: Segments) -> Segments:
    """As a program would read it that decodes before it cuts, and then opens the path."""
    kept: list[str] = []
    for name in "/".join(segments).split("/"):
        if name == "..":
            del kept[-1:]
        elif name not in {"", "."}:
            kept.append(name)
    return tuple(kept)


def folded(segments: Segments) -> Segments:
    """As a disk would read it that takes several names for one."""
    return tuple(map(fold, segments))


def fold(name: str) -> str:
    """The same text for all names that some disk takes for one."""
    if not name.isascii():
        name = unicodedata.normalize("NFKD", _IGNORABLE.sub("", name)).casefold()
        name = unicodedata.normalize("NFKD", name)
    return name.lower().rstrip(". ")  # FAT drops dots and spaces at the end
