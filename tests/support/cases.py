"""Requests and the answers that a capsule of plain files gives them, with the content that they expect.

The rows need no routes, zones, limits or Titan: one capsule for `HOSTS` on port 1965, with the folder of
`make_root` as its content and everything else left at its default. Every row must give the same answer
however its bytes are cut into pieces. Numbers group rows of one subject and are not unique.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

HOSTS = ("localhost", "café.example")
CAFE = "xn--caf-dma.example"

INDEX = b"# Pad 19\n"
DOCS = b"# Manual\n"
WORDS = b"# Two words\n"
TEXT = b"plain\r\ntext\n"
COFFEE = b"# Coffee\n"
SPACE = b"# Space\n"
BOM = b"\xef\xbb\xbf# Begins with a byte order mark\n"
LONG = b"# A long name\n"
LARGE = bytes(range(251)) * 65536  # more than the kernel's buffers take; no piece of it looks like the next
PERCENT = b"# The name holds a percent sign\n"
KNOWN = b"well known\n"
SECRET = b"secret\n"  # in no answer, ever

LONG_NAME = "n" * 196 + ".gmi"  # 200 bytes

FILES = {
    "index.gmi": INDEX,
    "docs/index.gmi": DOCS,
    "two words/index.gmi": WORDS,
    "why?/index.gmi": WORDS,
    "a.txt": TEXT,
    "café.gmi": COFFEE,
    "sp ace.gmi": SPACE,
    "empty.gmi": b"",
    "bom.gmi": BOM,
    "large.bin": LARGE,
    LONG_NAME: LONG,
    "%61.gmi": PERCENT,  # only "%2561.gmi" asks for it: decoded once
    ".secret": SECRET,
    ".git/config": SECRET,
    ".well-known/x": KNOWN,
}


def make_root(path: Path) -> None:
    """Create the content folder ``path``, and beside it what its symbolic links wrongly lead to."""
    for name, body in FILES.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
    (path / "empty").mkdir()
    os.mkfifo(path / "fifo")
    os.mknod(path / "socket", stat.S_IFSOCK | 0o600)
    (path / "device").symlink_to("/dev/zero")
    outside = path.with_name(f"{path.name}-outside")  # shares its first letters with the root
    outside.mkdir()
    (outside / "secret.gmi").write_bytes(SECRET)
    (path / "inside.gmi").symlink_to("docs/index.gmi")
    (path / "inside").symlink_to("docs")
    (path / "outside.gmi").symlink_to(outside / "secret.gmi")
    (path / "outside").symlink_to(f"../{outside.name}")
    (path / "dangling.gmi").symlink_to("nowhere.gmi")
    (path / "loop.gmi").symlink_to("loop.gmi")


@dataclass(frozen=True, slots=True)
class Case:
    """What a client sends, and what it gets."""

    number: int
    name: str
    request: bytes
    status: int | None  # None: dropped without a header, at the timeout or when the client closes
    meta: str | None = None  # None: any
    body: bytes | None = None  # None: any for 20; all others have no body
    server_name: str | None = "localhost"  # SNI
    closes: bool = False  # the client ends its side after the request, else it waits for the server

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


def _case(
    number: int,
    uri: str,
    status: int,
    meta: str | None = None,
    body: bytes | None = None,
    server_name: str | None = "localhost",
) -> Case:
    name = ascii(uri)[1:-1]
    name = name if len(name) <= 60 else f"{name[:60]}... of {len(name)}"
    return Case(number, name, f"{uri}\r\n".encode(), status, meta, body, server_name)


def _page(number: int, uri: str, body: bytes, server_name: str | None = "localhost") -> Case:
    return _case(number, uri, 20, "text/gemini", body, server_name)


L = "gemini://localhost"
_FULL = f"{L}/".ljust(1024, "x")
_LABELS = ".".join(["a" * 49] * 5)  # 249 bytes

FRAMING = [
    _page(1, f"{L}/", INDEX),
    _page(2, L, INDEX),
    _page(3, f"{L}:1965/", INDEX),
    _page(4, f"{L}:/", INDEX),
    Case(5, "CRLF only", b"\r\n", 59),
    Case(6, "LF without CR", b"gemini://localhost/\n", None),
    Case(7, "no terminator", b"gemini://localhost/", None),
    Case(8, "no terminator, closed", b"gemini://localhost/", None, closes=True),
    Case(8, "CR without LF, closed", b"gemini://localhost/\r", None, closes=True),
    Case(9, "nothing", b"", None),
    Case(9, "nothing, closed", b"", None, closes=True),
    _case(12, _FULL, 51),
    _case(13, f"{_FULL}x", 59),
    Case(13, "1024 bytes and a lone CR", f"{_FULL}\rx".encode(), 59),
    Case(14, "1026 bytes without CRLF", b"x" * 1026, 59),
    Case(15, "300 kB without CRLF", b"x" * 300_000, 59),
    Case(18, "bytes behind CRLF", b"gemini://localhost/\r\nextra", 20, "text/gemini", INDEX),
    Case(19, "CRLF behind CRLF", b"gemini://localhost/\r\n\r\n", 20, "text/gemini", INDEX),
    Case(
        20, "two requests", b"gemini://localhost/\r\ngemini://localhost/docs/\r\n", 20, "text/gemini", INDEX
    ),
    _case(21, f"{L}/a\rb", 59),
    _case(22, f"{L}/a\nb", 59),
    _case(22, f"{L}/a.t\nxt", 59),
    _case(23, f"{L}/a\tb", 59),
    _case(24, f"{L}/a b", 59),
    _case(25, f" {L}/", 59),
    _case(26, f"{L}/ ", 59),
    _case(27, f"{L}/a\0b", 59),
    *(_case(28, f"{L}/a{control}b", 59) for control in "\x01\x08\x0b\x0c\x1b\x1f\x7f\x85\x9f"),
    _case(29, f"\ufeff{L}/", 59),
    Case(30, "DC in the path", b"gemini://localhost/\xdc\r\n", 59),
    Case(30, "FF in the path", b"gemini://localhost/a\xff\r\n", 59),
    Case(30, "FF in the query", b"gemini://localhost/?\xff\r\n", 59),
    # The specification would have it encoded; nobody is helped by a refusal.
    _page(31, f"{L}/café.gmi", COFFEE),
    _page(31, f"{L}/?café", INDEX),
    *(_case(32, f"{L}/a{char}b", 59) for char in '"<>\\^`{|}'),
    *(_case(33, line, 59) for line in ("hello", "Hello Gemini!")),
    _case(34, "GET / HTTP/1.1", 59),
]

PARTS = [
    _page(35, "GEMINI://localhost/", INDEX),
    _page(36, "gemini://LOCALHOST/", INDEX),
    _case(37, "gemini://localhost./", 53),
    _case(38, "//localhost/", 59),
    *(_case(39, line, 59) for line in ("/", "/a.txt", "a.txt")),
    *(_case(40, line, 59) for line in ("localhost/", "localhost:1965/")),
    *(_case(41, line, 59) for line in ("gemini:/a", "gemini:a", "gemini:///a", "gemini:", "gemini://")),
    _case(42, "gemini://:1965/", 59),
    *(_case(43, f"gemini://{user}@localhost/", 59) for user in ("user", "u:p")),
    *(_case(44, f"gemini://{user}@localhost/", 59) for user in ("", ":")),
    _case(45, f"{L}/#frag", 59),
    _case(46, f"{L}/#", 59),
    _case(46, f"{L}#", 59),
    _case(47, f"{L}/%23frag", 51),
    _case(48, f"{L}:443/", 53),
    *(_case(49, f"{L}:{port}/", 59) for port in ("0", "000")),
    *(
        _case(50, f"{L}:{port}/", 59)
        for port in ("65536", "99999", "abc", "-1", "+1965", "\uff11\uff19\uff16\uff15")
    ),
    _page(51, f"{L}:01965/", INDEX),
    *(_case(52, f"{scheme}://localhost/", 53) for scheme in ("http", "https", "gopher")),
    Case(53, "Titan, which is off", b"titan://localhost/a;size=1\r\nx", 53),
    *(_case(54, f"{scheme}://localhost/", 53) for scheme in ("spartan", "foo")),
    *(_case(55, line, 59) for line in ("mailto:a@b", "data:,x")),
    _case(56, "gemini://example.com/", 53),
    _case(56, f"gemini://{_LABELS}/", 53),
    _case(57, "gemini://example.com/", 53, server_name="example.com"),
    _case(58, "gemini://127.0.0.1/", 53, server_name=None),
    _case(59, "gemini://[::1]/", 53, server_name=None),
    *(_case(60, line, 59) for line in ("gemini://[::1/", "gemini://[zz]/", "gemini://::1/")),
    _case(61, "gemini://[fe80::1%25eth0]/", 59),
    _page(62, f"gemini://{CAFE}/", INDEX, CAFE),
    _page(62, f"gemini://{CAFE.upper()}/", INDEX, CAFE),
    _page(62, "gemini://café.example/", INDEX, CAFE),
    _page(62, "gemini://CAFÉ\u3002example/", INDEX, CAFE),  # an ideographic full stop
    _page(62, "gemini://caf%C3%A9.example/", INDEX, CAFE),
    _page(63, "gemini://local%68ost/", INDEX),
    *(_case(64, f"gemini://localhost{code}/", 59) for code in ("%00", "%2Fdocs", "%40a", "%3A1965", "%ff")),
    _case(65, f"gemini://{'a' * 64}.example/", 59),
    _case(65, f"gemini://{_LABELS}.abcd/", 59),
    _case(65, "gemini://a..b/", 59),
]

PATHS = [
    _case(81, f"{L}/docs", 31, "/docs/"),
    _case(81, f"{L}/two%20words", 31, "/two%20words/"),
    _case(81, f"{L}/why%3F", 31, "/why%3F/"),
    _case(82, f"{L}/docs?q", 31, "/docs/?q"),
    _case(82, f"{L}/docs?", 31, "/docs/?"),
    _page(83, f"{L}/docs/", DOCS),
    _page(83, f"{L}/two%20words/", WORDS),
    _case(84, f"{L}/empty/", 51),
    _case(85, f"{L}/nope", 51),
    _case(85, f"{L}/nope/", 51),
    _case(86, f"{L}/a.txt/", 51),
    _case(86, f"{L}/a.txt/x", 51),
    _case(87, f"{L}/docs//index.gmi", 51),
    _case(87, f"{L}/docs//", 51),
    _case(87, f"{L}//a.txt", 51),
    _case(87, f"{L}//docs", 51),
    _case(87, f"{L}//example.com/", 51),
    _page(88, f"{L}/docs/./index.gmi", DOCS),
    _page(88, f"{L}/docs/.", DOCS),
    _case(89, f"{L}/docs/../a.txt", 20, "text/plain", TEXT),
    _page(89, f"{L}/docs/..", INDEX),
    _case(90, f"{L}/../../etc/passwd", 51),
    _case(91, f"{L}/../../", 51),
    _case(91, f"{L}/..", 51),
    *(
        _case(92, f"{L}/{path}", 51)
        for path in (
            "%2e%2e/%2e%2e/etc/passwd",
            "docs/%2E%2E/%2E%2E/x",
            ".%2e/x",
            "%2E.",
            "docs/../../x/../..",
        )
    ),
    _page(92, f"{L}/docs/%2e%2E/docs/%2e/", DOCS),
    *(
        _case(93, f"{L}/{path}", 51)
        for path in ("docs%2Findex.gmi", "docs%2f", "..%2f..%2fetc/passwd", "%2F")
    ),
    _case(93, f"{L}/%252e%252e/%252e%252e/etc/passwd", 51),
    *(_case(94, f"{L}/{path}", 51) for path in ("%5c..%5cx", "C:/x", "~root/x", "docs%5Cindex.gmi")),
    *(_case(95, f"{L}/{path}", 59) for path in ("a%00.txt", "a.txt%00", "%00")),
    *(_case(96, f"{L}/{path}", 59) for path in ("%", "%2", "%zz", "%%61.txt", "?%", "%u0061.txt")),
    *(
        _case(97, f"{L}/{path}", 51)
        for path in ("%ff", "%c0%ae%c0%ae", "%c0%ae%c0%ae/x", "caf%C3/%A9.gmi", "%ed%a0%80")
    ),
    _case(97, f"{L}/?%ff", 59),
    _case(98, f"{L}/%61.txt", 20, "text/plain", TEXT),
    _case(98, f"{L}/A.txt", 51),
    _page(98, f"{L}/%2561.gmi", PERCENT),
    _case(98, f"{L}/%2561.txt", 51),
    _page(99, f"{L}/caf%C3%A9.gmi", COFFEE),
    _page(99, f"{L}/caf%c3%a9.gmi", COFFEE),
    _page(99, f"{L}/sp%20ace.gmi", SPACE),
    _case(99, f"{L}/sp+ace.gmi", 51),
    _case(100, f"{L}/a.txt;x=1", 51),
    *(
        _case(100, f"{L}/a.txt{query}", 20, "text/plain", TEXT)
        for query in ("?x", "?", "?a/../b?c", "?;x=1", "?+")
    ),
    _page(100, f"{L}?x", INDEX),
    *(_case(102, f"{L}/{name}", 51) for name in ("fifo", "socket", "device")),
    _page(103, f"{L}/inside.gmi", DOCS),
    _page(103, f"{L}/inside/", DOCS),
    *(
        _case(103, f"{L}/{path}", 51)
        for path in ("outside.gmi", "outside/secret.gmi", "outside", "outside/", "dangling.gmi", "loop.gmi")
    ),
    *(
        _case(104, f"{L}/{path}", 51)
        for path in (".secret", "%2Esecret", ".git/config", ".git/", ".git", "docs/../.secret", ".nope")
    ),
    _case(104, f"{L}/.well-known/x", 20, None, KNOWN),
    _page(105, f"{L}/{LONG_NAME}", LONG),
    *(_case(105, f"{L}/{'n' * length}", 51) for length in (255, 256, 1000)),
    _case(105, f"{L}/{'d/' * 500}", 51),
    _page(109, f"{L}/empty.gmi", b""),
    _page(109, f"{L}/bom.gmi", BOM),
    Case(126, "Titan's parameters and a body", b"gemini://localhost/a.txt;size=3\r\nabc", 51),
]

CASES = [*FRAMING, *PARTS, *PATHS]
