"""Tables of TOML into the values of `config`, all mistakes at once.

Types and bounds are msgspec's; it stops at the first mistake, so the walk over the fields is ours.
"""

import types
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from msgspec import UNSET, Meta, Struct, ValidationError, convert
from msgspec.structs import fields

from .config import Reads

MAX_SHOWN = 80  # characters of a value that a message repeats


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
        if not isinstance(table, dict):
            heading = "[[capsule]]" if key.endswith("]") else f"[{key}]"
            self.problems.append((key, f"is {shown(table)}, but must be a table: write {heading}"))
            table = {}
        known = {info.encode_name: info for info in fields(kind)}
        self.problems += [(_join(key, name), _unknown(name, [*known])) for name in table if name not in known]
        arguments = {}
        for name, info in known.items():
            value: Any = UNSET
            if name in table:
                value = self._value(table[name], info.type, _join(key, name))
            if value is UNSET and isinstance(info.default, Path):
                value = self._folder / info.default
            elif value is UNSET and _is_struct(info.type):
                value = info.type(**self.arguments(info.type, {}))
            if value is not UNSET:
                arguments[info.name] = value
        return arguments

    def _value(self, value: object, annotation: Any, key: str, example: object = None) -> Any:
        """The value, or UNSET after a mistake. ``example``: of the whole field, for its parts."""
        rule = _Rule.of(annotation)
        if _is_struct(rule.kind) and not rule.reads:
            return rule.kind(**self.arguments(rule.kind, value, key))
        example = rule.example if example is None else example
        try:
            if get_origin(rule.kind) is tuple:
                return self._list(convert(value, rule.whole(list[Any])), rule.kind, key, example)
            if get_origin(rule.kind) is dict:
                return self._dict(convert(value, rule.whole(dict[Any, Any])), rule.kind, key, example)
            if rule.reads:
                return rule.reads.read(convert(value, str), self._folder)
            return convert(value, rule.whole(rule.kind))
        except ValidationError:  # a ValueError too, but its words are about Python
            must = ""
        except ValueError as error:
            must = str(error)
        must = must if must.startswith("must ") else f"must be {rule.description}"
        mend = "" if example is None or flag_of(key, self._flags) else f"{_name(key)} = {shown(example)}"
        self.problems.append((key, f"is {shown(value)}, but {must}{mend and f': write for example {mend}'}"))
        return UNSET

    def _list(self, items: list[Any], kind: Any, key: str, example: object) -> tuple[Any, ...]:
        item = get_args(kind)[0]
        read = [self._value(part, item, f"{key}[{number}]", example) for number, part in enumerate(items, 1)]
        return () if UNSET in read else tuple(read)

    def _dict(self, items: dict[Any, Any], kind: Any, key: str, example: object) -> Any:
        left, right = get_args(kind)
        read = {
            self._value(name, left, _join(key, name), example): self._value(
                part, right, _join(key, name), example
            )
            for name, part in items.items()
        }
        return UNSET if UNSET in chain(read, read.values()) else read


class _Rule(NamedTuple):
    """What an annotation says, with ``Annotated`` and ``| None`` taken off."""

    kind: Any
    metas: tuple[Meta, ...] = ()  # from the inside out: the last one is the field's own
    reads: Reads | None = None

    @classmethod
    def of(cls, annotation: Any) -> "_Rule":
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
        )

    def whole(self, kind: Any) -> Any:
        """``kind`` under the bounds of this rule."""
        for meta in self.metas:
            kind = Annotated[kind, meta]
        return kind

    @property
    def description(self) -> str:
        return next(meta.description for meta in reversed(self.metas) if meta.description)

    @property
    def example(self) -> object:
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
    # Hexadecimal numbers may be longer than str() is willing to write.
    return hex(value) if isinstance(value, int) and value.bit_length() > 64 else str(value)


def _toml_key(name: str) -> str:
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum() and len(name) <= MAX_SHOWN
    return name if bare else shown(name)


def _join(key: str, name: str) -> str:
    return f"{key}.{_toml_key(name)}" if key else _toml_key(name)


def _name(key: str) -> str:
    """The key as the file has it on its own line: ``hosts`` for ``capsule[2].hosts[1]``."""
    section, _, rest = key.partition(".")
    return (rest or section).partition("[")[0].partition(".")[0]


def _unknown(name: str, known: list[str]) -> str:
    import difflib  # only this message needs it, and start time counts

    close = difflib.get_close_matches(name[:MAX_SHOWN], known, 1)
    if close:
        return f"is no key: did you mean {close[0]}?"
    return f"is no key: remove it, or use one of {', '.join(known)}"


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)
