"""Names to types, and parameters written one way however they came."""

import pytest

from pad19.content.mimetype import (
    MAX_MIMETYPE,
    MimeTypes,
    normalize,
    normalize_parameters,
    with_parameters,
)
from pad19.protocol.response import header
from pad19.protocol.status import Status

GUESSED = [
    ("index.gmi", "text/gemini"),
    ("index.gemini", "text/gemini"),
    ("INDEX.GMI", "text/gemini"),
    ("a.nl.gmi", "text/gemini"),
    (".gmi", "text/gemini"),
    ("a.md", "text/markdown"),
    ("feed.atom", "application/atom+xml"),
    ("feed.rss", "application/rss+xml"),
    ("feed.xml", "text/xml"),
    ("a.txt", "text/plain"),
    ("a.json", "application/json"),
    ("a.webp", "image/webp"),
    ("a.avif", "image/avif"),
    ("a.jxl", "image/jxl"),
    ("a.svg", "image/svg+xml"),
    ("a.png", "image/png"),
    ("a.ogg", "audio/ogg"),
    ("a.opus", "audio/ogg"),
    ("a.flac", "audio/flac"),
    ("a.mp3", "audio/mpeg"),
    ("a.m4a", "audio/mp4"),
    ("a.mp4", "video/mp4"),
    ("a.webm", "video/webm"),
    ("a.pdf", "application/pdf"),
    ("a.epub", "application/epub+zip"),
    ("a.gpub", "application/gpub+zip"),
    ("a.zip", "application/zip"),
    ("a.gz", "application/gzip"),
    ("a.tar.gz", "application/gzip"),
    ("a.txt.gz", "application/gzip"),
    ("a.zst", "application/zstd"),
    ("a.xz", "application/x-xz"),
    ("a.bz2", "application/x-bzip2"),
    ("a.7z", "application/x-7z-compressed"),
    ("a.tar", "application/x-tar"),
    ("a.woff2", "font/woff2"),
    ("a.py", "text/x-python"),
    ("a.toml", "text/plain"),
    ("key.asc", "text/plain"),
    ("a.sig", "application/pgp-signature"),
    ("a.ics", "text/calendar"),
    ("a.csv", "text/csv"),
    ("a.html", "text/html"),
    ("a.css", "text/css"),
    ("a.js", "text/javascript"),
    ("a.wasm", "application/wasm"),
    ("README", "text/plain"),
    ("LICENSE", "text/plain"),
    ("Makefile", "text/plain"),
    ("", "application/octet-stream"),
    (".", "application/octet-stream"),
    ("a.", "application/octet-stream"),
    ("a.gmi.", "application/octet-stream"),
    ("a.unheard-of", "application/octet-stream"),
    ("gmi", "application/octet-stream"),
    ("a.gmi\n", "application/octet-stream"),
    ("a.\xb2", "application/octet-stream"),
]


@pytest.mark.parametrize(("name", "mimetype"), GUESSED)
def test_type_is_guessed_from_the_name(name: str, mimetype: str) -> None:
    assert MimeTypes().of(name) == mimetype


COMPLETED = [  # lang, charset, name, type
    ("en", None, "a.gmi", "text/gemini; lang=en"),
    ("en,fr", None, "a.gmi", 'text/gemini; lang="en,fr"'),
    ("en-US, zh-Hant-TW", None, "a.gmi", 'text/gemini; lang="en-US,zh-Hant-TW"'),
    ("en", None, "a.txt", "text/plain"),
    ("en", None, "a.png", "image/png"),
    (None, "iso-8859-1", "a.txt", "text/plain; charset=iso-8859-1"),
    (None, "iso-8859-1", "README", "text/plain; charset=iso-8859-1"),
    (None, "iso-8859-1", "a.py", "text/x-python; charset=iso-8859-1"),
    (None, "iso-8859-1", "a.png", "image/png"),
    (None, "iso-8859-1", "a.bin", "application/octet-stream"),
    ("en", "utf-8", "a.gmi", "text/gemini; charset=utf-8; lang=en"),
]


@pytest.mark.parametrize(("lang", "charset", "name", "mimetype"), COMPLETED)
def test_type_is_completed(lang: str | None, charset: str | None, name: str, mimetype: str) -> None:
    assert MimeTypes(lang=lang, charset=charset).of(name) == mimetype


OVERRIDDEN = [
    ("a.cpp", "text/plain; charset=utf-8"),
    ("A.H", "text/plain; charset=utf-8"),
    ("a.b.x", "application/x; a=b"),
    ("a.tar.gz", "application/x-gtar"),
    ("a.txt.gz", "application/gzip"),
    ("robots.txt", "text/x-robots; charset=us-ascii"),
    ("norobots.txt", "text/plain; charset=utf-8"),
    ("nl.gmi", "text/gemini; lang=nl; charset=utf-8"),
    ("Jarfile", "application/x-jar"),
    ("readme", "text/markdown; charset=utf-8"),
]


@pytest.mark.parametrize(("name", "mimetype"), OVERRIDDEN)
def test_longest_override_wins(name: str, mimetype: str) -> None:
    overrides = {
        "cpp": "text/plain",
        ".H": "TEXT/plain",
        "x": "application/x ;a=b",
        "tar.gz": "application/x-gtar",
        "robots.txt": "text/x-robots; charset=us-ascii",
        "nl.gmi": 'text/gemini; lang="nl"',
        "Jarfile": "application/x-jar",
        "README": "text/markdown",
    }
    assert MimeTypes(overrides, lang="en", charset="utf-8").of(name) == mimetype


@pytest.mark.parametrize(
    "lang", ["", "en,", "e n", "english-language-", "en_US", "en\r\n", "abcdefghi", '"en"']
)
def test_malformed_lang_is_refused(lang: str) -> None:
    with pytest.raises(ValueError, match="not a list of language tags"):
        MimeTypes(lang=lang)


@pytest.mark.parametrize("charset", ["", "utf 8", "utf-8\n", "utf-8;a=b", "\xfctf-8", "a" * 41])
def test_malformed_charset_is_refused(charset: str) -> None:
    with pytest.raises(ValueError, match="not the name of a charset"):
        MimeTypes(charset=charset)


NO_OVERRIDES = [
    ({"": "text/plain"}, "'' is neither"),
    ({".": "text/plain"}, r"'\.' is neither"),
    ({"a/b": "text/plain"}, "'a/b' is neither"),
    ({"a\n": "text/plain"}, r"'a\\n' is neither"),
    ({"cpp": "text/plain", ".CPP": "text/x-c"}, r"'\.CPP' is given twice"),
    ({"cpp": "plain"}, "the type of 'cpp': 'plain' is not a MIME type"),
    ({"cpp": ""}, "the type of 'cpp'"),
    ({"cpp": "text/plain; charset"}, "the type of 'cpp': '; charset' is not a list of parameters"),
    ({"cpp": "text/plain\r\n31 /x"}, "the type of 'cpp'"),
    ({"cpp": f"text/plain; a={'a' * MAX_MIMETYPE}"}, "longer than 500 bytes"),
]


@pytest.mark.parametrize(("overrides", "message"), NO_OVERRIDES)
def test_malformed_override_is_refused(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MimeTypes(overrides)


WRITTEN = [
    ("text/plain", "text/plain"),
    (" Text/Plain ", "text/plain"),
    ("text/plain;charset=UTF-8", "text/plain; charset=UTF-8"),
    ('text/plain ; CHARSET="utf-8" ', "text/plain; charset=utf-8"),
    ("text/gemini; lang=en,fr", 'text/gemini; lang="en,fr"'),
    ('text/gemini;lang="en,fr";charset=utf-8', 'text/gemini; lang="en,fr"; charset=utf-8'),
    ("text/plain;", "text/plain"),
    ("text/plain; ;a=b;;", "text/plain; a=b"),
    (r'a/b; c="\"\\;d"', r'a/b; c="\"\\;d"'),
    (r'a/b; c="\d"', "a/b; c=d"),
    ("a/b; c=d\\", r'a/b; c="d\\"'),
    ('a/b; c=""', 'a/b; c=""'),
    ("a/b; c=1; C=2", "a/b; c=2"),
    ("a/b; c=d=e", 'a/b; c="d=e"'),
    ("application/ld+json", "application/ld+json"),
]


@pytest.mark.parametrize(("given", "written"), WRITTEN)
def test_type_is_written_one_way(given: str, written: str) -> None:
    assert normalize(given) == written
    assert normalize(written) == written
    assert header(Status.SUCCESS, written) == f"20 {written}\r\n".encode()


MALFORMED = [
    "",
    "text",
    "text/",
    "/plain",
    "text/plain/x",
    "text /plain",
    "text/pl\xe4in",
    "text/plain\n",
    "text/plain charset=utf-8",
    "text/plain; charset",
    "text/plain; charset=",
    "text/plain; =utf-8",
    "text/plain; charset =utf-8",
    "text/plain; charset=utf 8",
    'text/plain; charset="utf-8',
    'text/plain; charset="utf-8"x',
    'text/plain; charset=u"tf"',
    'text/plain; charset="\\',
    'text/plain; charset="a\tb"',
    "text/plain; charset=utf-8\r\n",
    "text/plain; charset=\xfctf-8",
    f"text/{'a' * 128}",
]


@pytest.mark.parametrize("mimetype", MALFORMED)
def test_malformed_type_is_refused(mimetype: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        normalize(mimetype)
    with pytest.raises(ValueError, match="is not a"):
        with_parameters(mimetype, ";a=b")


JOINED = [  # type, parameters, together
    ("text/gemini", ";lang=en ;charset=us-ascii", "text/gemini; lang=en; charset=us-ascii"),
    ("text/gemini; lang=en", ";LANG=nl", "text/gemini; lang=nl"),
    ("text/gemini; charset=utf-8; lang=en", "; charset=us-ascii", "text/gemini; charset=us-ascii; lang=en"),
    ("text/gemini; lang=en", ";lang=de,nl", 'text/gemini; lang="de,nl"'),
    ("text/gemini; lang=en", "", "text/gemini; lang=en"),
    ("text/gemini; lang=en", " ; ", "text/gemini; lang=en"),
]


@pytest.mark.parametrize(("mimetype", "parameters", "together"), JOINED)
def test_parameters_are_added(mimetype: str, parameters: str, together: str) -> None:
    assert with_parameters(mimetype, parameters) == together


@pytest.mark.parametrize("parameters", ["lang=en", ";lang", ";lang=en\n;a=b", "x;lang=en", ";lang=en x"])
def test_malformed_parameters_are_refused(parameters: str) -> None:
    with pytest.raises(ValueError, match="not a list of parameters"):
        with_parameters("text/gemini", parameters)
    with pytest.raises(ValueError, match="not a list of parameters"):
        normalize_parameters(parameters)


def test_a_hostile_list_of_parameters_is_answered() -> None:
    with pytest.raises(ValueError, match="not a list of parameters"):  # tried in all ways, after minutes
        normalize_parameters(f";{' ' * 200_000}x")


def test_parameters_are_written_one_way() -> None:
    assert normalize_parameters(";Lang=en,fr ;charset=us-ascii") == '; lang="en,fr"; charset=us-ascii'
    assert normalize_parameters("; ;") == ""


def test_parameters_of_a_sidecar_join_those_of_the_capsule() -> None:
    types = MimeTypes(lang="en", charset="utf-8")
    assert types.of("a.gmi", ";lang=nl") == "text/gemini; charset=utf-8; lang=nl"
    assert types.of("a.gmi", "") == "text/gemini"
    assert types.of("a.gmi", None) == "text/gemini; charset=utf-8; lang=en"


def test_two_longest_parts_fit_a_header() -> None:
    mimetype = "a/b; c=".ljust(MAX_MIMETYPE, "c")
    parameters = "; d=".ljust(MAX_MIMETYPE, "d")
    assert normalize(mimetype) == mimetype
    assert normalize_parameters(parameters) == parameters
    header(Status.SUCCESS, with_parameters(mimetype, parameters))
    with pytest.raises(ValueError, match="longer than 500 bytes"):
        normalize(f"{mimetype}c")
    with pytest.raises(ValueError, match="longer than 500 bytes"):
        normalize_parameters(f"{parameters}d")
    with pytest.raises(ValueError, match="longer than 500 bytes"):
        MimeTypes(lang="en," * 200 + "en")
