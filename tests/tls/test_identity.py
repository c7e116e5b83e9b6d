import hashlib
import re
import subprocess
import sys
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, NameOID

from pad19.protocol.client import Identity
from pad19.tls.identity import MAX_REMEMBERED, UNREADABLE_DATE, identify, identify_der, is_self_signed

# pytest puts a filter of its own in front of that of the module.
pytestmark = pytest.mark.filterwarnings("ignore:::pad19.tls.identity")

START = datetime(2024, 2, 29, tzinfo=UTC)
END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


SPKI = spki(KEY)

Signer = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | dsa.DSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)


def common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


ADA = common_name("Ada")


def issue(
    subject: x509.Name = ADA,
    issuer: x509.Name | None = None,
    key: Signer = KEY,
    extensions: Sequence[x509.ExtensionType] = (),
    signer: Signer | None = None,
) -> x509.Certificate:
    signer = key if signer is None else signer
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer)
        .public_key(key.public_key())
        .serial_number(1234)
        .not_valid_before(START)
        .not_valid_after(END)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    edwards = isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return builder.sign(signer, None if edwards else SHA256())


def tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + body


def oid(hexadecimal: str) -> bytes:
    return tlv(0x06, bytes.fromhex(hexadecimal))


def name(value: bytes, tag: int = 0x0C) -> bytes:
    return tlv(0x30, tlv(0x31, tlv(0x30, oid("550403"), tlv(tag, value))))


DATES = tlv(0x30, tlv(0x17, b"240229000000Z"), tlv(0x18, b"99991231235959Z"))
ECDSA_SHA256 = tlv(0x30, oid("2a8648ce3d040302"))


def handmade(
    *,
    version: bytes = b"",
    serial: bytes = b"\x01",
    algorithm: bytes = ECDSA_SHA256,
    issuer: bytes = name(b"Ada"),
    dates: bytes = DATES,
    subject: bytes = name(b"Ada"),
    spki: bytes = SPKI,
) -> bytes:
    """A certificate whose parts may be anything, with a signature that is right."""
    tbs = tlv(0x30, version, tlv(0x02, serial), algorithm, issuer, dates, subject, spki)
    signature = KEY.sign(tbs, ec.ECDSA(SHA256()))
    return tlv(0x30, tbs, algorithm, tlv(0x03, b"\x00", signature))


def test_what_a_certificate_says() -> None:
    certificate = issue()
    der = certificate.public_bytes(Encoding.DER)
    assert identify(certificate) == Identity(
        fingerprint=f"sha256:{hashlib.sha256(der).hexdigest()}",
        key_fingerprint=f"sha256:{hashlib.sha256(SPKI).hexdigest()}",
        subject=(("CN", "Ada"),),
        issuer=(("CN", "Ada"),),
        serial_number=1234,
        not_before=START,
        not_after=END,
        defect=None,
    )


def test_key_fingerprint_survives_renewal() -> None:
    first, second = identify(issue()), identify(issue(common_name("Ada King")))
    assert first.fingerprint != second.fingerprint
    assert first.key_fingerprint == second.key_fingerprint


def test_names_are_in_order_and_short_where_there_is_a_short_name() -> None:
    attributes = [
        (NameOID.COUNTRY_NAME, "GB", "C"),
        (NameOID.STATE_OR_PROVINCE_NAME, "London", "ST"),
        (NameOID.LOCALITY_NAME, "Marylebone", "L"),
        (NameOID.ORGANIZATION_NAME, "Analytical", "O"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "Engine", "OU"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "Mill", "OU"),
        (NameOID.COMMON_NAME, "Ada, Countess", "CN"),
        (NameOID.USER_ID, "ada", "UID"),
        (NameOID.EMAIL_ADDRESS, "ada@example.org", "emailAddress"),
        (NameOID.SURNAME, "Lovelace", "SN"),
        (NameOID.DOMAIN_COMPONENT, "example", "DC"),
        (x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), "x", "1.3.6.1.4.1.99999.1"),
    ]
    subject = x509.Name([x509.NameAttribute(number, value) for number, value, _ in attributes])
    issuer = common_name("an authority")
    identity = identify(issue(subject, issuer))
    assert identity.subject == tuple((short, value) for _, value, short in attributes)
    assert identity.issuer == (("CN", "an authority"),)
    assert identity.defect is None  # nobody can check a signature by someone who is not here


ODD_NAME = tlv(0x30, tlv(0x31, tlv(0x30, oid("55042d"), tlv(0x03, b"\x00\xab"))))  # a bit string
ODD_BUT_SOUND: list[tuple[str, dict[str, bytes], str, object]] = [  # parts, an attribute and its value
    ("no subject", {"subject": tlv(0x30), "issuer": tlv(0x30)}, "subject", ()),
    ("empty name", {"subject": name(b""), "issuer": name(b"")}, "subject", (("CN", ""),)),
    ("long name", {"subject": name(b"a" * 900)}, "subject", (("CN", "a" * 900),)),
    ("control characters", {"subject": name(b"a\r\n\0b")}, "subject", (("CN", "a\ufffd\ufffd\ufffdb"),)),
    ("bit string", {"subject": ODD_NAME}, "subject", (("2.5.4.45", "00ab"),)),
    ("20 octets of serial", {"serial": b"\x7f" * 20}, "serial_number", int("7f" * 20, 16)),
    ("negative serial", {"serial": b"\xff"}, "serial_number", -1),
    ("year 9999", {}, "not_after", END),
]


@pytest.mark.parametrize(
    ("parts", "attribute", "value"),
    [row[1:] for row in ODD_BUT_SOUND],
    ids=[row[0] for row in ODD_BUT_SOUND],
)
def test_odd_but_sound(parts: dict[str, bytes], attribute: str, value: object) -> None:
    identity = identify_der(handmade(**parts))
    assert identity.defect is None
    assert getattr(identity, attribute) == value


MONTH_13 = DATES.replace(b"2402", b"2413")
YEAR_0 = DATES.replace(b"9999", b"0000")
NOT_UTF8 = name(b"\xff\xfe")
NUMBER_AS_NAME = name(b"\x01", tag=0x02)
BITS_AS_NAME = name(b"\x00a", tag=0x03)
UNKNOWN_KEY = SPKI.replace(bytes.fromhex("3d0201"), bytes.fromhex("3d0209"))
UNKNOWN_CURVE = SPKI.replace(bytes.fromhex("3d0301"), bytes.fromhex("3d0309"))
OFF_THE_CURVE = SPKI[:-8] + bytes(8)
EXCHANGE_KEY = tlv(0x30, tlv(0x30, oid("2b656e")), tlv(0x03, b"\x00" + b"\x09" * 32))  # X25519
RSA = tlv(0x30, oid("2a864886f70d010101"), tlv(0x05))
RSA_512 = tlv(0x30, tlv(0x02, b"\x00" + b"\xc1" * 64), tlv(0x02, b"\x01\x00\x01"))
OTHER_KEY = spki(ec.generate_private_key(ec.SECP256R1()))

BROKEN: list[tuple[str, dict[str, bytes], str]] = [
    ("version 9", {"version": tlv(0xA0, tlv(0x02, b"\x08"))}, "is malformed"),
    ("month 13", {"dates": MONTH_13}, "is malformed"),
    ("year 0", {"dates": YEAR_0}, "dates are unreadable"),
    ("not UTF-8", {"subject": NOT_UTF8}, "subject is unreadable"),
    ("issuer not UTF-8", {"issuer": NOT_UTF8}, "issuer is unreadable"),
    ("number as a name", {"subject": NUMBER_AS_NAME}, "subject is unreadable"),
    ("bits as a name", {"subject": BITS_AS_NAME}, "subject is unreadable"),
    ("21 octets of serial", {"serial": b"\x01" * 21}, "serial number is too long"),
    ("3000 octets of serial", {"serial": b"\x01" * 3000}, "serial number is too long"),
    ("unknown key", {"spki": UNKNOWN_KEY}, "public key cannot be used"),
    ("unknown curve", {"spki": UNKNOWN_CURVE}, "public key cannot be used"),
    ("not on the curve", {"spki": OFF_THE_CURVE}, "public key cannot be used"),
    ("exchange key", {"spki": EXCHANGE_KEY}, "public key cannot be used"),
    ("RSA 512", {"spki": tlv(0x30, RSA, tlv(0x03, b"\x00", RSA_512))}, "RSA key is too weak: 512 bits"),
    ("unknown signature", {"algorithm": tlv(0x30, oid("2a03"))}, "signature cannot be checked"),
    ("another's signature", {"spki": OTHER_KEY}, "signature is wrong"),
]


@pytest.mark.parametrize(("parts", "defect"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_broken_part_is_named_and_not_raised(parts: dict[str, bytes], defect: str) -> None:
    der = handmade(**parts)
    identity = identify_der(der)
    assert identity.defect is not None
    assert re.match(rf"this certificate('s)? {defect}", identity.defect)
    assert identity.problem(START + timedelta(1)) == identity.defect
    assert identity.fingerprint == f"sha256:{hashlib.sha256(der).hexdigest()}"
    assert str(identity.serial_number)


@pytest.mark.parametrize(
    "data",
    [b"", b"GET / HTTP/1.1", handmade()[:-1], handmade() + b"\x00", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff"],
    ids=["nothing", "no DER", "cut short", "more after it", "indefinite length", "4 GiB"],
)
def test_what_is_no_certificate_has_a_fingerprint_all_the_same(data: bytes) -> None:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert identify_der(data) == Identity(
        fingerprint=digest,
        key_fingerprint=digest,
        subject=(),
        issuer=(),
        serial_number=0,
        not_before=UNREADABLE_DATE,
        not_after=UNREADABLE_DATE,
        defect="this certificate is malformed",
    )


def test_readable_parts_stay_beside_a_broken_one() -> None:
    identity = identify_der(handmade(subject=NOT_UTF8))
    assert identity.subject == ()
    assert identity.issuer == (("CN", "Ada"),)
    assert (identity.not_before, identity.not_after) == (START, END)


@pytest.mark.parametrize(
    ("key", "defect"),
    [
        (rsa.generate_private_key(65537, 1024), "RSA key is too weak: 1024 bits, where 2048"),  # noqa: S505 the point
        (ec.generate_private_key(ec.SECP192R1()), "elliptic curve key is too weak: 192 bits, where 224"),
        (dsa.generate_private_key(2048), "DSA is too weak"),
    ],
    ids=["rsa", "p192", "dsa"],
)
def test_weak_keys(key: Signer, defect: str) -> None:
    identity = identify(issue(key=key))
    assert identity.defect is not None
    assert defect in identity.defect


def test_flipped_bit_in_the_signature() -> None:
    der = handmade()
    assert identify_der(der[:-1] + bytes([der[-1] ^ 1])).defect == "this certificate's signature is wrong"


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP224R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
        ed448.Ed448PrivateKey.generate(),
    ],
    ids=["rsa", "p224", "p521", "ed25519", "ed448"],
)
def test_strong_keys(key: Signer) -> None:
    assert identify(issue(key=key)).defect is None


def test_key_that_cannot_be_read_has_the_fingerprint_of_its_certificate() -> None:
    identity = identify_der(handmade(spki=SPKI[:-8] + bytes(8)))
    assert identity.key_fingerprint == identity.fingerprint


def test_extensions_do_not_matter() -> None:
    garbage = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"garbage")
    assert identify(issue(extensions=[garbage])).defect is None


def identifier(key: bytes | None, serial: int | None = None) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier(key, None if serial is None else [x509.DirectoryName(ADA)], serial)


OWN_KEY = x509.SubjectKeyIdentifier.from_public_key(KEY.public_key())
SELF_SIGNED: list[tuple[str, list[x509.ExtensionType], bool]] = [
    ("no identifiers", [], True),
    ("no identifier of the signer", [OWN_KEY], True),
    ("the same key", [OWN_KEY, identifier(OWN_KEY.digest)], True),
    ("another key", [OWN_KEY, identifier(b"another key")], False),
    ("a key, and none of its own", [identifier(b"another key")], False),
    ("the same serial number", [OWN_KEY, identifier(None, 1234)], True),
    ("another serial number", [OWN_KEY, identifier(None, 4321)], False),
    ("an identifier that says nothing", [OWN_KEY, identifier(None)], True),
    ("garbage", [x509.UnrecognizedExtension(ExtensionOID.AUTHORITY_KEY_IDENTIFIER, b"garbage")], True),
]


@pytest.mark.parametrize(
    ("extensions", "is_checked"), [row[1:] for row in SELF_SIGNED], ids=[row[0] for row in SELF_SIGNED]
)
def test_an_authority_of_the_same_name(extensions: list[x509.ExtensionType], is_checked: bool) -> None:
    authority = ec.generate_private_key(ec.SECP256R1())
    certificate = issue(extensions=extensions, signer=authority)
    assert is_self_signed(certificate) is is_checked
    assert identify(certificate).defect == ("this certificate's signature is wrong" if is_checked else None)


@pytest.mark.parametrize("kind", ["rsa", "ed25519", "ed448"])
def test_an_authority_of_the_same_name_with_a_key_of_another_kind(kind: str) -> None:
    signers: dict[str, Signer] = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "ed448": ed448.Ed448PrivateKey.generate(),
    }
    certificate = issue(signer=signers[kind])
    assert not is_self_signed(certificate)
    assert identify(certificate).defect is None


def test_no_changed_byte_raises_or_goes_unnoticed() -> None:
    good = handmade()
    # Of the signature's padding DER only says that it is zero: one byte that may vary, and nobody signs it.
    padding = len(good) - len(x509.load_der_x509_certificate(good).signature) - 1
    for position in set(range(len(good))) - {padding}:
        for change in (0x01, 0x20, 0x80, 0xFF):
            data = bytearray(good)
            data[position] ^= change
            identity = identify_der(bytes(data))
            # Another issuer means: not self-signed, and so not for us to check.
            assert identity.defect is not None or identity.subject != identity.issuer


def test_returning_client_is_remembered() -> None:
    certificate = issue(common_name("a returning client"))
    again = x509.load_der_x509_certificate(certificate.public_bytes(Encoding.DER))
    assert identify(again) is identify(certificate)


def test_huge_certificates_are_not_remembered() -> None:
    padding = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(MAX_REMEMBERED))
    certificate = issue(extensions=[padding])
    assert identify(certificate) == identify(certificate)
    assert identify(certificate) is not identify(certificate)


# Warnings

STRANGE = handmade(serial=b"\xff")  # cryptography warns of it


def test_nothing_that_other_threads_have_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    load = x509.load_der_x509_certificate
    seen = []

    def look(der: bytes) -> x509.Certificate:
        seen.append(warnings.filters is filters)
        return load(der)

    filters = warnings.filters
    monkeypatch.setattr(x509, "load_der_x509_certificate", look)
    assert identify_der(handmade(serial=b"\x02")).defect is None
    assert seen == [True]


READ = """
import sys, warnings
from cryptography import x509
from pad19.tls.identity import identify_der
der = sys.stdin.buffer.read()
assert identify_der(der).serial_number == -1
try:
    x509.load_der_x509_certificate(der).serial_number
except Warning:
    print("elsewhere it counts")
"""


def test_a_strange_certificate_is_not_worth_a_warning() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", READ], input=STRANGE, capture_output=True, check=False
    )
    assert (done.stdout, done.stderr) == (b"elsewhere it counts\n", b"")
