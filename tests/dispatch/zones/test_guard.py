"""Zones: who may, and which zones cover a path."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from pad19.content.static import StaticFiles
from pad19.dispatch.zones.guard import Guard, Zones
from pad19.dispatch.zones.lists import FingerprintFile, Fingerprints
from pad19.dispatch.zones.tokens import Tokens
from pad19.dispatch.zones.zone import Grant, Zone
from pad19.protocol.client import Client, Identity
from pad19.protocol.failure import (
    CertificateNotAuthorised,
    CertificateRequired,
    Failure,
    PermanentFailure,
    TemporaryFailure,
)
from pad19.protocol.request import MAX_URI, Request
from pad19.protocol.response import Response, Success
from pad19.tls.identity import identify
from support.server import Server, ask_in_memory, listening, read_all, stdlib_context
from support.tls import Pair, expired, self_signed
from support.zones import ADA, ANY, BOB, END, EVE, EVERYBODY, NOBODY, Unknown, ask, only, write, zone

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
