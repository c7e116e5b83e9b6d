"""A certificate as a value: what it says of itself, and why nobody should accept it.

cryptography parses lazily, so a part that a stranger has broken raises when it is first looked at.
Here every part is looked at once; a broken one is left empty and named in `Identity.defect`, which
becomes the text of the 62 answer.
"""

import hashlib
import re
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pad19.protocol.characters import CONTROLS, SEPARATORS
from pad19.protocol.client import Identity

MIN_RSA = 2048  # bits; less than 112 bits of security is what OpenSSL's level 2 refuses, too
MIN_CURVE = 224  # bits
MAX_SERIAL = 160  # bits: the 20 octets of RFC 5280, section 4.1.2.2
REMEMBERED = 1024  # certificates
# Only ordinary sizes are remembered: TLS lets a stranger send 100 KB, as often as he likes.
MAX_REMEMBERED = 4096  # bytes

UNREADABLE_DATE = datetime(1970, 1, 1, tzinfo=UTC)  # long expired for those who ask only for the dates

_SHORT_NAMES = {  # in addition to those of RFC 4514, as OpenSSL writes them
    "1.2.840.113549.1.9.1": "emailAddress",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.12": "title",
    "2.5.4.42": "GN",
}
_SIGNERS = {  # how an algorithm of signatures begins: the kind of key that makes them
    "1.2.840.113549.1.1.": rsa.RSAPublicKey,
    "1.2.840.10045.4.": ec.EllipticCurvePublicKey,
    "1.3.101.112.": ed25519.Ed25519PublicKey,
    "1.3.101.113.": ed448.Ed448PublicKey,
}
_CONTROL = re.compile(f"[{CONTROLS}{SEPARATORS}]")

# cryptography's warnings are about a stranger's certificate, not about this program. Once and for all, since
# `catch_warnings` changes what all threads have, and those of routes may be about to do the same.
warnings.filterwarnings("ignore", module=re.escape(__name__))

_T = TypeVar("_T")


def identify(certificate: x509.Certificate) -> Identity:
    """What a certificate says. Never raises; remembered, so a returning client costs microseconds."""
    return identify_der(certificate.public_bytes(Encoding.DER))


def identify_der(der: bytes) -> Identity:
    """Like `identify`, also for what OpenSSL takes as a certificate and cryptography does not."""
    return _remember(der) if len(der) <= MAX_REMEMBERED else _read(der)


def identify_pem(pem: bytes) -> Identity:
    """What the first certificate of a PEM file says.

    Raises:
        ValueError: There is none.
    """
    try:
        return identify(x509.load_pem_x509_certificates(pem)[0])
    except ValueError:
        raise ValueError("no certificate in PEM") from None


@lru_cache(maxsize=REMEMBERED)
def _remember(der: bytes) -> Identity:
    return _read(der)


def _read(der: bytes) -> Identity:
    try:
        certificate = x509.load_der_x509_certificate(der)
    except Exception:  # whatever it is, the certificate is at fault
        digest = _sha256(der)
        unreadable = "this certificate is malformed"
        return Identity(digest, digest, (), (), 0, UNREADABLE_DATE, UNREADABLE_DATE, unreadable)
    return _examine(certificate, der)


def _examine(certificate: x509.Certificate, der: bytes) -> Identity:
    defects: list[str] = []
    nameless: tuple[tuple[str, str], ...] = ()

    def attempt(part: str, read: Callable[[], _T], otherwise: _T) -> _T:
        try:
            return read()
        except Exception:  # broken parts raise ValueError, TypeError, UnsupportedAlgorithm and others
            defects.append(f"this certificate's {part}")
            return otherwise

    subject = attempt("subject is unreadable", lambda: _names(certificate.subject), nameless)
    issuer = attempt("issuer is unreadable", lambda: _names(certificate.issuer), nameless)
    not_before = attempt("dates are unreadable", lambda: certificate.not_valid_before_utc, UNREADABLE_DATE)
    not_after = attempt("dates are unreadable", lambda: certificate.not_valid_after_utc, UNREADABLE_DATE)
    serial_number = certificate.serial_number
    if serial_number.bit_length() > MAX_SERIAL:
        defects.append("this certificate's serial number is too long")
        serial_number = 0  # str() of a very long one raises
    # A key that cannot be read is known by the whole certificate: no two of them look alike.
    key = attempt("public key cannot be used", lambda: _public_key(certificate), der)
    if defect := attempt("public key cannot be used", lambda: _weakness(certificate), None):
        defects.append(defect)
    if not defects and is_self_signed(certificate) and (defect := _signature_defect(certificate)):
        defects.append(defect)
    return Identity(
        fingerprint=_sha256(der),
        key_fingerprint=_sha256(key),
        subject=subject,
        issuer=issuer,
        serial_number=serial_number,
        not_before=not_before,
        not_after=not_after,
        defect=defects[0] if defects else None,
        der=der,  # what remembers the identity keeps it anyway
    )


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _names(name: x509.Name) -> tuple[tuple[str, str], ...]:
    names: list[tuple[str, str]] = []
    for attribute in name:
        value = attribute.value
        text = value if isinstance(value, str) else value.hex()
        short = _SHORT_NAMES.get(attribute.oid.dotted_string) or attribute.rfc4514_attribute_name
        # Names end up in logs, pages and environments, where a line feed or NUL would do harm.
        names.append((short, _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)))
    return tuple(names)


def _public_key(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _weakness(certificate: x509.Certificate) -> str | None:
    key = certificate.public_key()
    match key:
        case rsa.RSAPublicKey():
            kind, least = "RSA", MIN_RSA
        case ec.EllipticCurvePublicKey():
            kind, least = "elliptic curve", MIN_CURVE
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return None
        case dsa.DSAPublicKey():
            return "this certificate has a DSA key, and DSA is too weak"
        case _:
            return "this certificate's public key cannot be used"
    if key.key_size < least:
        return f"this certificate's {kind} key is too weak: {key.key_size} bits, where {least} are the least"
    return None


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Whether a certificate of which nothing is broken says so, by the rules of OpenSSL.

    An authority may have its own name put into what it issues. Then it is another key that has signed.
    """
    return (
        certificate.subject == certificate.issuer
        and _names_own_key(certificate)
        and not _is_signed_by_another_kind(certificate)
    )


def _names_own_key(certificate: x509.Certificate) -> bool:
    """Whether it names no key but its own as the one that has signed it (RFC 5280, section 4.2.1.1)."""
    try:
        signer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except Exception:  # there is none, or the extensions are malformed
        return True
    if signer.key_identifier is None:
        return signer.authority_cert_serial_number in {None, certificate.serial_number}
    try:
        own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return False
    return own.digest == signer.key_identifier


def _is_signed_by_another_kind(certificate: x509.Certificate) -> bool:
    algorithm = f"{certificate.signature_algorithm_oid.dotted_string}."
    kinds = (kind for prefix, kind in _SIGNERS.items() if algorithm.startswith(prefix))
    return not all(isinstance(certificate.public_key(), kind) for kind in kinds)


def _signature_defect(certificate: x509.Certificate) -> str | None:
    try:
        certificate.verify_directly_issued_by(certificate)
    except InvalidSignature:
        return "this certificate's signature is wrong"
    except Exception:  # an algorithm that is unknown or does not go with the key
        return "this certificate's signature cannot be checked"
    return None
