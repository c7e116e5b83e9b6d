"""Uploads and their answers, with what becomes of the folder.

There are a token for what lies in no zone, and ``/members/``, where only Ada may write.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pad19.content.edits import Edits
from pad19.content.static import StaticFiles
from pad19.content.uploads import Terms, Uploads
from pad19.dispatch.router import Handler
from pad19.dispatch.zones.guard import Guard, Zones
from pad19.dispatch.zones.intake import ByScheme, Intake, UploadTerms
from pad19.dispatch.zones.lists import Fingerprints
from pad19.dispatch.zones.tokens import Tokens
from pad19.dispatch.zones.zone import Grant, Zone
from pad19.store.sqlite import open_store
from pad19.tls.identity import identify
from support.tls import Pair, self_signed

ADA, EVE = self_signed("Ada"), self_signed("Eve")
TOKEN = "open sesame"
MAX_SIZE = 100  # bytes
CONTENT = {"n.gmi": b"old", "members/n.gmi": b"old"}


@asynccontextmanager
async def taking_uploads(root: Path, *, delete: bool = True) -> AsyncIterator[Handler]:
    """The handler of the capsule."""
    for name, body in CONTENT.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)
    ada = Grant(lists=(Fingerprints([identify(ADA.certificate).fingerprint]),))
    zones = Zones([Zone(("members",), Grant(everybody=True), ada)])
    text = Terms(MAX_SIZE, ("text/*",))
    terms = UploadTerms(zones, text, {("members",): text})
    files = StaticFiles(root)
    async with open_store(None) as store:
        uploads = Uploads(root, terms, Edits(store), files, locks=root.parent / "locks", delete=delete)
        yield Guard(zones, ByScheme(files, Intake(zones, Tokens([TOKEN]), terms, uploads)))


@dataclass(frozen=True, slots=True)
class Sent:
    """What a client sends, and what it gets."""

    number: int
    name: str
    request: bytes
    status: int | None  # None: it hears nothing
    meta: str | None  # a pattern; None: any
    changes: Mapping[str, bytes]  # of the folder; empty: the file is gone
    body: bytes
    certificate: Pair | None
    closes: bool
    delete: bool  # files can be deleted
    reason: str  # in the record

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


_T = "titan://localhost/n.gmi"
_L = "titan://localhost:1965/n.gmi"
_DELETED = b"# Deleted\n\n/n.gmi is no more.\n"
_K = ";token=open%20sesame"
_PAGE = "gemini://localhost/n.gmi"


def _sent(
    number: int,
    line: str,
    sent: bytes,
    status: int | None,
    meta: str | None = None,
    *,
    changes: Mapping[str, bytes] = MappingProxyType({}),
    body: bytes = b"",
    certificate: Pair | None = None,
    closes: bool = False,
    delete: bool = True,
    reason: str = "",
) -> Sent:
    name, data = line.removeprefix("titan://localhost"), f"{line}\r\n".encode() + sent
    return Sent(number, name, data, status, meta, changes, body, certificate, closes, delete, reason)


_NEW = {"n.gmi": b"hello"}
_EARLY = "upload ended early"
_LONGER = "upload longer than its size"

SENT = [
    _sent(116, f"{_T};size=5;mime=text/plain{_K}", b"hello", 30, _PAGE, changes=_NEW),
    _sent(116, f"titan://localhost/new.gmi;size=5{_K}", b"hello", 30, changes={"new.gmi": b"hello"}),
    _sent(
        116,
        "titan://localhost/members/n.gmi;size=5",
        b"hello",
        30,
        certificate=ADA,
        changes={"members/n.gmi": b"hello"},
    ),
    # Lagrange's form: what people type is text/plain, see tests/protocol/test_titan.py.
    _sent(116, f"{_L};mime=text/plain;size=5{_K}", b"hello", 30, _PAGE, changes=_NEW),
    _sent(
        116,
        "titan://localhost:1965/members/n.gmi;mime=text/plain;size=5",
        b"hello",
        30,
        certificate=ADA,
        changes={"members/n.gmi": b"hello"},
    ),
    _sent(
        116,
        f"titan://localhost:1965/n.txt;mime=text/plain; charset=utf-8;size=5{_K}",
        b"hello",
        30,
        changes={"n.txt": b"hello"},
    ),
    _sent(117, f"{_L}?q;mime=text/plain;size=5{_K}", b"hello", 59, "the parameters go before .*"),
    _sent(117, f"{_L};mime=text/plain;size=5{_K}?q", b"hello", 30, rf"{_PAGE}\?q", changes=_NEW),
    _sent(
        122, f"{_L};mime=application/octet-stream;size=0{_K}", b"", 20, body=_DELETED, changes={"n.gmi": b""}
    ),
    _sent(124, f"{_L};edit", b"", 20, "text/gemini", body=b"old"),
    _sent(124, f"{_L};edit?q", b"", 20, "text/gemini", body=b"old"),
    _sent(
        124, "titan://localhost/members;edit", b"", 59, "this is the path of a folder: .*", certificate=ADA
    ),
    _sent(117, f"{_T}{_K};mime=text/plain;size=5", b"hello", 30, _PAGE, changes=_NEW),
    _sent(117, f"{_T};mime=text/plain{_K};size=5?q", b"hello", 30, rf"{_PAGE}\?q", changes=_NEW),
    *(
        _sent(118, f"{_T}{parameters}{_K}", b"hello", 59, "(the )?size is .*|there is .*")
        for parameters in (
            "",
            ";mime=text/plain",
            ";size=",
            ";size=-1",
            ";size=abc",
            ";size=1;size=2",
            ";size",
        )
    ),
    _sent(118, _T, b"", 59, "the size is missing"),
    _sent(119, f"{_T};size={MAX_SIZE}{_K}", b"x" * MAX_SIZE, 30, changes={"n.gmi": b"x" * MAX_SIZE}),
    _sent(119, f"{_T};size={MAX_SIZE + 1}{_K}", b"x" * (MAX_SIZE + 1), 59, "at most 100 bytes .*"),
    _sent(119, f"{_T};size=1000000{_K}", b"x" * 1_000_000, 59, "at most 100 bytes .*"),
    _sent(119, f"{_T};size=999999999999999{_K}", b"", 59, "at most 100 bytes .*"),
    # Without close_notify TLS is at its end on both sides: there is no way to answer.
    _sent(120, f"{_T};size=5{_K}", b"hell", None, closes=True, reason=_EARLY),
    _sent(120, f"{_T};size=5{_K}", b"", None, closes=True, reason=_EARLY),
    _sent(120, f"titan://localhost/new.gmi;size=5{_K}", b"h", None, closes=True, reason=_EARLY),
    _sent(120, f"{_T};size=5{_K}", b"hello", 30, changes=_NEW, closes=True),  # it has all been sent
    _sent(121, f"{_T};size=5{_K}", b"hello!", 59, "more than 5 bytes were sent", reason=_LONGER),
    _sent(121, f"{_T};size=0{_K}", b"!", 59, "more than 0 bytes were sent", reason=_LONGER),
    _sent(
        122,
        f"{_T};size=0{_K}",
        b"",
        20,
        "text/gemini",
        body=_DELETED,
        changes={"n.gmi": b""},
    ),
    _sent(122, f"titan://localhost/none.gmi;size=0{_K}", b"", 51),
    _sent(122, f"{_T};size=0{_K}", b"", 50, "nothing can be deleted here", delete=False),
    _sent(123, f"{_T};size=5", b"hello", 50, "an upload here needs a token"),
    _sent(123, f"{_T};size=5;token=", b"hello", 50, "an upload here needs a token"),
    _sent(123, f"{_T};size=5;token=wrong", b"hello", 50, "this token is not known here"),
    _sent(123, f"{_T};size=5;token=open%20sesam", b"hello", 50, "this token is not known here"),
    _sent(123, f"{_T};size=5;token=Open%20Sesame", b"hello", 50, "this token is not known here"),
    _sent(123, f"{_T};size=5", b"hello", 50, "an upload here needs a token", certificate=ADA),
    _sent(123, "titan://localhost/members/n.gmi;size=5", b"hello", 60, ".* needs a client certificate: .*"),
    _sent(
        123,
        "titan://localhost/members/n.gmi;size=5",
        b"hello",
        61,
        "your certificate is not .*",
        certificate=EVE,
    ),
    _sent(123, f"titan://localhost/members/n.gmi;size=5{_K}", b"hello", 60),  # that token is for elsewhere
    _sent(123, f"titan://localhost/MEMBERS/n.gmi;size=5{_K}", b"hello", 60),
    _sent(123, f"titan://localhost/members/;size=5{_K}", b"hello", 60),
    _sent(124, f"{_T};mime=image/png;size=5{_K}", b"hello", 59, "image/png may not .*"),
    _sent(124, f"{_T};size=5;lang=en{_K}", b"hello", 59, "there is a parameter besides .*"),
    _sent(124, f"{_T};edit", b"", 20, "text/gemini", body=b"old"),
    _sent(124, "titan://localhost/none.gmi;edit", b"", 51),
    _sent(124, "titan://localhost/members/n.gmi;edit", b"", 60),
    _sent(124, "titan://localhost/members/n.gmi;edit", b"", 20, body=b"old", certificate=ADA),
    _sent(124, f"{_T};edit;size=1", b"x", 59, "edit goes without other parameters"),
    *(
        _sent(125, f"titan://localhost{path};size=5{_K}", b"hello", status)
        for path, status in (
            ("/../x.gmi", 51),
            ("/%2e%2e/x.gmi", 51),
            ("/..", 51),
            ("/members/../../x.gmi", 51),
            ("/", 59),
            ("/members/..", 59),
            ("", 59),
            ("/.x.gmi", 50),
            ("/%2ex.gmi", 50),
            ("/x%2Fy.gmi", 59),
        )
    ),
    _sent(125, "titan://localhost/members;size=5", b"hello", 59, certificate=ADA),
    _sent(125, "titan://localhost/members/;size=5", b"hello", 59, certificate=ADA),
]
