"""The checks of a capsule's redirects, rewrites and farewells, which are one table of patterns."""

from collections.abc import Iterator
from dataclasses import dataclass

from pad19.protocol.pattern import Kind, Pattern, PatternTable, Template, Value
from pad19.protocol.uri import InvalidURI, parse, percent_decode

from .capsule import Capsule, Gone, Redirect, Rewrite

Problem = tuple[str, str]  # a key, counted from 1, and what ails it

# Clients give up after so many (network specification, section "Redirection").
MAX_REDIRECTS = 5
_SAMPLES: dict[Kind, Value] = {"int": 1, "str": "x", "path": "x/y"}


@dataclass(frozen=True, slots=True)
class _Entry:
    key: str
    pattern: Pattern
    template: Template | None  # of a redirect


def check_paths(key: str, capsule: Capsule) -> Iterator[Problem]:
    """What is wrong with them. ``key``: of the capsule."""
    table: PatternTable[_Entry] = PatternTable()
    redirects = []
    sections: dict[str, tuple[Redirect | Rewrite | Gone, ...]] = {
        "redirect": capsule.redirects,
        "rewrite": capsule.rewrites,
        "gone": capsule.gone,
    }
    for name, entries in sections.items():
        for number, entry in enumerate(entries, 1):
            place = f"{key}.{name}[{number}]"
            if isinstance(entry, Redirect) and entry.permanent and entry.status == 30:
                yield f"{place}.status", "is 30, but permanent is true: remove one of them"
            pattern = Pattern.parse(entry.pattern)
            template = None if isinstance(entry, Gone) else Template.parse(entry.target)
            for unknown in sorted(template.names - {*pattern.kinds}) if template else ():
                yield (
                    f"{place}.to",
                    f"has {{{unknown}}}, which is no capture of {place}.from: name one of those",
                )
                template = None
            found = _Entry(place, pattern, template if name == "redirect" else None)
            try:
                table.add(pattern, found)
            except ValueError as error:
                yield f"{place}.from", f'matches the same paths as "{error}" already: remove one of them'
                continue
            if found.template:
                redirects.append(found)
    for found in redirects:
        if _leads_back(found, table, capsule.hosts):
            yield f"{found.key}.to", "leads back to the same redirect, again and again: name another path"


def _leads_back(entry: _Entry, table: PatternTable[_Entry], hosts: tuple[str, ...]) -> bool:
    """Whether a client that follows it, with some text for each capture, comes back and never leaves."""
    captures: dict[str, Value] = {name: _SAMPLES[kind] for name, kind in entry.pattern.kinds.items()}
    current, returned = entry, False
    for _ in range(MAX_REDIRECTS):
        if current.template is None:
            return False
        uri = parse(current.template.fill(captures, current.pattern.kinds))
        if uri.host is not None and uri.host not in hosts:
            return False
        try:
            segments = [percent_decode(segment) for segment in uri.path[1:].split("/")]
        except InvalidURI:  # not UTF-8, so no pattern matches it
            return False
        found = table.find(segments)
        if found is None:
            return False
        current, captures = found
        returned = returned or current is entry
    return returned
