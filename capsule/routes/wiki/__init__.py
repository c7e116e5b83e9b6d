"""A wiki reader: pages in the markup that wikis use, shown as gemtext.

A folder with an __init__.py is a route like a file is. This one answers below /wiki, and has the
folder pages/ beside its code.
"""

import re
from pathlib import Path
from urllib.parse import quote

from pad19 import Gemtext, NotFound, Request, Routes

PAGES = Path(__file__).with_name("pages")
LINK = re.compile(r"\[\[([^\[\]|]+)(?:\|([^\[\]|]+))?\]\]")  # [[Name]] and [[Name|what is shown]]
HEADING = re.compile(r"(={2,6}) *(.+?) *\1")  # == Heading ==, === Heading below ===

routes = Routes()


def pages() -> dict[str, Path]:
    """The name of each page, and its file."""
    return {file.stem: file for file in sorted(PAGES.glob("*.wiki"))}


@routes.gemini("/")
def contents(request: Request) -> Gemtext:
    """All pages."""
    page = Gemtext().heading("Wiki")
    for name in pages():
        page.link(quote(name, safe=""), name)
    return page.text().link("../examples.gmi", "All examples")


@routes.gemini("/{name}")
def read(request: Request, name: str) -> Gemtext:
    """One page."""
    known = pages()
    # The name is looked up and never becomes part of a path, so "../../secret" is no page.
    if name not in known:
        raise NotFound("there is no such page")
    text = known[name].read_text("utf-8", "replace")
    page = Gemtext().heading(name).text()
    for line in text.splitlines():
        add(page, line, known)
    return page.text().link("./", "All pages")


def add(page: Gemtext, line: str, known: dict[str, Path]) -> None:
    """Add a line of a wiki page. Gemtext has no links within text, so they follow it."""
    shown = LINK.sub(lambda link: link[2] or link[1], line)
    shown = shown.replace("'''", "").replace("''", "")  # bold and italics
    if heading := HEADING.fullmatch(shown.strip()):
        page.heading(heading[2], min(len(heading[1]), 3))
    elif shown.startswith("* "):
        page.item(shown[2:])
    else:
        page.text(shown)
    for name, label in LINK.findall(line):
        if name in known:
            page.link(quote(name, safe=""), label or name)
