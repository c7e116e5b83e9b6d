"""A wiki: everybody reads, members write by Titan, and what they replace is kept.

Its pages are files of gemtext in the folder wiki/ of the content, with one thing more: [[Titan II]] is a
link to the page of that name. There is no code here that takes uploads. pad19 does that, since pad19.toml
says who may, and it sees to it that nobody overwrites what somebody else has just changed:

    [[capsule.zone]]
    path = "/wiki/"
    allow = "everybody"
    write = "members"
    types = "text/gemini"
    [capsule.titan]
    keep = 10

A folder with an __init__.py is a route like a file is. This one answers below /wiki, at the same addresses
as the files: what it does not answer, such as pictures and uploads, is left to them.
"""

import re
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from pad19 import Capsule, Gemtext, NotFound, Request, Routes

from .versions import ended, histories, named, versions

FOLDER = "wiki"  # in the content
CHANGES = 50  # on the page of recent changes
LINK = re.compile(r"\[\[([^\[\]|]+)(?:\|([^\[\]|]+))?\]\]")  # [[Name]] and [[Name|what is shown]]
SUFFIX = ".gmi"

routes = Routes()
folder = Path(FOLDER)  # where that is, is known once the server has started


@routes.lifespan
async def find_folder(capsule: Capsule) -> AsyncIterator[None]:
    """Remember where the pages are."""
    global folder
    folder = capsule.content / FOLDER
    yield


@routes.converter("page")
def to_page(segment: str) -> str:
    """The name of a page, "Titan II" for "Titan II.gmi", or no match."""
    if not segment.endswith(SUFFIX):
        raise ValueError(segment)
    return segment.removesuffix(SUFFIX)


def address(name: str) -> str:
    """The last part of the URL of a page."""
    return quote(name + SUFFIX, safe="")


def pages() -> dict[str, Path]:
    """The name of each page, and its file."""
    return {name: file for name, file in named(folder, f"[!.]*{SUFFIX}").items() if file.is_file()}


def text_of(file: Path) -> str:
    """What is in a file, unless it was removed a moment ago."""
    try:
        return file.read_text("utf-8", "replace")
    except FileNotFoundError:
        raise NotFound from None


# A plain def: it runs in a thread, so the server goes on while it waits for the disk.
@routes.gemini("/")
def contents(request: Request) -> Gemtext:
    """All pages."""
    here = request.uri.partition("?")[0]
    page = Gemtext().heading("Wiki")
    for name in pages():
        page.link(address(name), name)
    page.text().link("changes", "Recent changes")
    page.text().text(
        'Members write here by Titan. Lagrange has "Edit page with Titan", and for a terminal there is '
        "this; a page that is not there yet begins empty:"
    )
    page.preformatted(f"pad19 edit {here}PAGE{SUFFIX}", "command that edits a page")
    page.link("../hosting/lagrange.gmi", "Writing with Lagrange")
    page.link("../hosting/titan.gmi", "How uploads work")
    return page.link("../examples.gmi", "All examples")


@routes.gemini("/{name:page}")
def read(request: Request, name: str) -> str:
    """One page."""
    known = pages()
    # The name is looked up and never becomes part of a path, so "../../secret" is no page.
    if name not in known:
        raise NotFound("there is no such page; members make it by uploading one to this address")
    lines = [*with_links(text_of(known[name]), known)]
    return "\n".join([*lines, "", f"=> history/{address(name)} Earlier versions", "=> ./ All pages", ""])


def with_links(text: str, known: Collection[str]) -> Iterator[str]:
    """The lines of a page. Gemtext has no links within text, so they follow it.

    What members write is gemtext, and stays as it is: they may make headings and links to anywhere.
    """
    is_preformatted = False
    for line in text.splitlines():
        is_toggle = line.startswith("```")
        is_preformatted ^= is_toggle
        if is_preformatted or is_toggle:
            yield line
            continue
        yield LINK.sub(lambda link: link[2] or link[1], line)
        for name, label in LINK.findall(line):
            missing = "" if name in known else " (not written yet)"
            yield f"=> {address(name)} {label or name}{missing}"
    if is_preformatted:
        yield "```"  # or what follows the page would be a part of it


@routes.gemini("/history/{name:page}")
def history(request: Request, name: str) -> Gemtext:
    """The versions that were kept of a page, which may have been deleted."""
    page = Gemtext().heading(f"Earlier versions of {name}")
    for version in reversed(kept(name)):
        page.link(f"{address(name)}/{version.name}", f"until {ended(version):%Y-%m-%d %H:%M} UTC")
    return page.text().link(f"../{address(name)}", "The page as it is now").link("../", "All pages")


@routes.gemini("/history/{name:page}/{time}")
def earlier(request: Request, name: str, time: str) -> Gemtext:
    """One of them, as it was written: quoted, so that it can be told from the page, and copied."""
    found = {version.name: version for version in kept(name)}
    if time not in found:
        raise NotFound("this version is not kept")
    page = Gemtext().heading(name).text(f"The page was this until {ended(found[time]):%Y-%m-%d %H:%M} UTC:")
    page.text().quote(text_of(found[time])).text()
    return page.link(f"../../{address(name)}", "The page as it is now").link(
        f"../{address(name)}", "Earlier versions"
    )


def kept(name: str) -> list[Path]:
    """The versions of a page, the oldest first. A page that was never replaced has none."""
    known = histories(folder, SUFFIX)
    if name in known:
        return versions(known[name])
    if name in pages():
        return []
    raise NotFound("there is no such page")


@routes.gemini("/changes")
def changes(request: Request) -> Gemtext:
    """What was changed, the newest first. Clients can subscribe to it.

    They take each link whose label begins with a date for an entry, and each address for another one. So
    a change has the address of the version that it has replaced.
    """
    page = Gemtext().heading("Recent changes of the wiki")
    for when, link, what in sorted(happened(), reverse=True)[:CHANGES]:
        page.link(link, f"{when:%Y-%m-%d} {what}")
    return page.text().link("./", "All pages")


def happened() -> Iterator[tuple[datetime, str, str]]:
    """When, at which address, and what."""
    there = pages()
    past = histories(folder, SUFFIX)
    for name, file in there.items():
        if name not in past:
            with suppress(FileNotFoundError):  # removed a moment ago
                yield datetime.fromtimestamp(file.stat().st_mtime, UTC), address(name), f"{name} is new"
    for name, where in past.items():
        replaced = versions(where)
        for version in replaced:
            is_gone = version == replaced[-1] and name not in there
            what = f"{name} was {'deleted' if is_gone else 'changed'}"
            yield ended(version), f"history/{address(name)}/{version.name}", what
