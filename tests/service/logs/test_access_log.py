import json
import locale
import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pad19.dispatch.record import Record
from pad19.protocol.status import Status
from pad19.protocol.titan import without_token
from pad19.service.logs.access_log import MAX_TEXT, Addresses, Format, formatter

RECORD = Record(
    "192.0.2.77",
    started=1795410501.375,  # exact in binary
    duration=0.01234,
    request="gemini://localhost/",
    status=20,
    bytes_sent=1516,
    tls_version="TLSv1.3",
    fingerprint="sha256:" + "ab" * 32,
)
EARLY = Record("", started=1795410501.0, reason="handshake timeout", duration=10.0)
PRINT = "sha256:" + "ab" * 32

LINES: list[tuple[Format, Addresses, Record, str]] = [
    ("common", "full", RECORD, '192.0.2.77 - - [23/Nov/2026:05:08:21 +0000] "gemini://localhost/" 20 1516'),
    (
        "common",
        "truncated",
        replace(RECORD, status=Status.NOT_FOUND, bytes_sent=0, reason="client left"),
        '192.0.2.0 - - [23/Nov/2026:05:08:21 +0000] "gemini://localhost/" 51 0 "client left"',
    ),
    ("common", "off", EARLY, '- - - [23/Nov/2026:05:08:21 +0000] "" - 0 "handshake timeout"'),
    (
        "combined",
        "truncated",
        RECORD,
        f'192.0.2.0 - - [23/Nov/2026:05:08:21 +0000] "gemini://localhost/" 20 1516 12.3 TLSv1.3 {PRINT} "-"',
    ),
    (
        "combined",
        "full",
        EARLY,
        'unix - - [23/Nov/2026:05:08:21 +0000] "" - 0 10000.0 - - "handshake timeout"',
    ),
    (
        "json",
        "truncated",
        replace(RECORD, status=Status.SUCCESS),
        '{"time":"2026-11-23T05:08:21.375Z","address":"192.0.2.0","request":"gemini://localhost/","status":20,'
        f'"bytes":1516,"duration_ms":12.3,"tls":"TLSv1.3","fingerprint":"{PRINT}","reason":""}}',
    ),
    (
        "json",
        "full",
        EARLY,
        '{"time":"2026-11-23T05:08:21.000Z","address":"unix","request":"","status":null,'
        '"bytes":0,"duration_ms":10000.0,"tls":"","fingerprint":null,"reason":"handshake timeout"}',
    ),
]


@pytest.mark.parametrize(("style", "addresses", "record", "line"), LINES)
def test_lines(style: Format, addresses: Addresses, record: Record, line: str) -> None:
    assert formatter(style, addresses)(record) == line


ADDRESSES = [  # as it came, in full, truncated
    ("192.0.2.77", "192.0.2.77", "192.0.2.0"),
    ("2001:db8:1:2::3", "2001:db8:1:2::3", "2001:db8:1::"),
    ("2001:0DB8::3", "2001:db8::3", "2001:db8::"),
    ("::ffff:192.0.2.77", "192.0.2.77", "192.0.2.0"),
    ("fe80::1%eth0", "fe80::1", "fe80::"),
    ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
    ("::1", "::1", "::1"),
    ("", "unix", "unix"),
    ('1.2.3.4" 20 0\nforged', "-", "-"),
]


@pytest.mark.parametrize(("address", "full", "truncated"), ADDRESSES)
def test_addresses(address: str, full: str, truncated: str) -> None:
    record = replace(RECORD, address=address)
    assert formatter("common", "full")(record).split(" ")[0] == full
    assert formatter("common", "truncated")(record).split(" ")[0] == truncated
    assert formatter("common", "off")(record).split(" ")[0] == "-"
    assert json.loads(formatter("json", "truncated")(record))["address"] == truncated


ESCAPED = [  # text, as it stands between quotes, as it stands in JSON after decoding
    ("gemini://caf\u00e9/\U0001f680", "gemini://caf\u00e9/\U0001f680", "gemini://caf\u00e9/\U0001f680"),
    ('a"b\\c', r"a\x22b\x5cc", 'a"b\\c'),
    ("a\r\nb\0\x1b[31m\x7f", r"a\x0d\x0ab\x00\x1b[31m\x7f", "a\r\nb\0\x1b[31m\x7f"),
    ("\x85\u2028\u2029\xad", r"\u0085\u2028\u2029\u00ad", "\x85\u2028\u2029\xad"),
    ("\u202e\u2066\u200f\ufeff\U000e0041", r"\u202e\u2066\u200f\ufeff\U000e0041", None),
    ("\udce9\udc80\ud800\udc00", r"\xe9\x80\ud800\udc00", r"\xe9\x80\ud800\udc00"),
    ("titan://a/b;size=3;token=secret;mime=a/b?q", "titan://a/b;size=3;token=...", None),
    ("a" * MAX_TEXT, "a" * MAX_TEXT, None),
    ("a" * (MAX_TEXT + 1), "a" * MAX_TEXT + "...", None),
    ("a" * 1015 + ";token=secret", "a" * 1015 + ";token=..", None),
]


@pytest.mark.parametrize(("text", "quoted", "decoded"), ESCAPED)
def test_a_strangers_text(text: str, quoted: str, decoded: str | None) -> None:
    record = replace(RECORD, request=text, reason=text)
    if text.startswith("aaa") and ";token=" in text:
        quoted = quoted[:MAX_TEXT] + "..."  # the token is gone before the line is cut
    assert f' "{quoted}" 20 1516 "{quoted}"' in formatter("common", "full")(record)
    assert f' "{quoted}" 20 1516 12.3 TLSv1.3 {PRINT} "{quoted}"' in formatter("combined", "full")(record)
    line = formatter("json", "full")(record)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["request"] == json.loads(line)["reason"]
    if decoded is not None:
        assert json.loads(line)["request"] == decoded


def test_months_are_english_whatever_the_locale() -> None:
    before = locale.setlocale(locale.LC_TIME)
    for name in ("de_DE.UTF-8", "C"):
        try:
            locale.setlocale(locale.LC_TIME, name)
        except locale.Error:
            continue  # not installed here
        line = formatter("common", "full")(replace(RECORD, started=1767225600.0))
        assert "[01/Jan/2026:00:00:00 +0000]" in line
    locale.setlocale(locale.LC_TIME, before)


FIELDS = re.compile(
    r'(\S+) - - \[(\d\d/[A-Z][a-z]{2}/\d{4}(?::\d\d){3} \+0000)\] "([^"]*)" (\d\d|-) (\d+)'
    r'(?: (\d+\.\d) (\S+) (\S+))?(?: "([^"]*)")?'
)
UNESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
ANYTHING = st.text(
    st.one_of(st.characters(), st.characters(categories=["Cs", "Cc", "Cf"]), st.sampled_from('"\\;\n ')),
    max_size=60,
)


def unescape(text: str) -> str:
    def char(match: re.Match[str]) -> str:
        code = int(match[1] or match[2] or match[3], 16)
        return chr(code + 0xDC00) if match[1] and code >= 0x80 else chr(code)

    return UNESCAPE.sub(char, text)


@example(request=';token=\n"x', reason=";TOKEN=\udce9;")
@given(request=ANYTHING, reason=ANYTHING)
def test_any_text_gives_one_line_that_reads_back(request: str, reason: str) -> None:
    record = replace(RECORD, request=request, reason=reason)
    request, reason = without_token(request), without_token(reason)  # the one thing that is to be lost
    for style in ("common", "combined"):
        line = formatter(style, "full")(record)
        assert line.splitlines() == [line]
        line.encode()
        fields = FIELDS.fullmatch(line)
        assert fields
        assert unescape(fields[3]) == request
        assert fields[4] == "20"
        assert fields[5] == "1516"
        assert unescape(fields[9] or "") == (reason or ("-" if style == "combined" else ""))
    line = formatter("json", "full")(record)
    assert line.splitlines() == [line]
    assert line.isprintable()
    fields_by_name = json.loads(line)
    assert fields_by_name["status"] == 20
    # Lone surrogates are text by now.
    assert unescape(fields_by_name["request"]) == unescape(request)
