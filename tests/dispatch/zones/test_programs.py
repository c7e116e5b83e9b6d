"""Zones over programs, which have several names."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.zones.spellings import PROGRAMS, names_of, spell_call
from pad19.dispatch.zones.guard import Zones
from pad19.dispatch.zones.paths import parse_path
from pad19.dispatch.zones.programs import Programs
from pad19.routes.cgi.scripts import INDEX, SUFFIXES, Scripts
from support.scripts import write_script
from support.zones import ask, zone

BIN = Programs([("cgi-bin",)], INDEX, SUFFIXES)
PROGRAMS_COVERED = [  # the path of a zone, paths that it covers, others
    (
        "/cgi-bin/admin.py",
        ["/admin.py", "/admin", "/admin/", "/admin/x/y", "/admin//x", "/ADMIN", "/admin/..%2F..%2F..%2Fx"],
        ["/", "", "/administrator", "/admin.pyc", "/admi", "/x/admin", "/other.py"],
    ),
    (
        "/cgi-bin/admin",
        ["/admin", "/admin.py", "/admin.sh/x", "/admin.py/", "/Admin.PY", "/admin.py/..%2F..%2F..%2Fx"],
        ["/", "/admin.gmi", "/admin.p", "/x.py"],
    ),
    ("/cgi-bin/admin/secret", ["/admin.py/secret", "/admin/secret/x"], ["/admin.py", "/admin.py/x"]),
    ("/cgi-bin/admin.py/secret", ["/admin/secret"], ["/admin", "/admin/x"]),
    (
        "/cgi-bin/tool/index.cgi",
        ["/tool", "/tool/", "/tool/zzz", "/tool/zzz/y", "/tool/index", "/tool/index.cgi", "/tool//y"],
        ["/", "/x", "/tools/x"],
    ),
    ("/cgi-bin/tool/index", ["/tool/", "/tool/zzz", "/tool/index.cgi", "/tool/index.py/x"], ["/x"]),
    ("/cgi-bin/tool/secret", ["/tool/index.cgi/secret", "/tool/index/secret"], ["/tool/", "/tool/index.cgi"]),
    ("/cgi-bin/index.cgi", ["", "/", "/index"], ["/zzz", "/tool/"]),
    ("/cgi-bin/a/b/c.sh", ["/a/b/c", "/a/b/c/d"], ["/a/b", "/a/c"]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "covered", "others"), PROGRAMS_COVERED)
def test_programs_are_covered_by_all_their_names(path: str, covered: list[str], others: list[str]) -> None:
    only, whole = zone(path), zone("/cgi-bin/")
    zones = Zones([only, whole], programs=BIN)
    for each in covered:
        assert only in zones.covering(ask(f"/cgi-bin{each}")), each
    for each in others:
        assert zones.covering(ask(f"/cgi-bin{each}")) == [whole], each
    assert zones.covering(ask("/cgi-binary/admin")) == []


def test_programs_at_the_root() -> None:
    zones = Zones([zone("/admin.py"), zone("/index.cgi")], programs=Programs([()], INDEX, SUFFIXES))
    assert [each.path for each in zones.covering(ask("/admin/x"))] == [("admin.py",)]
    assert [each.path for each in zones.covering(ask("/"))] == [("index.cgi",)]


def test_a_long_path_to_a_program_costs_little() -> None:
    path = "/cgi-bin" + "/a" * 480
    readings = [*BIN.readings(ask(path).segments, 3)]
    assert len(readings) < 60
    assert all(len(reading) < 8 for reading in readings)


def test_no_name_of_a_program_steps_around_a_zone(tmp_path: Path) -> None:
    for program in PROGRAMS:
        (tmp_path / program).parent.mkdir(exist_ok=True, parents=True)
        write_script(tmp_path / program, "")
    scripts = Scripts(tmp_path)
    guards = {name: program for program in PROGRAMS for name in names_of(program)}
    served = dict.fromkeys(PROGRAMS, 0)

    @settings(max_examples=1500, deadline=None)
    @given(st.sampled_from(PROGRAMS), st.sampled_from([*guards]), st.randoms(use_true_random=False))
    def check(program: str, guard: str, dice: random.Random) -> None:
        request = ask(spell_call(program, dice))
        script = scripts.find(request.segments[1:])
        if script is None:
            return
        found = str(Path(script.path).relative_to(tmp_path))
        served[found] += 1
        if guards[guard] == found:
            zones = Zones([zone(guard), zone("/cgi-bin/")], programs=BIN)
            assert parse_path(guard) in {each.path for each in zones.covering(request)}, request.raw_path

    check()
    assert all(served.values()), served
