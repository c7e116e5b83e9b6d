"""Zones: who may read what, and who may upload where, decided before anything else looks at the path.

A zone guards a path and all that is below it; of several, the longest counts. Who answers behind it
may read a path in another way than we do: ``//`` may be ``/`` to a program, ``%2F`` a separator,
``/MEMBERS/`` the same folder as ``/members/`` to a disk; ``/members/`` is answered with an index file,
and ``/cgi-bin/admin`` by the program ``admin.py``. So a path is read in all of these ways, and the zone
of each reading has to let the client in.
Reading too much into a path closes it too often; it never opens it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from pad19.content.uploads import Terms
from pad19.dispatch.router import Handler
from pad19.protocol.failure import Failure
from pad19.protocol.request import Request
from pad19.protocol.response import Response

from .paths import Segments, fold, folded, resolve
from .programs import Programs
from .zone import Zone

_NO_PROGRAMS = Programs()
_NO_TERMS: Mapping[Segments, Terms] = MappingProxyType({})


class Zones:
    """All zones of a capsule.

    ``index``: the names of files that answer for a folder. ``programs``: where there are some.
    """

    def __init__(
        self, zones: Iterable[Zone], index: Sequence[str] = (), programs: Programs = _NO_PROGRAMS
    ) -> None:
        self._exact: dict[Segments, list[Zone]] = {}
        self._folded: dict[Segments, list[Zone]] = {}
        for zone in zones:
            self._exact.setdefault(zone.path, []).append(zone)
            self._folded.setdefault(folded(zone.path), []).append(zone)
        self._deepest = max(map(len, self._exact), default=0)
        ends = {path[-1] for path in self._folded if path}
        self._index = tuple(name for name in index if fold(name) in ends)
        self._programs = programs

    def admit(self, request: Request) -> bool:
        """Let a request pass, or not. False: it passes for want of a zone.

        A titan path comes without its parameters.

        Raises:
            Failure: See `Zone.admit`.
        """
        zones = self.covering(request)
        is_upload = request.scheme == "titan" or request.upload is not None
        for zone in zones:
            if is_upload:
                zone.admit_upload(request)
            else:
                zone.admit(request.client)
        return bool(zones)

    def has_writer(self, request: Request) -> bool:
        """Whether the client's certificate alone lets it upload there, without a token."""
        zones = self.covering(request)
        try:
            for zone in zones:
                zone.admit(request.client, write=True)
        except Failure:
            return False
        return bool(zones) and request.client.certificate is not None

    def covering(self, request: Request) -> list[Zone]:
        """The zones that have to let a request in. There are several if its path has several readings."""
        zones: list[Zone] = []
        for reading in self._readings(request):
            for table, segments in ((self._exact, reading), (self._folded, folded(reading))):
                zones += [zone for zone in self._longest(table, segments) if zone not in zones]
        return zones

    def _readings(self, request: Request) -> Iterator[Segments]:
        segments = request.segments
        resolved = resolve(segments)
        for plain in dict.fromkeys((segments, resolved)):
            yield plain
            yield from self._programs.readings(plain, self._deepest)
        if request.path.endswith("/"):
            for name in self._index:
                yield (*resolved, name)

    def _longest(self, table: dict[Segments, list[Zone]], segments: Segments) -> list[Zone]:
        for length in range(min(len(segments), self._deepest), -1, -1):
            if found := table.get(segments[:length]):
                return found
        return []


class Guard:
    """A handler in front of another one.

    ``terms``: by the paths of zones, what these say of uploads themselves, whoever takes them.
    """

    def __init__(self, zones: Zones, inner: Handler, terms: Mapping[Segments, Terms] = _NO_TERMS) -> None:
        self._zones = zones
        self._inner = inner
        self._terms = terms

    async def __call__(self, request: Request) -> Response:
        """Let the other one answer those who may pass.

        Outside of zones everything passes, also uploads: `Intake` decides who may put those into files,
        and routes have policies of their own.

        Raises:
            BadRequest: An upload is larger, or of another type, than a zone takes.
            Failure: See `Zone.admit`; and whatever the other one raises.
        """
        self._zones.admit(request)
        if request.upload is not None and self._terms:
            for zone in self._zones.covering(request):
                if terms := self._terms.get(zone.path):
                    terms.check(request.upload)
        return await self._inner(request)
