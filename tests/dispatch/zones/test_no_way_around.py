"""No way of writing a path steps around a zone."""

import random
from pathlib import Path
from urllib.parse import quote

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.zones.spellings import GUARDED, TREE, Disk, guards, spell
from pad19.content.static import StaticFiles
from pad19.dispatch.router import Handler
from pad19.dispatch.zones.guard import Zones
from pad19.dispatch.zones.paths import parse_path
from pad19.protocol.failure import Failure, NotFound
from pad19.protocol.response import Success
from support.zones import ask, zone


def test_no_spelling_steps_around_a_zone(tree: Path) -> None:
    zones = Zones(map(zone, GUARDED), index=("index.gmi",))
    handlers: list[Handler] = [StaticFiles(tree), Disk()]
    served = dict.fromkeys(handlers, 0)  # so many spellings did lead somewhere

    @settings(max_examples=1500, deadline=None)
    @given(st.sampled_from(TREE), st.randoms(use_true_random=False))
    def check(name: str, dice: random.Random) -> None:
        path = spell(name, dice)
        try:
            request = ask(path)
        except Failure:
            return
        covering = {zone.path for zone in zones.covering(request)}
        for handler in handlers:
            try:
                response = trio.run(handler, request)
            except NotFound:
                continue
            if not isinstance(response, Success):
                continue
            assert isinstance(response.body, bytes)
            file = response.body.decode()
            served[handler] += 1
            if guard := guards(file):
                assert parse_path(guard) in covering, (path, file)

    check()
    assert all(count > 50 for count in served.values()), served


def test_what_nobody_spells_strangely_has_one_zone() -> None:
    zones = Zones(map(zone, GUARDED), index=("index.gmi",))
    for name in TREE:
        guard = guards(name)
        covering = [zone.path for zone in zones.covering(ask(f"/{quote(name)}"))]
        assert covering == ([parse_path(guard)] if guard else []), name
