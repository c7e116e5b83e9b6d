import random
import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
import trio
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from pad19.content.static import StaticFiles
from pad19.dispatch.router import Handler
from pad19.dispatch.zones import reread
from pad19.dispatch.zones.guard import Guard, Zones
from pad19.dispatch.zones.lists import AuthorityFile, FingerprintFile, Fingerprints
from pad19.dispatch.zones.paths import parse_path
from pad19.dispatch.zones.programs import Programs
from pad19.dispatch.zones.tokens import Tokens
from pad19.dispatch.zones.zone import CertificateList, Grant, Zone
from pad19.protocol.client import Client, Identity
from pad19.protocol.failure import (
    CertificateNotAuthorised,
    CertificateRequired,
    Failure,
    NotFound,
    PermanentFailure,
    TemporaryFailure,
)
from pad19.protocol.request import MAX_URI, Request, parse_request
from pad19.protocol.response import Response, Success
from pad19.routes.cgi.scripts import INDEX, SUFFIXES, Scripts
from pad19.tls.identity import identify, identify_pem
from support.disk import TomorrowsClock
from support.scripts import write_script
from support.server import Server, ask_in_memory, listening, read_all, stdlib_context
from support.tls import Pair, expired, self_signed

BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)
EVERYBODY, ANY, NOBODY = Grant(everybody=True), Grant(any_certificate=True), Grant()


def person(letter: str) -> Identity:
    return Identity(f"sha256:{letter * 64}", f"sha256:{letter * 63}0", (), (), 1, BEGIN, END)


ADA, BOB, EVE = map(person, "abe")


class Unknown:
    """A list that cannot be read."""

    def has(self, identity: Identity) -> None:
        return None


def only(*people: Identity) -> Grant:
    return Grant(lists=tuple(Fingerprints([one.fingerprint]) for one in people))


def ask(path: str, who: Identity | None = None, scheme: str = "gemini") -> Request:
    return parse_request(f"{scheme}://localhost{path}".encode(), Client(certificate=who))


def zone(path: str, read: Grant = ANY, write: Grant = NOBODY, deny: tuple[CertificateList, ...] = ()) -> Zone:
    return Zone(parse_path(path), read, write, deny)


# Who may

MAY = [  # grant, denied, who asks, the answer (None: let in) and what it says
    (EVERYBODY, (), None, None, ""),
    (EVERYBODY, (), ADA, None, ""),
    (EVERYBODY, (ADA,), None, None, ""),
    (EVERYBODY, (ADA,), ADA, CertificateNotAuthorised, ADA.fingerprint),
    (EVERYBODY, (ADA,), BOB, None, ""),
    (ANY, (), None, CertificateRequired, "any will do"),
    (ANY, (), ADA, None, ""),
    (ANY, (ADA,), ADA, CertificateNotAuthorised, "not let in here"),
    (ANY, (ADA,), BOB, None, ""),
    (only(ADA), (), None, CertificateRequired, "one that its owner knows"),
    (only(ADA), (), ADA, None, ""),
    (only(ADA), (), BOB, CertificateNotAuthorised, f"send its fingerprint .*: {BOB.fingerprint}"),
    (only(ADA, BOB), (), BOB, None, ""),
    (only(ADA, BOB), (BOB,), BOB, CertificateNotAuthorised, BOB.fingerprint),
    (Grant(any_certificate=True, lists=only(ADA).lists), (), BOB, None, ""),
    (NOBODY, (), None, PermanentFailure, "nobody may"),
    (NOBODY, (), ADA, PermanentFailure, "nobody may"),
    (Grant(lists=(Unknown(),)), (), None, CertificateRequired, "needs a client certificate"),
    (Grant(lists=(Unknown(),)), (), ADA, TemporaryFailure, "try again later"),
    (Grant(lists=(Unknown(), *only(ADA).lists)), (), ADA, None, ""),
    (Grant(lists=(Unknown(), *only(ADA).lists)), (), BOB, TemporaryFailure, "try again later"),
    (Grant(any_certificate=True, lists=(Unknown(),)), (), ADA, None, ""),
]


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize(("grant", "denied", "who", "failure", "text"), MAY)
def test_who_may(
    grant: Grant,
    denied: Sequence[Identity],
    who: Identity | None,
    failure: type[Failure] | None,
    text: str,
    write: bool,
) -> None:
    deny = tuple(Fingerprints([one.fingerprint]) for one in denied)
    guarded = zone("/x", NOBODY, grant, deny) if write else zone("/x", grant, NOBODY, deny)
    if failure is None:
        guarded.admit(Client(certificate=who), write=write)
        return
    with pytest.raises(failure, match=text) as caught:
        guarded.admit(Client(certificate=who), write=write)
    assert type(caught.value) is failure


def test_those_who_are_kept_out_may_be_anybody_if_their_list_is_unknown() -> None:
    guarded = zone("/x", EVERYBODY, deny=(Unknown(), Fingerprints([EVE.fingerprint])))
    guarded.admit(Client(), write=False)  # nobody is on a list without a certificate
    with pytest.raises(TemporaryFailure):
        guarded.admit(Client(certificate=ADA), write=False)
    with pytest.raises(CertificateNotAuthorised):
        guarded.admit(Client(certificate=EVE), write=False)


def test_both_fingerprints_count() -> None:
    assert Fingerprints([ADA.fingerprint]).has(ADA)
    assert Fingerprints([ADA.key_fingerprint]).has(ADA)
    assert not Fingerprints([ADA.fingerprint, ADA.key_fingerprint]).has(BOB)
    assert not Fingerprints([]).has(ADA)


# Which zone

ROOT, MEMBERS, OPEN, CAFE, PAGE, UPPER = (
    zone(path) for path in ("/", "/members", "/members/open/", "/caf%C3%A9", "/docs/index.gmi", "/Upper")
)
COVERED = [  # zones, paths, those that cover them
    ([], ["/", "/members/"], []),
    ([MEMBERS], ["/", "/member", "/members.gmi", "/membersonly/x", "/x/members/", "/%6Dember"], []),
    ([MEMBERS], ["/members", "/members/", "/members/x", "/members/x/", "/members?"], [MEMBERS]),
    ([MEMBERS], ["/x/../members/", "/./members", "/%2e/members", "/x/%2E%2E/members/x"], [MEMBERS]),
    ([MEMBERS], ["/members/.", "/members/x/..", "/members/x/../../members"], [MEMBERS]),
    ([MEMBERS], ["/%6dembers/x", "/%6D%65mbers", "/members/%78"], [MEMBERS]),
    ([MEMBERS], ["//members/x", "///members", "/x/..//members/", "/members//x"], [MEMBERS]),
    ([MEMBERS], ["//x/..//members/x"], [MEMBERS]),
    ([MEMBERS], ["/members%2Fx", "/%2Fmembers/x", "/x%2f..%2Fmembers/x", "/..%2Fmembers"], [MEMBERS]),
    ([MEMBERS], ["/MEMBERS/x", "/Members", "/%4Dembers/x", "/members./x", "/members%20/x"], [MEMBERS]),
    ([MEMBERS], ["/mem%C2%ADbers/x", "/mem%E2%80%8Bbers/x", "/%EF%BD%8Dembers/"], [MEMBERS]),
    ([MEMBERS], ["/members/../x", "/members/..", "/members/%2e%2e/x"], []),
    # A program may not resolve what follows an encoded slash, a disk what has another case.
    ([MEMBERS], ["/members%2F..%2Fx"], []),
    ([MEMBERS], ["/members/..%2Fx"], [MEMBERS]),
    ([ROOT], ["/", "//", "/x", "/x/y", "/%2F"], [ROOT]),
    ([ROOT, MEMBERS], ["/", "/x"], [ROOT]),
    ([ROOT, MEMBERS], ["/members/x"], [MEMBERS]),
    ([ROOT, MEMBERS, OPEN], ["/members/open/x", "/members/open"], [OPEN]),
    ([ROOT, MEMBERS, OPEN], ["/members/x", "/members/opened"], [MEMBERS]),
    # An open zone does not open what may be another folder.
    ([MEMBERS, OPEN], ["/members/OPEN/x", "/members//open/x"], [MEMBERS, OPEN]),
    ([MEMBERS, OPEN], ["/members%2Fopen/x"], [OPEN]),
    ([ROOT, MEMBERS], ["//members/x", "/MEMBERS/x"], [ROOT, MEMBERS]),
    ([CAFE], ["/caf%C3%A9/", "/café", "/cafe%CC%81/x", "/CAF%C3%89/", "/CAFE%CC%81"], [CAFE]),
    ([CAFE], ["/cafe/", "/caf%25C3%25A9"], []),
    ([UPPER], ["/Upper/x", "/upper/x", "/UPPER"], [UPPER]),
    ([PAGE], ["/docs/index.gmi", "/docs/", "/docs/.", "/docs//", "//docs/", "/DOCS/", "/docs%2F"], [PAGE]),
    ([PAGE], ["/docs", "/docs/x", "/docs/x/", "/"], []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("zones", "path", "expected"),
    [pytest.param(zones, path, found, id=path) for zones, paths, found in COVERED for path in paths],
)
def test_which_zone_covers_a_path(zones: list[Zone], path: str, expected: list[Zone]) -> None:
    found = Zones(zones, index=("index.gmi", "index.gemini")).covering(ask(path))
    assert sorted(zone.path for zone in found) == sorted(zone.path for zone in expected)


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


PATHS = [  # as written, the segments or what is wrong
    ("/", ()),
    ("/members", ("members",)),
    ("/members/", ("members",)),
    ("/a/b/", ("a", "b")),
    ("/café", ("café",)),
    ("/caf%C3%A9/two words", ("café", "two words")),
    ("/100%25", ("100%",)),
    ("", "must begin with a slash"),
    ("members/", "must begin with a slash"),
    ("//", "must have no empty segment"),
    ("//members", "must have no empty segment"),
    ("/members//", "must have no empty segment"),
    ("/a//b", "must have no empty segment"),
    ("/a/../b", r"must have no segment \. or \.\."),
    ("/%2e", r"must have no segment \. or \.\."),
    ("/a%2Fb", "must have no encoded slash"),
    ("/a%00", "must have no encoded slash and no NUL"),
    ("/a%", "must be a path, but it has a percent sign"),
    ("/%ff", "must be a path, but it has percent-encoded octets"),
    ("/a?b", "must be a path alone"),
    ("/a#b", "must be a path alone"),
    ("/a\n", "must have no control characters"),
]


@pytest.mark.parametrize(("text", "expected"), PATHS)
def test_paths_of_zones(text: str, expected: tuple[str, ...] | str) -> None:
    if not isinstance(expected, str):
        assert parse_path(text) == expected
        return
    with pytest.raises(ValueError, match=f"^{expected}"):
        parse_path(text)


# No way around

TREE = [
    "index.gmi", "a.gmi", "members/index.gmi", "members/a.gmi", "members/open/index.gmi",
    "members/open/a.gmi", "members/x/y/a.gmi", "café/a.gmi", "Straße/é.gmi", "notes/index.gmi",
    "notes/diary.gmi", "two words/a.gmi", "members.gmi", "index.gmi.gmi",
]  # fmt: skip
GUARDED = [
    "/members/",
    "/members/open/",
    "/café/",
    "/Straße",
    "/notes/index.gmi",
    "/notes/diary.gmi",
    "/two words",
]


class Disk:
    """A program that opens whatever a path can be taken for: it decodes, resolves and ignores case."""

    def __init__(self) -> None:
        self._files = {self._fold(name): name for name in TREE}

    @staticmethod
    def _fold(name: str) -> str:
        return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())

    async def __call__(self, request: Request) -> Response:
        kept: list[str] = []
        for name in request.path.split("/"):
            if name == "..":
                kept = kept[:-1]
            elif name not in {"", "."}:
                kept.append(name)
        for name in ("/".join(kept), "/".join([*kept, "index.gmi"])):
            if found := self._files.get(self._fold(name)):
                return Success(found.encode())
        raise NotFound


def guards(name: str) -> str | None:
    """The zone of a file, told by its own name."""
    return max(
        (path for path in GUARDED if f"/{name}/".startswith(f"{path.rstrip('/')}/")), key=len, default=None
    )


def spell(name: str, dice: random.Random) -> str:
    """A path that may lead to a file."""
    if name.endswith("/index.gmi") and dice.random() < 0.5:
        name = name.removesuffix("index.gmi")
    parts = []
    for segment in name.split("/"):
        if dice.random() < 0.2:
            segment = dice.choice([str.upper, str.title, str.casefold, str.swapcase])(segment)
        if dice.random() < 0.2:
            segment = unicodedata.normalize(dice.choice(["NFC", "NFD"]), segment)
        text = "".join(
            "".join(f"%{byte:{dice.choice('xX')}}" if byte > 15 else f"%0{byte:x}" for byte in char.encode())
            if dice.random() < 0.2
            else quote(char)
            for char in segment
        )
        before = dice.choices(["", "./", "%2e/", "/", "x/../", "members/%2E%2e/"], [10, 1, 1, 1, 1, 1])[0]
        parts.append(before + text)
    path = "/"
    for part in parts:
        path += part + dice.choices(["/", "%2F", "%2f", "//"], [10, 1, 1, 1])[0]
    return path if name.endswith("/") else path[: path.rindex(parts[-1]) + len(parts[-1])]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("zones")
    for name in TREE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


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


PROGRAMS = [
    "admin.py", "plain", "index.py", "tool/index.cgi", "tool/other.sh", "tool/deep/x.pl", "wiki/index.sh",
    "wiki/a.b.py",
]  # fmt: skip


def names_of(program: str) -> Iterator[str]:
    """The paths by which an owner may call it."""
    yield f"/cgi-bin/{program}"
    folder, _, name = f"/cgi-bin/{program}".rpartition("/")
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            yield f"{folder}/{name.removesuffix(suffix)}"


def spell_call(program: str, dice: random.Random) -> str:
    """A path that may lead to a program."""
    *folders, name = program.split("/")
    if name in INDEX and dice.random() < 0.6:
        parts = [*folders, *dice.choice([[""], [], ["none"], ["none", "x"]])]
    else:
        stems = [name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)]
        parts = [*folders, dice.choice([name, *stems])]
    parts += dice.choice([[], [], [""], ["x"], ["x", "y"], ["", "x"], ["..%2F..%2F..%2Fx"], ["..%2fx", ""]])
    return "/".join(["", "cgi-bin", *parts])


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


def test_what_nobody_spells_strangely_has_one_zone() -> None:
    zones = Zones(map(zone, GUARDED), index=("index.gmi",))
    for name in TREE:
        guard = guards(name)
        covering = [zone.path for zone in zones.covering(ask(f"/{quote(name)}"))]
        assert covering == ([parse_path(guard)] if guard else []), name


# The handler


async def hello(request: Request) -> Response:
    return Success(b"hello")


async def test_the_handler_behind_is_asked_by_those_who_may() -> None:
    guard = Guard(Zones([zone("/members/", only(ADA), only(BOB))]), hello)
    for request in (ask("/"), ask("/x", EVE), ask("/members/", ADA), ask("/members/x", BOB, "titan")):
        assert await guard(request) == Success(b"hello")
    for request in (ask("/members/", BOB), ask("/members/x", ADA, "titan")):
        with pytest.raises(CertificateNotAuthorised):
            await guard(request)
    # Outside of zones, who takes uploads decides.
    assert await guard(ask("/x", None, "titan")) == Success(b"hello")


def test_to_write_the_zone_must_allow_it() -> None:
    zones = Zones([zone("/members/", EVERYBODY, only(BOB)), zone("/members/read-only/", ANY)])
    assert zones.admit(ask("/members/x"))
    assert zones.admit(ask("/members/x", BOB, "titan"))
    with pytest.raises(PermanentFailure, match=r"^nobody may upload here$"):
        zones.admit(ask("/members/read-only/x", BOB, "titan"))
    with pytest.raises(CertificateRequired):
        zones.admit(ask("/members/x", None, "titan"))


@pytest.mark.parametrize("scheme", ["gemini", "titan"])
def test_where_no_zone_is_it_is_said(scheme: str) -> None:
    assert not Zones([zone("/members/", only(ADA))]).admit(ask("/x", BOB, scheme))
    assert not Zones([]).admit(ask("/", None, scheme))


def test_all_zones_of_a_path_have_to_agree() -> None:
    zones = Zones([zone("/members/", only(ADA)), zone("/members/open/", EVERYBODY)])
    assert zones.admit(ask("/members/open/x"))
    with pytest.raises(CertificateRequired):  # on a disk that knows case, this is another folder
        zones.admit(ask("/members/OPEN/x"))
    assert zones.admit(ask("/members/OPEN/x", ADA))


def test_deep_paths() -> None:
    zones = Zones([zone("/" + "a/" * 500, only(ADA)), zone("/%C3%A9/", only(ADA))])
    path = "/" + "a/" * ((MAX_URI - len("gemini://localhost/")) // 2)
    assert len(zones.covering(ask(path))) == 1
    assert zones.covering(ask(f"/{'a/../' * 200}")) == []


# Files of fingerprints


def write(file: Path, *people: Identity, more: bytes = b"") -> Path:
    file.write_bytes("".join(f"{one.fingerprint} somebody\n" for one in people).encode() + more)
    return file


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are kept from the first look on, as old ones are."""
    monkeypatch.setattr(reread, "time", TomorrowsClock)


def test_a_file_counts_as_it_is_now(tmp_path: Path, settled: None) -> None:
    file = write(tmp_path / "members.txt", ADA, BOB)
    listed = FingerprintFile(file)
    assert [listed.has(one) for one in (ADA, BOB, EVE)] == [True, True, False]
    write(file, ADA)
    assert [listed.has(one) for one in (ADA, BOB, EVE)] == [True, False, False]
    write(file)
    assert listed.has(ADA) is False
    file.unlink()
    assert listed.has(ADA) is None
    write(file, EVE)
    assert [listed.has(one) for one in (ADA, EVE)] == [False, True]


def test_one_person_may_have_several(tmp_path: Path) -> None:
    new = f"{BOB.key_fingerprint} Ada # her new one, by its key\n".encode()
    listed = FingerprintFile(write(tmp_path / "members.txt", ADA, more=new))
    assert listed.has(ADA)
    assert listed.has(BOB)


def test_a_broken_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(tmp_path / "members.txt", ADA, more=b"# x\nsha256:12 Bob\n\xff\n")
    allowed, denied = FingerprintFile(file), FingerprintFile(file, is_complete=True)
    for _ in range(3):
        assert [allowed.has(one) for one in (ADA, BOB)] == [True, False]
        assert [denied.has(one) for one in (ADA, BOB)] == [True, None]  # it may have been meant for Bob
    what = "may mean anybody, so until it is mended all visitors with a certificate are answered with 40"
    assert [record.getMessage() for record in caplog.records] == [
        f"{file}: line {number} {meaning}: it {said}"
        for meaning in ("counts for nobody", what)
        for number, said in ((3, "must be a fingerprint, sha256: and 64 hex digits"), (4, "is not UTF-8"))
    ]
    write(file, ADA)
    assert denied.has(BOB) is False


# Authorities


def test_who_was_issued_by_an_authority(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    family = trustme.CA()
    family.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued = family.issue_cert("ada@example.org")
    now = [datetime.now(UTC)]
    listed = AuthorityFile(tmp_path / "ca.pem", lambda: now[0])
    ada = identify_pem(issued.cert_chain_pems[0].bytes())
    assert listed.has(ada) is True
    assert listed.has(identify(self_signed("Ada").certificate)) is False
    now[0] = END.replace(year=9000)
    for _ in range(3):
        assert listed.has(ada) is False
    [record] = caplog.records
    assert "lets nobody in by" in record.getMessage()
    assert "expired on" in record.getMessage()
    (tmp_path / "ca.pem").unlink()
    assert listed.has(ada) is None


# The whole server


def server_of(guarded: Zone, root: Path) -> Server:
    return Server({"localhost": Guard(Zones([guarded]), StaticFiles(root))})


async def test_revocation_reaches_sessions_that_are_resumed(tmp_path: Path, tree: Path) -> None:
    pair = self_signed("Ada")
    pem = tmp_path / "ada.pem"
    pem.write_bytes(pair.key_pem + pair.certificate_pem)
    ada = identify(pair.certificate)
    file = write(tmp_path / "members.txt", ada)
    server = server_of(zone("/members/", Grant(lists=(FingerprintFile(file),))), tree)
    context = stdlib_context(certificate=pem)
    session = None
    statuses = []
    async with listening(server) as address:
        for people in ([ada], [ada], [], [ada]):
            write(file, *people)
            transport = await trio.open_tcp_stream(*address)
            stream = trio.SSLStream(transport, context, server_hostname="localhost")
            if session:
                stream.session = session
            await stream.do_handshake()
            assert stream.session_reused == bool(session)
            await stream.send_all(b"gemini://localhost/members/a.gmi\r\n")
            answer = await read_all(stream)
            session = stream.session
            statuses.append(answer.status)
            await trio.aclose_forcefully(transport)
    assert statuses == [20, 20, 61, 20]


@pytest.mark.parametrize(
    ("pair", "status", "meta"),
    [
        (None, 60, "needs a client certificate"),
        (self_signed("Ada"), 61, identify(self_signed("Ada").certificate).fingerprint),
        (expired(), 62, "expired on"),
        (self_signed("later", not_before=END), 62, "not valid before"),
    ],
)
async def test_what_visitors_are_told(pair: Pair | None, status: int, meta: str, tree: Path) -> None:
    server = server_of(zone("/members/", only(BOB)), tree)
    answer = await ask_in_memory(server, [b"gemini://localhost/members/\r\n"], certificate=pair)
    assert answer.status == status
    assert re.search(meta, answer.meta or "")
    assert answer.body == b""


# Who may upload by certificate alone

WRITERS: list[tuple[str, Identity | None, bool]] = [  # path, who, whether
    ("/a.gmi", None, False),
    ("/a.gmi", ADA, False),  # in no zone
    ("/read/a.gmi", ADA, False),
    ("/ada/a.gmi", None, False),
    ("/ada/a.gmi", ADA, True),
    ("/ada/a.gmi", BOB, False),
    ("/any/a.gmi", None, False),
    ("/any/a.gmi", BOB, True),
    ("/any/a.gmi", EVE, False),  # kept out
    ("/all/a.gmi", None, False),  # who it is, nobody can tell
    ("/all/a.gmi", BOB, True),
    ("/token/a.gmi", ADA, False),
    ("/both/a.gmi", ADA, True),
    ("/both/a.gmi", BOB, False),
    ("/any/ada/a.gmi", ADA, True),
    ("/any/ada/a.gmi", BOB, False),
    ("/ANY/ada/a.gmi", BOB, False),
    ("/unknown/a.gmi", ADA, False),
]


@pytest.mark.parametrize(("path", "who", "may"), WRITERS)
def test_who_has_the_right_to_write_by_certificate(path: str, who: Identity | None, may: bool) -> None:
    token = Tokens(["open sesame"])
    zones = Zones(
        [
            Zone(("read",), EVERYBODY),
            Zone(("ada",), EVERYBODY, only(ADA)),
            Zone(("any",), EVERYBODY, ANY, deny=only(EVE).lists),
            Zone(("any", "ada"), EVERYBODY, only(ADA)),
            Zone(("all",), EVERYBODY, EVERYBODY),
            Zone(("token",), EVERYBODY, tokens=token),
            Zone(("both",), EVERYBODY, only(ADA), tokens=token),
            Zone(("unknown",), EVERYBODY, Grant(lists=(Unknown(),))),
        ]
    )
    assert zones.has_writer(ask(path, who, "titan")) is may
