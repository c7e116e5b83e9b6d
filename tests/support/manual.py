"""The manual, which is the content of the example capsule, as its tests look at it."""

import functools
from pathlib import Path

from pad19.protocol import gemtext
from pad19.protocol.gemtext import Heading, Line, Preformatted

ROOT = Path(__file__).parents[2]
CAPSULE = ROOT / "capsule"
CONTENT = CAPSULE / "content"
# The pages of the wiki are no part of it: anybody may write them who is let in.
PAGES = sorted(
    page.relative_to(CONTENT).as_posix()
    for page in CONTENT.rglob("*.gmi")
    if CONTENT / "wiki" not in page.parents
)


def text_of(page: str) -> str:
    return (CONTENT / page).read_text("utf-8")


@functools.cache
def lines_of(page: str) -> list[Line]:
    return gemtext.parse(text_of(page))


def preformatted(page: str) -> list[tuple[str, str]]:
    """The preformatted blocks: what each is called, and its text."""
    return [(line.alt, line.text) for line in lines_of(page) if isinstance(line, Preformatted)]


def named_blocks(page: str) -> list[tuple[str, str]]:
    """The same, with names up to a colon and more words."""
    return [(name.partition(":")[0], text) for name, text in preformatted(page)]


def shell_steps(page: str) -> dict[str, str]:
    """The commands of a page, by their description."""
    start = "shell: "
    return {name.removeprefix(start): text for name, text in preformatted(page) if name.startswith(start)}


def blocks(page: str, name: str) -> list[str]:
    """The preformatted blocks of that name."""
    return [text for found, text in named_blocks(page) if found == name]


def sections(page: str) -> dict[str, str]:
    """Heading to all that stands below it until the next one, as text."""
    found: dict[str, str] = {}
    heading = ""
    for line in lines_of(page):
        if isinstance(line, Heading):
            heading = line.text
            found[heading] = ""
        else:
            found[heading] += f"{line}\n"
    return found
