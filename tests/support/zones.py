"""What tests of zones share: people, those who are let in, and what they ask for."""

from datetime import UTC, datetime
from pathlib import Path

from pad19.dispatch.zones.lists import Fingerprints
from pad19.dispatch.zones.paths import parse_path
from pad19.dispatch.zones.zone import CertificateList, Grant, Zone
from pad19.protocol.client import Client, Identity
from pad19.protocol.request import Request, parse_request

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


def write(file: Path, *people: Identity, more: bytes = b"") -> Path:
    """A file of fingerprints. Returns it."""
    file.write_bytes("".join(f"{one.fingerprint} somebody\n" for one in people).encode() + more)
    return file
