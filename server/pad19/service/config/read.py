"""Tables of TOML into the values of `config`, all mistakes at once.

Types and bounds are msgspec's; it stops at the first mistake, so the walk over the fields is ours.
"""

import os
import re
import types
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from msgspec import UNSET, Meta, Struct, ValidationError, convert
from msgspec.structs import fields

from .environment import expand
from .model import Sections
from .values import OneOrMore, Reads

MAX_SHOWN = 80  # characters of a value that a message repeats
SIMILAR = 0.75  # of 1, for a key that was misspelled: "host" and "hosts", not "ports" and "certs"
_OTHER_NAMES = {  # what other servers call it, and what it is called here
    **dict.fromkeys(("address", "addresses", "bind", "port", "ports"), "listen"),
    **dict.fromkeys(("dir", "directory", "folder", "path", "root"), "content"),
    **dict.fromkeys(("domain", "domains", "host", "hostname", "hostnames", "server_name"), "hosts"),
    "cert": "certificate",
    "language": "lang",
}


class Reader:
    """One walk.

    ``problems`` are pairs: a key, counted from 1 (``capsule[2].hosts[1]``), and what ails it. A
    field with a mistake gets its default, and a list with one becomes empty, so that the checks of
    several keys have whole values to look at.
    """

    def __init__(self, folder: Path, flags: Mapping[str, str]) -> None:
        """``folder``: where relative paths start. ``flags``: a key to the flag that gave its value."""
        self._folder = folder
        self._flags = flags
        self.problems: list[tuple[str, str]] = []

    def arguments(self, kind: type[Struct], table: object, key: str = "") -> dict[str, Any]:
        """The arguments for ``kind``. ``key`` is where the table stands."""
        known = {info.encode_name: info for info in fields(kind)}
        one_of: tuple[str, ...] = getattr(kind, "one_of", ())  # keys of which one has to be there
        is_table = isinstance(table, dict)
        if not isinstance(table, dict):
            heading = _heading(key, many=key.endswith("]"))
            self.problems.append((key, f"is {shown(table)}, but must be a table: write {heading}"))
            table = {}
        self.problems += [(_join(key, name), _unknown(name, [*known])) for name in table if name not in known]
        arguments = {}
        for name, info in known.items():
            value: Any = UNSET
            example = Rule.of(info.type).example
            mend = "" if example is None else f"{name} = {shown(example)}"
            if name in table:
                value = self._value(table[name], info.type, _join(key, name), mend)
            elif info.required and is_table:
                self.problems.append((_join(key, name), f"is missing: write for example {mend}"))
            if is_table and name == next(iter(one_of), None) and not {*one_of} & {*table}:
                others = " or ".join(one_of[1:])
                self.problems.append((_join(key, name), f"is missing: write for example {mend}, or {others}"))
            if value is UNSET and isinstance(info.default, Path):
                value = self._folder / info.default
            elif value is UNSET and is_struct(info.type):
                value = info.type(**self.arguments(info.type, {}))
            if value is not UNSET:
                arguments[info.name] = value
        return arguments

    def _value(self, value: object, annotation: Any, key: str, mend: str) -> Any:
        """The value, or UNSET after a mistake. ``mend``: an example of the whole line."""
        rule = Rule.of(annotation)
        if is_struct(rule.kind) and not rule.reads:
            return self._struct(rule.kind, value, key)
        if rule.one_or_more and isinstance(value, str):
            value = [value]
        if isinstance(value, dict) and _is_repeated(rule.kind):
            heading = _heading(key, many=True)
            self.problems.append((key, f"is written with one bracket: write {heading}, with two brackets"))
            return UNSET
        try:
            if get_origin(rule.kind) is tuple:
                return self._list(convert(value, rule.whole(list[Any])), rule.kind, key, mend)
            if get_origin(rule.kind) is dict:
                return self._dict(convert(value, rule.whole(dict[Any, Any])), rule.kind, key, mend)
            if rule.reads:
                return self._read(convert(value, str), rule.reads, key)
            return convert(value, rule.whole(rule.kind))
        except ValidationError:  # a ValueError too, but its words are about Python
            must = rule.excess(value)
        except ValueError as error:
            must = str(error)
        must = must if must.startswith("must ") else f"must be {rule.description}"
        flag = flag_of(key, self._flags)
        if flag and rule.example is not None:
            must += f": write for example {flag} {rule.example}"
        elif mend and not flag:
            must += f": write for example {mend}"
        self.problems.append((key, f"is {shown(value)}, but {must}"))
        return UNSET

    def _struct(self, kind: type[Struct], table: object, key: str) -> Any:
        arguments = self.arguments(kind, table, key)
        if any(info.required and info.name not in arguments for info in fields(kind)):
            return UNSET
        return kind(**arguments)

    def _read(self, text: str, reads: Reads, key: str) -> object:
        if reads.environment and not flag_of(key, self._flags):  # a shell has expanded those
            text = expand(text, os.environ)
        return reads.read(text, self._folder)

    def _list(self, items: list[Any], kind: Any, key: str, mend: str) -> tuple[Any, ...]:
        item = get_args(kind)[0]
        read = [self._value(part, item, f"{key}[{number}]", mend) for number, part in enumerate(items, 1)]
        return () if UNSET in read else tuple(read)

    def _dict(self, items: dict[Any, Any], kind: Any, key: str, mend: str) -> Any:
        left, right = get_args(kind)
        read = {
            self._value(name, left, _join(key, name), mend): self._value(part, right, _join(key, name), mend)
            for name, part in items.items()
        }
        return UNSET if UNSET in chain(read, read.values()) else read


class Rule(NamedTuple):
    """What an annotation of `config` says, with ``Annotated`` and ``| None`` taken off."""

    kind: Any
    metas: tuple[Meta, ...] = ()  # from the inside out: the last one is the field's own
    reads: Reads | None = None
    one_or_more: bool = False

    @classmethod
    def of(cls, annotation: Any) -> "Rule":
        """Take it apart."""
        if get_origin(annotation) in {Union, types.UnionType}:
            # TOML has no null, so None in a field only ever means that the key is absent.
            return cls.of(next(part for part in get_args(annotation) if part is not types.NoneType))
        if get_origin(annotation) is not Annotated:
            return cls(annotation)
        inner = cls.of(annotation.__origin__)
        notes = annotation.__metadata__
        return cls(
            inner.kind,
            inner.metas + tuple(note for note in notes if isinstance(note, Meta)),
            next((note for note in notes if isinstance(note, Reads)), inner.reads),
            inner.one_or_more or OneOrMore in notes,
        )

    def whole(self, kind: Any) -> Any:
        """``kind`` under the bounds of this rule."""
        for meta in self.metas:
            kind = Annotated[kind, meta]
        return kind

    @property
    def description(self) -> str:
        """What completes "must be ..."."""
        return next(meta.description for meta in reversed(self.metas) if meta.description)

    def excess(self, value: object) -> str:
        """What is said of a number over a limit that goes without saying in the description; else ""."""
        limit = next((meta.le for meta in reversed(self.metas) if meta.le is not None), None)
        if limit is None or not isinstance(value, int | float) or not value > limit:
            return ""
        is_told = "at most" in self.description or str(limit) in self.description
        return "" if is_told else f"must be at most {limit}"

    @property
    def example(self) -> object:
        """A value that is right, or None."""
        return next((meta.examples[0] for meta in reversed(self.metas) if meta.examples), None)


def shown(value: object) -> str:
    """A value as TOML would have it, on one line and not too long."""
    text = _toml(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def shown_path(path: Path) -> str:
    """A path that is safe to print."""
    return str(path) if str(path).isprintable() else shown(str(path))


def is_within(key: str, start: str) -> bool:
    """Whether ``key`` is ``start`` or a part of it."""
    return key == start or key.startswith((f"{start}[", f"{start}."))


def flag_of(key: str, flags: Mapping[str, str]) -> str | None:
    """The flag that gave this key's value, or None."""
    return next((flag for start, flag in flags.items() if is_within(key, start)), None)


def _toml(value: object, depth: int = 0) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        import json  # only messages need it, and start time counts

        # Keys and strings are a stranger's text at worst: nothing unprintable reaches a terminal.
        return json.dumps(value, ensure_ascii=not value.isprintable())
    if isinstance(value, list | dict) and depth > 1:
        return "..."  # dotted keys nest deeper than a call may
    if isinstance(value, list):
        return f"[{', '.join(_toml(part, depth + 1) for part in value)}]"
    if isinstance(value, dict):
        parts = (f"{_toml_key(name)} = {_toml(part, depth + 1)}" for name, part in value.items())
        return f"{{ {', '.join(parts)} }}"
    try:
        return str(value)
    except ValueError:  # longer than str() is willing to write: only a hexadecimal number can be
        return hex(value) if isinstance(value, int) else repr(value)


def _toml_key(name: str) -> str:
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum() and len(name) <= MAX_SHOWN
    return name if bare else shown(name)


def _join(key: str, name: str) -> str:
    return f"{key}.{_toml_key(name)}" if key else _toml_key(name)


def _heading(key: str, *, many: bool) -> str:
    """The line that opens the section at a key."""
    name = re.sub(r"\[\d+\]", "", key)
    return f"[[{name}]]" if many else f"[{name}]"


def _unknown(name: str, known: list[str]) -> str:
    import difflib  # only this message needs it, and start time counts

    meant = _OTHER_NAMES.get(name)
    if meant in known:
        return f"is no key: did you mean {meant}?"
    if places := " or ".join(_places(name, Sections)):
        return f"is no key here: it belongs {places}"
    close = difflib.get_close_matches(name[:MAX_SHOWN], known, 1, SIMILAR)
    if close:
        return f"is no key: did you mean {close[0]}?"
    if meant:
        return f"is no key: did you mean {meant}, which belongs {' or '.join(_places(meant, Sections))}?"
    return f"is no key: remove it, or use one of {', '.join(known)}"


def _places(name: str, kind: type[Struct], heading: str = "", key: str = "") -> Iterator[str]:
    """Where a key or section of that name is at home: "it belongs ..."."""
    for info in fields(kind):
        rule = Rule.of(info.type)
        inner = get_args(rule.kind)[0] if _is_repeated(rule.kind) else rule.kind
        is_section = is_struct(inner) and not rule.reads
        place = _join(key, info.encode_name)
        opening = _heading(place, many=inner is not rule.kind)
        if info.encode_name == name and is_section:
            yield f"below {heading}, as {opening}" if heading else f"on its own, as {opening}"
        elif info.encode_name == name:
            yield f"into {heading}" if heading else "above the first section"
        if is_section:
            yield from _places(name, inner, opening, place)


def is_struct(kind: Any) -> bool:
    """Whether a kind is a section."""
    return isinstance(kind, type) and issubclass(kind, Struct)


def _is_repeated(kind: Any) -> bool:
    """Whether a kind is a list of sections, each with two brackets."""
    if get_origin(kind) is not tuple:
        return False
    rule = Rule.of(get_args(kind)[0])
    return is_struct(rule.kind) and not rule.reads
