import ast
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import pad19
from pad19.dispatch import texts
from pad19.dispatch.texts import MAX_PATH, MAX_TEXT, STATUSES, Wording, parse, texts_in
from pad19.dispatch.zones.lists import Fingerprints
from pad19.dispatch.zones.zone import Grant, Zone
from pad19.protocol.client import Client, Identity
from pad19.protocol.failure import (
    BadRequest,
    CertificateNotAuthorised,
    CertificateNotValid,
    CertificateRequired,
    CGIError,
    Failure,
    Gone,
    NotFound,
    PermanentFailure,
    ProxyError,
    SlowDown,
    TemporaryFailure,
)
from pad19.protocol.request import Request, parse_request
from pad19.protocol.response import MAX_META, Redirect, Reply, Response, Success, header
from pad19.protocol.status import Status
from pad19.routes.policy import Policy
from support.manual import blocks
from support.server import Server, ask_in_memory
from support.tls import expired

BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)
ADA = Identity(f"sha256:{'a' * 64}", f"sha256:{'b' * 64}", (), (), 1, BEGIN, END)
TEXTS = {status: f"{int(status)} of ours" for status in STATUSES}


def ask(path: str = "/a", who: Identity | None = None) -> Request:
    return parse_request(f"gemini://a.test{path}".encode(), Client(certificate=who))


def saying(answer: Response | Failure | type[Failure]) -> Callable[[Request], Awaitable[Response]]:
    """A handler with one answer for everybody."""

    async def handler(_request: Request) -> Response:
        if isinstance(answer, Failure | type):
            raise answer
        return answer

    return handler


async def said(
    answer: Response | Failure | type[Failure],
    request: Request | None = None,
    ours: dict[Status, str] | None = None,
) -> str:
    """The header that becomes of an answer."""
    handler = Wording(TEXTS if ours is None else ours, saying(answer))
    try:
        response = await handler(request or ask())
    except Failure as failure:
        return header(failure.status, str(failure)).decode()
    return header(response.status, response.meta).decode()


class NoEntry(NotFound):
    """As a route's author writes one: with arguments of its own."""

    def __init__(self, number: int, kind: str) -> None:
        super().__init__(number, kind)

    def __str__(self) -> str:
        return "no such {1} {0}".format(*self.args)


class Quiet(Gone):
    def __init__(self, _number: int, _kind: str) -> None:
        super().__init__()


ANSWERS = [  # what is answered, the header
    (NotFound, "51 51 of ours"),
    (NotFound(), "51 51 of ours"),
    (NotFound(""), "51 51 of ours"),
    (NotFound("not found"), "51 51 of ours"),
    (Quiet(1, "entry"), "52 52 of ours"),
    (BadRequest, "59 59 of ours"),
    (CertificateNotValid, "62 62 of ours"),
    (PermanentFailure("nobody may read this"), "50 50 of ours"),
    (TemporaryFailure("the file cannot be read now"), "40 40 of ours"),
    (CGIError("the program behind this page failed"), "42 42 of ours"),
    (ProxyError("the server behind this page took too long"), "43 43 of ours"),
    (Reply(Status.NOT_FOUND, ""), "51 51 of ours"),
    (Reply(Status.SERVER_UNAVAILABLE, " "), "41 41 of ours"),
    # Those who say something keep it.
    (NotFound("no such entry"), "51 no such entry"),
    (NotFound("not found\r\n20 text/gemini"), "51 not found 20 text/gemini"),
    (NoEntry(7, "entry"), "51 no such entry 7"),
    (Gone("Sold."), "52 Sold."),
    (BadRequest("the URI is too long once it is rewritten"), "59 the URI is too long once it is rewritten"),
    (CGIError("internal error, id 12ab34cd"), "42 internal error, id 12ab34cd"),
    (PermanentFailure("nobody may upload here"), "50 nobody may upload here"),
    (
        CertificateNotValid("this certificate expired on 2020-01-01"),
        "62 this certificate expired on 2020-01-01",
    ),
    (CertificateRequired("log in at /login"), "60 log in at /login"),
    (SlowDown(5), "44 5"),
    (Reply(Status.NOT_FOUND, "Not found"), "51 Not found"),
    (Reply(Status.GONE, "gone"), "52 gone"),
    # And what is no failure is left alone.
    (Success(b"a"), "20 text/gemini"),
    (Redirect("/b"), "30 /b"),
    (Reply(Status.INPUT, ""), "10 input"),
    (Reply(Status.SLOW_DOWN, ""), "44 slow down"),
]


@pytest.mark.parametrize(("answer", "line"), ANSWERS)
async def test_answers(answer: Response | Failure | type[Failure], line: str) -> None:
    assert await said(answer) == f"{line}\r\n"


async def test_a_status_without_a_text_keeps_its_words() -> None:
    assert await said(NotFound, ours={Status.GONE: "left"}) == "51 not found\r\n"
    assert await said(Reply(Status.NOT_FOUND, ""), ours={Status.GONE: "left"}) == "51 not found\r\n"


async def test_a_failure_that_is_raised_again_is_filled_in_again() -> None:
    handler = Wording({Status.NOT_FOUND: "not at {path}"}, saying(NotFound()))
    for path in ("/a", "/b"):
        assert await handler(ask(path)) == Reply(Status.NOT_FOUND, f"not at {path}")


async def test_a_response_keeps_its_body() -> None:
    handler = Wording({Status.NOT_FOUND: "none"}, saying(Reply(Status.NOT_FOUND, "", b"more")))
    assert await handler(ask()) == Reply(Status.NOT_FOUND, "none", b"more")


PATHS = [  # as sent, as it is told
    ("/a", "/a"),
    ("", "/"),
    ("/a?secret", "/a"),
    ("/café", "/caf%C3%A9"),
    ("/%0D%0A20%20text/gemini", "/%0D%0A20%20text/gemini"),
    ("/Send%20money%20to%20%E2%80%AEeve", "/Send%20money%20to%20%E2%80%AEeve"),
    ("/%7Bfingerprint%7D", "/%7Bfingerprint%7D"),
    ("/" + "a" * (MAX_PATH - 1), "/" + "a" * (MAX_PATH - 1)),
    ("/" + "a" * MAX_PATH, "/" + "a" * (MAX_PATH - 1) + "…"),
]


@pytest.mark.parametrize(("path", "told"), PATHS)
async def test_the_path_is_told_as_it_was_sent(path: str, told: str) -> None:
    ours = {Status.NOT_FOUND: "nothing is at {path}; {path, {} and } mean {themselves"}
    expected = f"51 nothing is at {told}; {{path, {{}} and }} mean {{themselves\r\n"
    assert await said(NotFound, ask(path), ours) == expected


REFUSALS = [  # the text, what is told to Ada
    ("only {fingerprint}s", f"only {ADA.fingerprint}s"),
    ("for the crew", f"for the crew ({ADA.fingerprint})"),
    ("not at {path}", f"not at /a ({ADA.fingerprint})"),
]


@pytest.mark.parametrize(("text", "told"), REFUSALS)
async def test_who_is_refused_learns_the_fingerprint(text: str, told: str) -> None:
    ours = {Status.CERTIFICATE_NOT_AUTHORISED: text, Status.NOT_FOUND: text}
    refusal = CertificateNotAuthorised(f"your certificate is not on the list: {ADA.fingerprint}")
    assert await said(refusal, ask(who=ADA), ours) == f"61 {told}\r\n"
    assert await said(CertificateNotAuthorised, ask(who=ADA), ours) == f"61 {told}\r\n"
    assert "-" in await said(CertificateNotAuthorised, ask(), ours)
    own = text.replace("{path}", "/a").replace("{fingerprint}", "-")
    assert await said(NotFound, ask(), ours) == f"51 {own}\r\n"  # only 61 needs it


async def test_words_about_another_certificate_are_kept() -> None:
    refusal = CertificateNotAuthorised(f"your certificate is not on the list: {ADA.key_fingerprint}")
    assert await said(refusal, ask(who=ADA)) == f"61 {refusal}\r\n"


GUARDS: list[tuple[str, Callable[[Client], None], Identity | None, str]] = [
    # what it is, a guard, who comes, the header
    ("any", Zone((), Grant(any_certificate=True)).admit, None, "60 60 of ours"),
    ("some", Zone((), Grant(lists=(Fingerprints([]),))).admit, None, "60 60 of ours"),
    ("not listed", Zone((), Grant(lists=(Fingerprints([]),))).admit, ADA, "61 61 of ours"),
    (
        "denied",
        Zone((), Grant(everybody=True), deny=(Fingerprints([ADA.fingerprint]),)).admit,
        ADA,
        "61 61 of ours",
    ),
    ("nobody", Zone((), Grant()).admit, ADA, "50 50 of ours"),
    ("a route", Policy(certificate=True).admit, None, "60 60 of ours"),
    ("a route's list", Policy(True, frozenset()).admit, ADA, "61 61 of ours"),
]


@pytest.mark.parametrize(("admit", "who", "line"), [pytest.param(*row[1:], id=row[0]) for row in GUARDS])
async def test_what_guards_say_is_replaced(
    admit: Callable[[Client], None], who: Identity | None, line: str
) -> None:
    request = ask(who=who)
    with pytest.raises(Failure) as caught:
        admit(request.client)
    if who is not None and line.startswith("61"):
        line += f" ({who.fingerprint})"
    assert await said(caught.value, request) == f"{line}\r\n"


def constants() -> set[str]:
    """All strings in the code but those of `texts`."""
    package = Path(pad19.__file__).parent
    return {
        node.value
        for path in package.rglob("*.py")
        if path.name != "texts.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_what_is_replaced_is_what_the_code_says() -> None:
    begins = {text.split(": ")[0] for text in texts._OWN}  # behind it are variables
    spoken = {text.split(": ")[0] for text in constants()}
    assert sorted(begins - spoken) == []


LANGUAGES = [  # capsule.lang, the text for 51 or None
    (None, None),
    ("en", None),
    ("en,de", None),
    ("nl", None),
    ("den", None),
    ("de", "nicht gefunden"),
    ("DE-ch,fr", "nicht gefunden"),
    ("fr", "page introuvable"),
    ("es-MX", "página no encontrada"),
]


@pytest.mark.parametrize(("lang", "text"), LANGUAGES)
def test_the_first_language_counts(lang: str | None, text: str | None) -> None:
    assert texts_in(lang).get(Status.NOT_FOUND) == text


@pytest.mark.parametrize("lang", ["de", "es", "fr"])
def test_translations_are_complete(lang: str) -> None:
    translation = texts_in(lang)
    assert translation.keys() == STATUSES
    for status, text in translation.items():
        assert parse(text) == text
        assert ("{fingerprint}" in text) == (status == Status.CERTIFICATE_NOT_AUTHORISED)


@pytest.mark.parametrize(("lang", "name"), [("de", "German"), ("fr", "French"), ("es", "Spanish")])
def test_the_manual_has_the_translations(lang: str, name: str) -> None:
    [table] = blocks("files/texts.gmi", f"texts in {name}")
    assert table.splitlines() == [f"{int(status)}  {text}" for status, text in texts_in(lang).items()]


def test_all_languages_are_tested() -> None:
    assert sorted(texts._TRANSLATIONS) == ["de", "es", "fr"]


def test_every_failure_but_one_can_have_a_text() -> None:
    assert sorted(map(int, STATUSES)) == [40, 41, 42, 43, 50, 51, 52, 53, 59, 60, 61, 62]


MISTAKES = [  # text, what it must
    ("", ""),
    (" ", ""),
    ("a\r\n", ""),
    ("a\x1b[31m", ""),
    ("a\u2028b", ""),
    ("{host}", "must have {path}, {fingerprint} or {reason} in braces, not {host}"),
    ("{path} {b} {a}", "must have {path}, {fingerprint} or {reason} in braces, not {a}"),
    ("a" * (MAX_TEXT + 1), f"must have at most {MAX_TEXT} bytes"),
    ("€" * (MAX_TEXT // 3 + 1), f"must have at most {MAX_TEXT} bytes"),
    ("{path}{path}{path}{path}", f"must have at most {MAX_TEXT} bytes with the longest path"),
]


@pytest.mark.parametrize(("text", "must"), MISTAKES)
def test_mistakes(text: str, must: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(must)}{'' if must else '$'}"):
        parse(text)


@pytest.mark.parametrize("text", ["a" * MAX_TEXT, "{path}{path}{path}" + "€" * 57, "{fingerprint}" * 13])
async def test_the_longest_text_arrives_whole(text: str) -> None:
    request = ask("/" + "a" * 900, replace(ADA, fingerprint=f"sha256:{'f' * 64}"))
    line = await said(CertificateNotAuthorised, request, {Status.CERTIFICATE_NOT_AUTHORISED: parse(text)})
    assert "f" * 64 in line
    assert line.removesuffix("\r\n").endswith(("f", ")"))
    assert len(line.encode()) <= len("61 \r\n") + MAX_META


async def test_a_text_in_the_language_of_a_capsule() -> None:
    german = dict(texts_in("de"))
    assert await said(NotFound, ours=german) == "51 nicht gefunden\r\n"
    refusal = CertificateNotAuthorised(f"your certificate is not let in here: {ADA.fingerprint}")
    assert (
        await said(refusal, ask(who=ADA), german)
        == f"61 dieses Zertifikat ist hier nicht zugelassen: {ADA.fingerprint}\r\n"
    )


# Reasons

REASONS = [  # what is answered, the header with a text that has only the reason
    (CGIError("the program behind this page failed"), "42 it says: the program behind this page failed"),
    (NotFound, "51 it says: not found"),
    (CertificateNotValid, "62 it says: certificate not valid"),
    (Reply(Status.GONE, ""), "52 it says: gone"),
]


@pytest.mark.parametrize(("answer", "line"), REASONS)
async def test_reasons(answer: Response | Failure | type[Failure], line: str) -> None:
    assert await said(answer, ours=dict.fromkeys(STATUSES, "it says: {reason}")) == f"{line}\r\n"


# Certificates that are not valid, whoever they are for

OLD = expired()
PROBLEM = f"this certificate expired on {OLD.certificate.not_valid_after_utc:%Y-%m-%d}"
INVALID: list[tuple[Mapping[Status, str], str]] = [  # texts, the header
    ({}, PROBLEM),
    ({Status.NOT_FOUND: "nothing"}, PROBLEM),
    ({Status.CERTIFICATE_NOT_VALID: "renew it"}, "renew it"),
    ({Status.CERTIFICATE_NOT_VALID: "renew it for {path}: {reason}"}, f"renew it for /a: {PROBLEM}"),
    (texts_in("de"), f"dieses Zertifikat ist nicht gültig ({PROBLEM})"),
    (texts_in("fr"), f"ce certificat n'est pas valide ({PROBLEM})"),
    (texts_in("es"), f"este certificado no es válido ({PROBLEM})"),
]


@pytest.mark.parametrize(("ours", "line"), INVALID)
@pytest.mark.parametrize("scheme", ["gemini", "titan"])
async def test_certificates_that_are_not_valid(ours: Mapping[Status, str], line: str, scheme: str) -> None:
    answered = saying(Success(b"a"))
    server = Server({"localhost": Wording(ours, answered) if ours else answered}, uploads=True)
    answer = await ask_in_memory(server, [f"{scheme}://localhost/a\r\n".encode()], certificate=OLD)
    assert answer.received.decode() == f"62 {line}\r\n"
    assert answer.clean


async def test_a_token_is_not_repeated_to_who_comes_with_an_old_certificate() -> None:
    wording = Wording({Status.CERTIFICATE_NOT_VALID: "not for {path}"}, saying(NotFound))
    there = Server({"localhost": wording}, uploads=True)
    line = b"titan://localhost/a;size=0;token=secret\r\n"
    answer = await ask_in_memory(there, [line], certificate=OLD)
    assert answer.received == b"62 not for /a;size=0;token=...\r\n"
