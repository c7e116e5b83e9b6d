"""Who may upload: zones, tokens, neither of them."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from pad19.content.uploads import Terms
from pad19.dispatch.rewriting import Alias, Rewriting
from pad19.dispatch.zones.guard import Guard, Zones
from pad19.dispatch.zones.intake import ByScheme, Intake, UploadTerms
from pad19.dispatch.zones.lists import Fingerprints
from pad19.dispatch.zones.tokens import Tokens
from pad19.dispatch.zones.zone import Grant, Zone
from pad19.protocol.client import Client
from pad19.protocol.failure import CertificateNotAuthorised, Failure, NotFound
from pad19.protocol.pattern import Pattern, Template
from pad19.protocol.request import Request, parse_request
from pad19.protocol.response import Response, Success
from pad19.testing import identity
from support.uploads import edit, upload

NOBODY, ADA, EVE = Client(), Client(certificate=identity("Ada")), Client(certificate=identity("Eve"))
LISTED = Fingerprints([identity("Ada").fingerprint])
UNWANTED = Fingerprints([identity("Eve").fingerprint])
EVERYBODY, ANYBODY = Grant(everybody=True), Grant(any_certificate=True)
TOKENS = Tokens(["open sesame"])
SMALL, LARGE = Terms(10, ("text/*",)), Terms(100, ("*/*",))

ZONES = Zones(
    [
        Zone(("read",), EVERYBODY),
        Zone(("open",), EVERYBODY, EVERYBODY),
        Zone(("any",), EVERYBODY, ANYBODY, (UNWANTED,)),
        Zone(("ada",), EVERYBODY, Grant(lists=(LISTED,))),
        Zone(("token",), EVERYBODY, tokens=TOKENS),
        Zone(("both",), EVERYBODY, Grant(lists=(LISTED,)), tokens=TOKENS),
        Zone(("box",), Grant(lists=(LISTED,)), EVERYBODY),  # everybody may put something in, Ada looks
        Zone(("kept out",), EVERYBODY, deny=(UNWANTED,), tokens=TOKENS),
    ]
)


async def inner(request: Request) -> Response:
    assert request.upload
    return Success(request.path.encode())


async def visited(request: Request) -> Response:
    return Success(b"visited")


def handler(zones: Zones = ZONES, tokens: Tokens = TOKENS, terms: Sequence[Terms] = ()) -> Guard:
    names = ("read", "open", "any", "ada", "token", "both", "box", "kept out")
    by_zone: dict[tuple[str, ...], Terms] = {(name,): LARGE if name == "open" else SMALL for name in names}
    return Guard(
        zones,
        ByScheme(visited, Intake(zones, tokens, UploadTerms(zones, SMALL, by_zone), inner)),
    )


async def status(request: Request, **options: Tokens) -> int:
    try:
        return int((await handler(**options)(request)).status)  # type: ignore[arg-type]  # tokens, where given
    except Failure as failure:
        return int(failure.status)


ROWS: list[tuple[str, Client, str | None, int]] = [  # path, client, token, status
    ("/a.gmi", NOBODY, None, 50),
    ("/a.gmi", ADA, None, 50),  # a certificate says nothing outside of zones
    ("/a.gmi", NOBODY, "wrong one", 50),
    ("/a.gmi", NOBODY, "open sesame", 20),
    ("/read/a.gmi", NOBODY, None, 50),
    ("/read/a.gmi", ADA, "open sesame", 50),  # the capsule's token is for what lies in no zone
    ("/open/a.gmi", NOBODY, None, 20),
    ("/open/a.gmi", ADA, "anything", 20),
    ("/any/a.gmi", NOBODY, None, 60),
    ("/any/a.gmi", ADA, None, 20),
    ("/any/a.gmi", EVE, None, 61),
    ("/any/a.gmi", NOBODY, "open sesame", 60),
    ("/ada/a.gmi", NOBODY, None, 60),
    ("/ada/a.gmi", EVE, None, 61),
    ("/ada/a.gmi", ADA, None, 20),
    ("/token/a.gmi", NOBODY, None, 50),
    ("/token/a.gmi", ADA, None, 50),
    ("/token/a.gmi", NOBODY, "wrong one", 50),
    ("/token/a.gmi", ADA, "wrong one", 50),
    ("/token/a.gmi", NOBODY, "open sesame", 20),
    ("/token/a.gmi", EVE, "open sesame", 20),
    ("/both/a.gmi", NOBODY, None, 60),
    ("/both/a.gmi", NOBODY, "wrong one", 50),
    ("/both/a.gmi", EVE, None, 61),
    ("/both/a.gmi", EVE, "open sesame", 20),
    ("/both/a.gmi", ADA, None, 20),
    ("/both/a.gmi", ADA, "wrong one", 20),  # a client may send one that it remembers
    ("/box/a.gmi", NOBODY, None, 20),
    ("/kept%20out/a.gmi", EVE, "open sesame", 61),
    ("/kept%20out/a.gmi", ADA, "open sesame", 20),
    ("/TOKEN/a.gmi", NOBODY, None, 50),
    ("/token//a.gmi", NOBODY, None, 50),
    ("/x/../token/a.gmi", NOBODY, None, 50),
    ("/token%2Fa.gmi", NOBODY, "wrong one", 50),
]


@pytest.mark.parametrize(("path", "client", "token", "expected"), ROWS)
async def test_who_may_upload(path: str, client: Client, token: str | None, expected: int) -> None:
    assert await status(upload(path, b"x", token=token, client=client)) == expected


async def test_the_zones_are_asked_whoever_has_let_it_pass_before() -> None:
    intake = Intake(ZONES, TOKENS, UploadTerms(ZONES, SMALL, {("ada",): SMALL}), inner)
    assert await intake(upload("/ada/a.gmi", b"x", client=ADA)) == Success(b"/ada/a.gmi")
    with pytest.raises(CertificateNotAuthorised):
        await intake(upload("/ada/a.gmi", b"x", client=EVE))
    # What brings something wants to write, whatever it calls itself.
    with pytest.raises(CertificateNotAuthorised):
        await intake(replace(upload("/ada/a.gmi", b"x", client=EVE), scheme="gemini"))


async def test_without_a_zone_or_a_token_nobody_may() -> None:
    for request in (
        upload("/a.gmi", b"x", token="open sesame", client=ADA),
        upload("/a.gmi"),
        edit("/a.gmi"),
    ):
        with pytest.raises(Failure, match=r"^nobody may upload here$") as caught:
            await Guard(Zones([]), Intake(Zones([]), Tokens(), UploadTerms(Zones([]), SMALL, {}), inner))(
                request
            )
        assert caught.value.status == 50


EDITS = [  # path, client, status
    ("/a.gmi", NOBODY, 20),  # a token cannot come along: it is asked for when something is uploaded
    ("/read/a.gmi", NOBODY, 50),
    ("/open/a.gmi", NOBODY, 20),
    ("/ada/a.gmi", NOBODY, 60),
    ("/ada/a.gmi", EVE, 61),
    ("/ada/a.gmi", ADA, 20),
    ("/token/a.gmi", NOBODY, 20),
    ("/box/a.gmi", NOBODY, 60),  # who may write need not be allowed to read
    ("/box/a.gmi", EVE, 61),
    ("/box/a.gmi", ADA, 20),
    ("/kept%20out/a.gmi", EVE, 61),
]


@pytest.mark.parametrize(("path", "client", "expected"), EDITS)
async def test_who_may_edit(path: str, client: Client, expected: int) -> None:
    assert await status(edit(path, client)) == expected


TERMS = [  # path, type, size, status
    ("/a.gmi", "text/plain", 10, 20),
    ("/a.gmi", "text/plain", 11, 59),
    ("/a.gmi", "image/png", 1, 59),
    ("/open/a.png", "image/png", 100, 20),
    ("/open/a.png", "image/png", 101, 59),
    ("/OPEN/a.png", "image/png", 100, 20),
]


@pytest.mark.parametrize(("path", "mime", "size", "expected"), TERMS)
async def test_what_may_be_uploaded(path: str, mime: str, size: int, expected: int) -> None:
    request = upload(path, size=size, mime=mime, token="open sesame")
    assert await status(request) == expected


def test_terms_of_several_readings() -> None:
    zones = Zones([Zone(("a",), EVERYBODY, EVERYBODY), Zone(("A",), EVERYBODY, EVERYBODY)])
    terms = UploadTerms(zones, SMALL, {("a",): SMALL, ("A",): LARGE})
    assert terms(upload("/b.gmi", b"x")) == [SMALL]
    assert set(terms(upload("/a/b.gmi", b"x"))) == {SMALL, LARGE}


async def test_without_an_upload_there_is_nothing_to_take() -> None:
    request = parse_request(b"gemini://localhost/a.gmi", NOBODY)
    assert await handler()(request) == Success(b"visited")
    with pytest.raises(NotFound):
        await Intake(ZONES, TOKENS, UploadTerms(ZONES, SMALL, {}), inner)(request)


async def test_a_rewrite_keeps_the_upload() -> None:
    rules = [(Pattern.parse("/short/{name}"), Alias(Template.parse("/open/{name}")))]
    request = upload("/short/a.gmi", b"x")
    response = await Rewriting(rules, handler())(request)
    assert response == Success(b"/open/a.gmi")
    assert await status(replace(request, upload=None, scheme="gemini")) == 20
