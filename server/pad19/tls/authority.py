"""Who has signed a client certificate, if its owner need not vouch for himself.

Not cryptography's own verifier: it asks for what the web does, such as a subjectAltName in a visitor's
certificate, and takes no Ed25519. Here a certificate is issued by an authority of the file, or it is
not: nobody else's certificates are looked at, so there are no chains to build.
"""

from collections.abc import Iterable
from typing import Self, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.hashes import MD5, SHA1
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from pad19.protocol.client import Identity

from .identity import MAX_REMEMBERED, REMEMBERED, identify

_PURPOSES = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
# What a certificate may say critically: all else is a limit that we would have to understand (RFC
# 5280, section 4.2).
_UNDERSTOOD = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
}

_E = TypeVar("_E", bound=x509.ExtensionType)


class Authorities:
    """Those of a file, each with its identity."""

    def __init__(self, certificates: Iterable[x509.Certificate]) -> None:
        self._certificates = [(certificate, identify(certificate)) for certificate in certificates]
        self._issuers: dict[str, Identity | None] = {}  # by fingerprint of what was issued

    @classmethod
    def parse(cls, pem: bytes) -> tuple[Self, list[str]]:
        """Read a file of PEM certificates. Those that are no authorities are left out, and named.

        Raises:
            ValueError: There is none, or one is unreadable; the message says so.
        """
        try:
            found = x509.load_pem_x509_certificates(pem)
        except ValueError:
            raise ValueError("no certificates in PEM") from None
        usable, problems = [], []
        for number, certificate in enumerate(found, 1):
            if reason := _defect(certificate):
                name = identify(certificate).common_name or "without a name"
                problems.append(f"certificate {number} ({name}) is no authority here: {reason}")
            else:
                usable.append(certificate)
        return cls(usable), problems

    def issuer(self, identity: Identity) -> Identity | None:
        """The authority that has issued a client certificate. Whether it is valid is not looked at."""
        known = self._issuers.get(identity.fingerprint, ...)
        if known is not ...:
            return known
        found = self._find(identity.der)
        if len(identity.der) <= MAX_REMEMBERED:
            if len(self._issuers) >= REMEMBERED:  # strangers can make as many as they like
                self._issuers.clear()
            self._issuers[identity.fingerprint] = found
        return found

    def _find(self, der: bytes) -> Identity | None:
        try:
            certificate = x509.load_der_x509_certificate(der)
            # Two documents with one such digest can be made, and only the other one be signed. Not every
            # version of cryptography refuses them itself.
            if isinstance(certificate.signature_hash_algorithm, (MD5, SHA1)):
                return None
            if not _is_for_clients(certificate) or not _is_understood(certificate):
                return None
        except Exception:  # whatever it is, the certificate is at fault
            return None
        return next(
            (identity for authority, identity in self._certificates if _issued(certificate, authority)), None
        )


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # another issuer, a wrong signature, an algorithm that is unknown
        return False
    return True


def _defect(certificate: x509.Certificate) -> str | None:
    """Why a certificate cannot vouch for others."""
    identity = identify(certificate)
    if identity.defect:
        return identity.defect
    try:
        constraints = _extension(certificate, x509.BasicConstraints)
        usage = _extension(certificate, x509.KeyUsage)
        if constraints is None or not constraints.ca:
            return "its basic constraints do not make it one"
        if usage is not None and not usage.key_cert_sign:
            return "its key is not for signing certificates"
        if not _is_for_clients(certificate):
            return "its purposes do not include visitors (clientAuth)"
        if not _is_understood(certificate):
            return "it has limits that are not understood here"
    except Exception:  # ValueError, and others that are none
        return "its extensions are unreadable"
    return None


def _extension(certificate: x509.Certificate, kind: type[_E]) -> _E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _is_for_clients(certificate: x509.Certificate) -> bool:
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    return purposes is None or not _PURPOSES.isdisjoint(purposes)


def _is_understood(certificate: x509.Certificate) -> bool:
    return all(not part.critical or part.oid in _UNDERSTOOD for part in certificate.extensions)
