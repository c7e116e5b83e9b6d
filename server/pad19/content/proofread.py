"""Mistakes in gemtext that clients do not complain about, and the links of a page.

Every text is gemtext, so these are lines that most likely mean something else to their author than
to clients.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pad19.protocol.uri import InvalidURI, parse

_LINK = re.compile(r"=>[ \t]*([^ \t]*)")
_INDENTED = re.compile(r"[ \t]+(=>|```|#{1,3} )")
_TOGGLE = "```"
_BOM = "\ufeff"


@dataclass(slots=True)
class Proof:
    """What was found, each with the number of its line, counted from 1."""

    problems: list[tuple[int, str]] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)  # what may well be meant
    links: list[tuple[int, str]] = field(default_factory=list)  # URIs, which may be relative


def proofread(text: str) -> Proof:
    """Read a page."""
    proof = Proof()
    if text.startswith(_BOM):  # the network specification says so of text
        proof.problems.append((1, "a byte order mark, which no page should begin with: save it without"))
    opened = 0  # the line of the toggle that began the block
    for number, line in _lines(text):
        if line.startswith(_TOGGLE):
            opened = 0 if opened else number
        elif not opened:
            _read(line, number, proof)
    if opened:
        proof.problems.append((opened, "the preformatted block that begins here is not closed"))
        proof.problems.sort()
    return proof


def _lines(text: str) -> Iterator[tuple[int, str]]:
    return enumerate(text.removeprefix(_BOM).replace("\r\n", "\n").split("\n"), 1)


def _read(line: str, number: int, proof: Proof) -> None:
    if match := _LINK.match(line):
        if uri := match[1]:
            try:
                parse(uri)
            except InvalidURI as error:
                proof.problems.append((number, f"the link is no URI: {error}"))
            else:
                proof.links.append((number, uri))
        else:
            proof.problems.append((number, "the link has no URI"))
    elif line.startswith("####"):
        proof.notes.append((number, "headings have three levels, so this one begins with #"))
    elif indented := _INDENTED.match(line):
        proof.notes.append((number, f"this is text, since a space stands before the {indented[1].strip()}"))
    if "\r" in line:
        proof.notes.append((number, "a carriage return within a line, which does not end it"))
