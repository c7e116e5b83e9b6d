"""Capsules with content or settings of their own, and one answer that each of them gives."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pad19.content.mimetype import MimeTypes
from pad19.content.static import StaticFiles

HELLO = b"# Hello\n"
NOON = 1_710_504_000  # seconds since 1970: 2024-03-15, 12:00 UTC

Make = Callable[[Path], object]


@dataclass(frozen=True, slots=True)
class Capsule:
    """What is in a folder, and what is answered for a path."""

    number: int
    name: str
    make: Make
    path: str
    status: int
    meta: str | None = None  # None: any
    body: bytes = b""
    lang: str | None = None
    listing: bool = False

    def __str__(self) -> str:
        return f"{self.number} {self.name}"

    def build(self, root: Path) -> StaticFiles:
        self.make(root)
        return StaticFiles(root, MimeTypes(lang=self.lang), listing=self.listing)


def _files(*names: str) -> Make:
    def make(root: Path) -> None:
        for name in names:
            file = root / name
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(HELLO)
            os.utime(file, (NOON, NOON))

    return make


def _unreadable(name: str) -> Make:
    def make(root: Path) -> None:
        _files("shut/a.gmi", "a.gmi", "index.gmi")(root)
        (root / name).chmod(0)

    return make


def _strange(root: Path) -> None:
    _files(
        "sp ace.gmi", "50%.gmi", "c:d.gmi", "café.gmi", "why?#.gmi",
        "two\nlines.gmi", "\x1b[2J.gmi", "=> fake.gmi", ".secret", ".meta",
    )(root)  # fmt: skip
    (root / "folder").mkdir()
    (root / "fold er").mkdir()
    os.mkfifo(root / "fifo")
    (root / "outside.gmi").symlink_to("/etc/hostname")


_LISTED = """\
# /

=> fold%20er/ fold er/
=> folder/ folder/
=> 50%25.gmi 50%.gmi  8 B  2024-03-15
=> %1B%5B2J.gmi \ufffd[2J.gmi  8 B  2024-03-15
=> =%3E%20fake.gmi => fake.gmi  8 B  2024-03-15
=> ./c:d.gmi c:d.gmi  8 B  2024-03-15
=> caf%C3%A9.gmi café.gmi  8 B  2024-03-15
=> sp%20ace.gmi sp ace.gmi  8 B  2024-03-15
=> two%0Alines.gmi two\ufffdlines.gmi  8 B  2024-03-15
=> why%3F%23.gmi why?#.gmi  8 B  2024-03-15
"""

CAPSULES = [
    Capsule(101, "unreadable file", _unreadable("a.gmi"), "/a.gmi", 51),
    Capsule(101, "unreadable folder", _unreadable("shut"), "/shut/a.gmi", 51),
    Capsule(101, "unreadable index", _unreadable("index.gmi"), "/", 51, listing=True),
    Capsule(106, "no index", _files("a.gmi"), "/", 51),
    Capsule(
        106, "no index, but a listing", _files("a.gmi"), "/", 20, "text/gemini",
        b"# /\n\n=> a.gmi a.gmi  8 B  2024-03-15\n", listing=True,
    ),
    Capsule(107, "strange names", _strange, "/", 20, "text/gemini", _LISTED.encode(), listing=True),
    Capsule(108, "no language", _files("a.gmi"), "/a.gmi", 20, "text/gemini", HELLO),
    Capsule(
        108, "one language", _files("a.gmi"), "/a.gmi", 20, "text/gemini; lang=en", HELLO, "en"
    ),
    Capsule(
        108, "two languages", _files("a.gmi"), "/a.gmi", 20, 'text/gemini; lang="en,fr"', HELLO,
        "en,fr",
    ),
    Capsule(
        108, "a language, but no text", _files("a.tar.gz"), "/a.tar.gz", 20, "application/gzip", HELLO,
        "en",
    ),
]  # fmt: skip
