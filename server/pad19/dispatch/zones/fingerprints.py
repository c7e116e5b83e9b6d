"""Fingerprints as people write them, and files of them.

A file has one on each line, and behind it the name of a person, who may have several lines:
``sha256:… Ada``. Blank lines are skipped, and so is everything from a ``#`` on.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

DESCRIPTION = "a fingerprint, sha256: and 64 hex digits"
MAX_NAME = 63  # characters: one less than a fingerprint has hex digits
NAME_FORM = r"[^\s:#\x00-\x1f\x7f-\x9f](?:[^:#\x00-\x1f\x7f-\x9f]{0,61}[^\s:#\x00-\x1f\x7f-\x9f])?"
_PREFIX = "sha256:"
_DIGITS = re.compile(r"[0-9a-f]{64}|[0-9a-f]{2}(?::[0-9a-f]{2}){31}")
_NAME = re.compile(NAME_FORM)


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a file."""

    fingerprint: str  # "sha256:" and 64 lower-case hex digits
    name: str  # may be empty

    def __str__(self) -> str:
        return f"{self.fingerprint} {self.name}".rstrip()


def normalize(text: str) -> str:
    """``"sha256:"`` and 64 lower-case hex digits, as `Identity` has them.

    Clients and tools leave out the prefix, write capitals, or put colons between the bytes.

    Raises:
        ValueError: It is none; the message continues "it ...".
    """
    digits = text.lower().removeprefix(_PREFIX)
    if not _DIGITS.fullmatch(digits):
        raise ValueError(f"must be {DESCRIPTION}")
    return _PREFIX + digits.replace(":", "")


def is_name(text: str) -> bool:
    """Whether a person can be called so in a file."""
    return _NAME.fullmatch(text) is not None


def parse_line(line: str) -> Entry | None:
    """What a line says; None: nothing.

    Raises:
        ValueError: It says something else; the message continues "it ...".
    """
    fingerprint, *name = line.partition("#")[0].split(maxsplit=1) or [""]
    if not fingerprint:
        return None
    entry = Entry(normalize(fingerprint), "".join(name).rstrip())
    if entry.name and not is_name(entry.name):
        raise ValueError(f"must have a name of at most {MAX_NAME} characters, without colons")
    return entry


def parse_lines(data: bytes) -> Iterator[tuple[int, Entry | str]]:
    """The lines that say something, counted from 1: an entry each, or what is wrong with it.

    Each line stands for itself: one that is not even UTF-8 spoils no other.
    """
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            entry = parse_line(line.decode())
        except UnicodeDecodeError:
            yield number, "is not UTF-8"
        except ValueError as error:
            yield number, str(error)
        else:
            if entry:
                yield number, entry
