import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pad19.protocol.response import (
    MAX_META,
    Input,
    Redirect,
    Reply,
    Response,
    SensitiveInput,
    Success,
    header,
)
from pad19.protocol.status import Status
from pad19.protocol.uri import parse

# Hypothesis limits the time of an example; a busy machine must not fail a test for it.
relaxed = settings(deadline=None, max_examples=200)

CLEANED = [status for status in Status if not 20 <= status < 40]
REDIRECTS = [Status.TEMPORARY_REDIRECT, Status.PERMANENT_REDIRECT]


def assert_is_one_line(line: bytes, status: Status) -> str:
    """Check a header against the grammar (section "Responses"); give back what stands behind the status."""
    text = line.decode()  # strict: never cut inside a character
    assert text.endswith("\r\n")
    assert len(line) <= 1029
    text = text[:-2]
    assert text.startswith(f"{status:d} ")
    meta = text[3:]
    assert meta
    assert not meta.startswith(" ")
    assert "\ufeff" not in text
    assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(char) for char in text}
    assert len(text.splitlines()) == 1
    return meta


# Prompts and errormsgs

TEXTS = [  # text, what the client sees
    ("Your name?", "Your name?"),
    ("  Your  name? ", "Your  name?"),
    ("café ☕", "café ☕"),
    ("a\r\nb", "a b"),
    ("a\nb\rc\td", "a b c d"),
    ("\r\n20 text/gemini\r\n# Mine", "20 text/gemini # Mine"),
    ("a\0\x1b[31mb\x7fc", "a [31mb c"),
    ("a\x85b\x9bc", "a b c"),
    ("a\u2028b\u2029c", "a b c"),
    ("\ufeffa\ufeff", "a"),
    ("a\ud800b", "a b"),
    ("a\udcffb", "a b"),  # how os.fsdecode() spells a byte that is not UTF-8
    ("👩\u200d🚀", "👩\u200d🚀"),  # a joiner is printable text
    ("x" * 1024, "x" * 1024),
    ("x" * 1025, "x" * 1024),
    ("x" * 100_000, "x" * 1024),
    ("é" * 600, "é" * 512),
    ("x" + "é" * 600, "x" + "é" * 511),
    ("x" * 1022 + "☕", "x" * 1022),
    ("x" * 1021 + "☕", "x" * 1021 + "☕"),
    ("🚀" * 300, "🚀" * 256),
]


@pytest.mark.parametrize("status", [Status.INPUT, Status.NOT_FOUND])
@pytest.mark.parametrize(("text", "shown"), TEXTS, ids=lambda text: ascii(text)[:40])
def test_texts_are_cleaned(status: Status, text: str, shown: str) -> None:
    line = header(status, text)
    assert line == f"{status:d} {shown}\r\n".encode()
    assert assert_is_one_line(line, status) == shown


@pytest.mark.parametrize("text", ["", " ", "\r\n", "\0", "\ufeff", "\ud800", "\u3000", "\n" * 5000])
def test_an_empty_text_becomes_the_name_of_the_status(text: str) -> None:
    assert header(Status.NOT_FOUND, text) == b"51 not found\r\n"
    assert header(Status.SENSITIVE_INPUT, text) == b"11 sensitive input\r\n"


@relaxed
@given(st.sampled_from(CLEANED), st.text())
@example(Status.INPUT, "\r\n")
@example(Status.INPUT, "🚀" * 257)
def test_any_text_makes_one_line(status: Status, text: str) -> None:
    assert_is_one_line(header(status, text), status)


INJECTIONS = [
    "\r\n",
    "\r",
    "\n",
    "\n\r",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x85",
    "\u2028",
    "\0",
    "\ud800",
    "\ufeff",
    " ",
]


@relaxed
@given(st.sampled_from(Status), st.text(), st.sampled_from(INJECTIONS), st.text())
@example(Status.SUCCESS, "text/gemini", "\r\n", "# Mine")
@example(Status.SUCCESS, "text/gemini; lang=en", "\n", "")
@example(Status.SUCCESS, "", "\n", "text/gemini")
@example(Status.TEMPORARY_REDIRECT, "/", "\r\n", "20 text/gemini\r\n")
@example(Status.PERMANENT_REDIRECT, "gemini://h", "\n", "")
def test_nothing_injects_a_line(status: Status, before: str, injection: str, after: str) -> None:
    try:
        line = header(status, before + injection + after)
    except ValueError as error:
        shown = str(error)
    else:
        assert_is_one_line(line, status)
        return
    assert 20 <= status < 40
    assert shown.isprintable()  # it goes to a log


@relaxed
@given(st.text("xé☕🚀", min_size=1025, max_size=1030))
def test_a_long_text_is_cut_between_characters(text: str) -> None:
    meta = assert_is_one_line(header(Status.INPUT, text), Status.INPUT)
    assert text.startswith(meta)
    assert MAX_META - 3 <= len(meta.encode()) <= MAX_META  # as much of it as fits


# Types


@pytest.mark.parametrize(
    "mimetype",
    [
        "text/gemini",
        "text/gemini; charset=utf-8",
        "text/gemini;lang=en",
        'text/gemini; lang="en,fr"',
        "text/plain ; charset=us-ascii",
        "application/octet-stream",
        "application/vnd.oasis.opendocument.text",
        "image/svg+xml",
        "a/b; c=" + "d" * 1000,
    ],
)
def test_a_type_is_written_as_it_is(mimetype: str) -> None:
    assert header(Status.SUCCESS, mimetype) == f"20 {mimetype}\r\n".encode()


@pytest.mark.parametrize(
    "mimetype",
    [
        "",
        " ",
        "text",
        "text/",
        "/gemini",
        "text/gemini/x",
        "text/gemini lang=en",
        "text/gemini, text/plain",
        " text/gemini",
        "text/gemini\r\n",
        "text/gemini\r\nx",
        "text/gemini\n",
        "text/gemini;\r\nx",
        "text/gemini;\tlang=en",
        "text/gemini\t;lang=en",
        "text/gemini; lang=\x7f",
        "text/gemini; lang=é",
        "tëxt/gemini",
        "text/gemini\0",
        "text/gemini; lang=\x85",
        "\ufefftext/gemini",
        "text/\ud800",
        "a/b; c=" + "d" * 1018,
        "a/" + "b" * 2048,
        "a/b" + " " * 2048,
    ],
    ids=lambda text: ascii(text)[:40],
)
def test_a_wrong_type_is_an_error(mimetype: str) -> None:
    with pytest.raises(ValueError, match="is not a MIME type"):
        header(Status.SUCCESS, mimetype)


# Targets


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize(
    ("target", "written"),
    [
        ("/", "/"),
        ("/a/b?c#d", "/a/b?c#d"),
        ("a", "a"),
        ("../a/", "../a/"),
        ("?", "?"),
        ("?q", "?q"),
        ("//h/a", "//h/a"),
        ("gemini://h/a%20b", "gemini://h/a%20b"),
        ("Gemini://H:1965/", "gemini://h:1965/"),
        ("https://h/", "https://h/"),
        ("mailto:a@h", "mailto:a@h"),
        ("/café?ü", "/caf%C3%A9?%C3%BC"),
        ("gemini://café.example/", "gemini://xn--caf-dma.example/"),
        ("/a\u2028b\ufeff", "/a%E2%80%A8b%EF%BB%BF"),
        ("/" + "x" * 1023, "/" + "x" * 1023),
    ],
    ids=lambda text: ascii(text)[:40],
)
def test_a_target_is_written_as_a_uri(status: Status, target: str, written: str) -> None:
    line = header(status, target)
    assert line == f"{status:d} {written}\r\n".encode()
    assert assert_is_one_line(line, status) == written


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize(
    "target",
    [
        "",
        " ",
        "/a b",
        " /a",
        "/a ",
        "/a\r\n",
        "/a\r\n20 text/gemini\r\n",
        "/a\n",
        "/a\tb",
        "/a\0",
        "/a\x7f",
        "/a\x85",
        "/a\ud800",
        "/a\\b",
        "/%",
        "/%zz",
        "a b:c",
        "1:2",
        "gemini://",
        "gemini:///a",
        "gemini://h:0/",
        "gemini://h:99999/",
        "gemini://a@b@c/",
        "gemini://a..b/",
        "/" + "x" * 1024,
        "/" + "é" * 400,  # 401 characters, 2401 bytes once encoded
    ],
    ids=lambda text: ascii(text)[:40],
)
def test_a_wrong_target_is_an_error(status: Status, target: str) -> None:
    with pytest.raises(ValueError, match="redirect target"):
        header(status, target)


@relaxed
@given(st.sampled_from(REDIRECTS), st.text().map(lambda text: f"/{text}"))
def test_any_target_is_one_line_of_ascii_or_an_error(status: Status, target: str) -> None:
    try:
        line = header(status, target)
    except ValueError:
        return
    meta = assert_is_one_line(line, status)
    assert meta.isascii()
    assert parse(meta) == parse(target)


# Values


@pytest.mark.parametrize(
    ("response", "line", "body"),
    [
        (Input("Name?"), b"10 Name?\r\n", b""),
        (SensitiveInput("Word?"), b"11 Word?\r\n", b""),
        (Success(b"# Pad 19\n"), b"20 text/gemini\r\n", b"# Pad 19\n"),
        (Success(b"x", "text/plain"), b"20 text/plain\r\n", b"x"),
        (Redirect("/a"), b"30 /a\r\n", b""),
        (Redirect("/a", permanent=True), b"31 /a\r\n", b""),
        (Reply(Status.GONE, "gone"), b"52 gone\r\n", b""),
        (Reply(Status.SUCCESS, "text/plain", b"x"), b"20 text/plain\r\n", b"x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_response_has_status_meta_and_body(response: Response, line: bytes, body: bytes) -> None:
    assert header(response.status, response.meta) == line
    assert response.body == body


def test_every_status_has_a_header() -> None:
    metas = {Status.SUCCESS: "text/gemini", **dict.fromkeys(REDIRECTS, "/")}
    for status in Status:
        assert_is_one_line(header(status, metas.get(status, "")), status)
