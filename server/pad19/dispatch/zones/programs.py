"""What a path may mean to programs below a folder, which answer by more names than their own.

A URI may leave out the ending of a program's name, and the name of an index program; what follows a name is
handed to the program.
"""

from collections.abc import Iterable, Iterator, Sequence

from .paths import Segments, fold


class Programs:
    """The paths below which there are programs.

    ``prefixes``: those paths. ``index``: the names that answer for a folder, and for what does not exist in
    it, but not for that in the topmost one. ``suffixes``: what may be left out.
    """

    def __init__(
        self, prefixes: Iterable[Segments] = (), index: Sequence[str] = (), suffixes: Sequence[str] = ()
    ) -> None:
        self._prefixes = tuple(prefixes)
        self._suffixes = tuple(suffixes)
        names = (name for each in index for name in (each, self._stem(each)))
        self._index = tuple(dict.fromkeys(filter(None, names)))

    def readings(self, segments: Segments, deepest: int) -> Iterator[Segments]:
        """The other paths that may mean the same, as far as their first ``deepest`` segments differ."""
        for prefix in self._prefixes:
            if segments[: len(prefix)] == prefix:
                yield from self._below(len(prefix), segments[: deepest + 1], len(segments))

    def _below(self, top: int, segments: Segments, depth: int) -> Iterator[Segments]:
        for length in range(top, len(segments) + 1):
            start, rest = segments[:length], segments[length:]
            if length > top or length == depth:
                for name in self._index:
                    yield (*start, name, *rest)
            if length == top:
                continue
            *folder, last = start
            for suffix in self._suffixes:
                yield (*folder, last + suffix, *rest)
            if stem := self._stem(last):
                yield (*folder, stem, *rest)
            if fold(last) in self._index:
                yield (*folder, *rest)

    def _stem(self, name: str) -> str:
        """The name without its ending; empty if it has none of those."""
        name = fold(name)
        return next((name.removesuffix(suffix) for suffix in self._suffixes if name.endswith(suffix)), "")
