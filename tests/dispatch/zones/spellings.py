"""Paths that may lead to a file or a program, in all the ways of writing them."""

import random
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

from pad19.protocol.failure import NotFound
from pad19.protocol.request import Request
from pad19.protocol.response import Response, Success
from pad19.routes.cgi.scripts import INDEX, SUFFIXES

TREE = [
    "index.gmi", "a.gmi", "members/index.gmi", "members/a.gmi", "members/open/index.gmi",
    "members/open/a.gmi", "members/x/y/a.gmi", "café/a.gmi", "Straße/é.gmi", "notes/index.gmi",
    "notes/diary.gmi", "two words/a.gmi", "members.gmi", "index.gmi.gmi",
]  # fmt: skip
GUARDED = [
    "/members/",
    "/members/open/",
    "/café/",
    "/Straße",
    "/notes/index.gmi",
    "/notes/diary.gmi",
    "/two words",
]


class Disk:
    """A program that opens whatever a path can be taken for: it decodes, resolves and ignores case."""

    def __init__(self) -> None:
        self._files = {self._fold(name): name for name in TREE}

    @staticmethod
    def _fold(name: str) -> str:
        return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())

    async def __call__(self, request: Request) -> Response:
        kept: list[str] = []
        for name in request.path.split("/"):
            if name == "..":
                kept = kept[:-1]
            elif name not in {"", "."}:
                kept.append(name)
        for name in ("/".join(kept), "/".join([*kept, "index.gmi"])):
            if found := self._files.get(self._fold(name)):
                return Success(found.encode())
        raise NotFound


def guards(name: str) -> str | None:
    """The zone of a file, told by its own name."""
    return max(
        (path for path in GUARDED if f"/{name}/".startswith(f"{path.rstrip('/')}/")), key=len, default=None
    )


def spell(name: str, dice: random.Random) -> str:
    """A path that may lead to a file."""
    if name.endswith("/index.gmi") and dice.random() < 0.5:
        name = name.removesuffix("index.gmi")
    parts = []
    for segment in name.split("/"):
        if dice.random() < 0.2:
            segment = dice.choice([str.upper, str.title, str.casefold, str.swapcase])(segment)
        if dice.random() < 0.2:
            segment = unicodedata.normalize(dice.choice(["NFC", "NFD"]), segment)
        text = "".join(
            "".join(f"%{byte:{dice.choice('xX')}}" if byte > 15 else f"%0{byte:x}" for byte in char.encode())
            if dice.random() < 0.2
            else quote(char)
            for char in segment
        )
        before = dice.choices(["", "./", "%2e/", "/", "x/../", "members/%2E%2e/"], [10, 1, 1, 1, 1, 1])[0]
        parts.append(before + text)
    path = "/"
    for part in parts:
        path += part + dice.choices(["/", "%2F", "%2f", "//"], [10, 1, 1, 1])[0]
    return path if name.endswith("/") else path[: path.rindex(parts[-1]) + len(parts[-1])]


PROGRAMS = [
    "admin.py", "plain", "index.py", "tool/index.cgi", "tool/other.sh", "tool/deep/x.pl", "wiki/index.sh",
    "wiki/a.b.py",
]  # fmt: skip


def names_of(program: str) -> Iterator[str]:
    """The paths by which an owner may call it."""
    yield f"/cgi-bin/{program}"
    folder, _, name = f"/cgi-bin/{program}".rpartition("/")
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            yield f"{folder}/{name.removesuffix(suffix)}"


def spell_call(program: str, dice: random.Random) -> str:
    """A path that may lead to a program."""
    *folders, name = program.split("/")
    if name in INDEX and dice.random() < 0.6:
        parts = [*folders, *dice.choice([[""], [], ["none"], ["none", "x"]])]
    else:
        stems = [name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)]
        parts = [*folders, dice.choice([name, *stems])]
    parts += dice.choice([[], [], [""], ["x"], ["x", "y"], ["", "x"], ["..%2F..%2F..%2Fx"], ["..%2fx", ""]])
    return "/".join(["", "cgi-bin", *parts])
