"""Zones of content that two capsules have in common: each holds only for those who ask its own capsule."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pad19.content.files import WELL_KNOWN
from pad19.dispatch.zones.paths import folded, parse_path
from pad19.protocol.uri import percent_encode

from .capsule import Capsule, Zone
from .model import Config
from .paths import Problem
from .read import shown_path


def overlaps(config: Config, names: Sequence[str]) -> Iterator[Problem]:
    """What a zone keeps for some, and another capsule would show everybody.

    That is decided where the other one has a zone that says who may read, whoever that is. Links within
    content are not looked for: who makes one publishes what it leads to. ``names``: what to call capsules.
    """
    if not any(capsule.zones for capsule in config.capsules):
        return
    trees = [_Tree(capsule) for capsule in config.capsules]
    for keeps, shows in _overlapping(trees):
        seen: set[int] = set()
        for place in (*trees[keeps].places, *trees[shows].places):
            number = trees[keeps].keeper_of(place)
            path = None if number is None or number in seen else trees[shows].shown_at(place)
            if number is not None and path:
                seen.add(number)
                yield (
                    f"capsule[{shows + 1}].content",
                    f"is {shown_path(config.capsules[shows].content)}, which would show everybody what "
                    f"zone[{number}] of {names[keeps]} keeps for some: give it a zone with "
                    f'path = "{path}" and allow, or name another folder',
                )


class _Tree:
    """A capsule's content and the places of its zones, which is where it may change who reads."""

    def __init__(self, capsule: Capsule) -> None:
        self._capsule = capsule
        self.root = Path(os.path.realpath(capsule.content))
        paths = [parse_path(zone.path) for zone in capsule.zones]
        self._numbers = {folded(path): number for number, path in enumerate(paths, 1)}
        self.places = (self.root, *(self.root.joinpath(*path) for path in paths))

    def keeper_of(self, place: Path) -> int | None:
        """The zone, counted from 1, that keeps from some what is there, or what an upload may put there."""
        number = self._zone_at(place)
        if number is None or not (self._capsule.titan or os.path.lexists(place)):
            return None
        zone = self._capsule.zones[number - 1]
        is_for_some = zone.allow is not None and all(who.kind != "everybody" for who in zone.allow)
        return number if is_for_some or zone.deny else None

    def shown_at(self, place: Path) -> str | None:
        """The path where everybody can ask for it, as a zone would have it."""
        if not place.is_relative_to(self.root):
            return None
        names = place.relative_to(self.root).parts
        if not self._capsule.hidden and any(
            name.startswith(".") and (depth or name != WELL_KNOWN) for depth, name in enumerate(names)
        ):
            return None
        number = self._zone_at(place)
        if number is not None and _says_who_may_read(self._capsule.zones[number - 1]):
            return None
        try:
            return f"/{percent_encode('/'.join(names), '/')}"
        except UnicodeEncodeError:  # no path has a name that is not UTF-8
            return None

    def _zone_at(self, place: Path) -> int | None:
        """As `Zones` finds it: the longest path, and in small letters."""
        if not place.is_relative_to(self.root):
            return None
        names = folded(place.relative_to(self.root).parts)
        starts = (names[:length] for length in range(len(names), -1, -1))
        return next((self._numbers[start] for start in starts if start in self._numbers), None)


def _says_who_may_read(zone: Zone) -> bool:
    return zone.allow is not None or bool(zone.deny)


def _overlapping(trees: Sequence[_Tree]) -> Iterator[tuple[int, int]]:
    """All two of which one lies in the other, in both orders, counted from 0."""
    by_root: dict[Path, list[int]] = {}
    for number, tree in enumerate(trees):
        by_root.setdefault(tree.root, []).append(number)
    for inner, tree in enumerate(trees):
        for folder in (tree.root, *tree.root.parents):
            for outer in by_root.get(folder, ()):
                if outer != inner:
                    yield outer, inner
                    if folder != tree.root:
                        yield inner, outer
