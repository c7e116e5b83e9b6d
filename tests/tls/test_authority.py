from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pad19.tls import authority as module
from pad19.tls.authority import Authorities
from pad19.tls.identity import MAX_REMEMBERED, identify
from support.tls import self_signed

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
END = datetime(2120, 1, 1, tzinfo=UTC)

CA = x509.BasicConstraints(ca=True, path_length=None)
NO_CA = x509.BasicConstraints(ca=False, path_length=None)
CLIENTS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
ANYTHING = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
SERVERS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
LIMIT = x509.NameConstraints([x509.DNSName("example.org")], None)
STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=sign, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


class Issuer:
    """An authority of somebody's own."""

    def __init__(
        self,
        *extensions: x509.ExtensionType,
        name: str = "Family",
        key: Key | None = None,
        critical: bool = True,
        not_after: datetime = END,
    ) -> None:
        self.key: Key = key or ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self.issue(
            *extensions, subject=self.name, key=self.key, critical=critical, not_after=not_after
        )

    def issue(
        self,
        *extensions: x509.ExtensionType,
        subject: x509.Name | None = None,
        key: Key | None = None,
        critical: bool = True,
        not_after: datetime = END,
        padding: int = 0,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ada")]))
            .issuer_name(self.name)
            .public_key((key or ec.generate_private_key(ec.SECP256R1())).public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(BEGIN)
            .not_valid_after(not_after)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical)
        if padding:
            much = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.5"), bytes(padding))
            builder = builder.add_extension(much, critical=False)
        is_ed25519 = isinstance(self.key, ed25519.Ed25519PrivateKey)
        return builder.sign(self.key, None if is_ed25519 else hashes.SHA256())


FAMILY = Issuer(CA, usage(sign=True))


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def authorities(*issuers: Issuer) -> Authorities:
    found, problems = Authorities.parse(pem(*(issuer.certificate for issuer in issuers)))
    assert problems == []
    return found


def test_who_was_issued_by_it() -> None:
    known = authorities(FAMILY)
    ada = identify(FAMILY.issue())
    assert known.issuer(ada) == identify(FAMILY.certificate)
    assert known.issuer(ada) == identify(FAMILY.certificate)


@pytest.mark.parametrize(
    "issuer",
    [
        Issuer(CA),
        Issuer(CA, CLIENTS),
        Issuer(CA, ANYTHING, critical=False),
        Issuer(CA, LIMIT, critical=False),
        Issuer(CA, key=ed25519.Ed25519PrivateKey.generate()),
        Issuer(CA, key=rsa.generate_private_key(65537, 2048)),
        Issuer(CA, not_after=BEGIN.replace(year=2021)),  # whoever asks looks at the date
    ],
)
def test_authorities_of_many_kinds(issuer: Issuer) -> None:
    other = Issuer(CA, name="Other")
    found = authorities(other, issuer).issuer(identify(issuer.issue()))
    assert found == identify(issuer.certificate)


ISSUED = [  # a certificate, whether it is taken
    (FAMILY.issue(NO_CA, CLIENTS, usage(sign=False)), True),
    (FAMILY.issue(ANYTHING), True),
    (FAMILY.issue(STRANGE, critical=False), True),
    (FAMILY.issue(x509.SubjectAlternativeName([x509.DNSName("a.example")])), True),
    (FAMILY.issue(padding=MAX_REMEMBERED), True),
    (FAMILY.issue(subject=x509.Name([])), True),
    (FAMILY.issue(SERVERS), False),  # made for a server, and stolen from it
    (FAMILY.issue(STRANGE), False),
    (FAMILY.issue(LIMIT), False),
    (Issuer(CA).issue(), False),  # of the same name, which anybody can take
    (self_signed("Ada").certificate, False),
    (self_signed("Family").certificate, False),
]


@pytest.mark.parametrize(("certificate", "is_taken"), ISSUED)
def test_what_is_issued(certificate: x509.Certificate, is_taken: bool) -> None:
    known = authorities(FAMILY)
    for _ in range(2):  # once looked at, once remembered
        assert (known.issuer(identify(certificate)) is not None) is is_taken


# Made by openssl: cryptography signs nothing with SHA-1 any more, and its older versions verify it.
WITH_SHA1 = b"""\
-----BEGIN CERTIFICATE-----
MIIBcjCCARmgAwIBAgIUcun4tnpZPs2+zZ8mobhIjyH9g5AwCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDT2xkMCAXDTI2MTEyMzA5MDEyMloYDzIxMjUwNjE3MDkwMTIy
WjAOMQwwCgYDVQQDDANPbGQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQkep2u
YcWKuKzGL9wiDcVrwsptX9Sos+z1hK46xAMskQQwlQVDOjs95+0+1JCGAU4MZGE4
Ygwp8fI3YNG8sf6qo1MwUTAdBgNVHQ4EFgQUuYU+Pg8AcBw89GjOKyxsIYIaglEw
HwYDVR0jBBgwFoAUuYU+Pg8AcBw89GjOKyxsIYIaglEwDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNHADBEAiAneHaCTOQHQ65mH86URg4nadq8dQ8lhsyMkV5M
ZNKG5QIgYOlidTtt+AU7PVZbf9oVGkLJOfTNDIYdOLDQGu0Wl0s=
-----END CERTIFICATE-----
-----BEGIN CERTIFICATE-----
MIIBFjCBvgIUNG+2jiydceB/9cH/+ymYk4ixnqYwCQYHKoZIzj0EATAOMQwwCgYD
VQQDDANPbGQwIBcNMjYxMTIzMDkwMTIyWhgPMjEyNTA2MTcwOTAxMjJaMA4xDDAK
BgNVBAMMA0FkYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCR6na5hxYq4rMYv
3CINxWvCym1f1Kiz7PWErjrEAyyRBDCVBUM6Oz3n7T7UkIYBTgxkYThiDCnx8jdg
0byx/qowCQYHKoZIzj0EAQNIADBFAiBhPxdNS/CP9/9duWkObu7/38aQT72wlp2c
KUou5tPdPgIhAMMNVyATG4Bs/sS+Wquyeivy2Fug/eX2nYZlrLoHZHSW
-----END CERTIFICATE-----
"""


def test_old_digests_are_not_taken() -> None:
    old, ada = x509.load_pem_x509_certificates(WITH_SHA1)
    found, problems = Authorities.parse(pem(old))
    assert problems == []
    assert found.issuer(identify(ada)) is None


def test_a_signature_is_looked_at() -> None:
    der = bytearray(FAMILY.issue().public_bytes(Encoding.DER))
    der[-1] ^= 1
    forged = identify(x509.load_der_x509_certificate(bytes(der)))
    assert authorities(FAMILY).issuer(forged) is None


def test_what_is_issued_by_one_that_was_issued_is_not() -> None:
    inner = Issuer(CA)
    inner.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Inner")])
    between = FAMILY.issue(CA, subject=inner.name, key=inner.key)
    ada = identify(inner.issue())
    assert authorities(FAMILY).issuer(ada) is None
    found, problems = Authorities.parse(pem(FAMILY.certificate, between))
    assert problems == []
    assert found.issuer(ada) == identify(between)


NO_AUTHORITIES = [
    (self_signed("Ada").certificate, "(Ada) is no authority here: its basic constraints do not make it one"),
    (Issuer(NO_CA).certificate, "its basic constraints do not make it one"),
    (Issuer(CA, usage(sign=False)).certificate, "its key is not for signing certificates"),
    (Issuer(CA, SERVERS).certificate, "its purposes do not include visitors (clientAuth)"),
    (Issuer(CA, LIMIT).certificate, "it has limits that are not understood here"),
    (
        Issuer(CA, key=rsa.generate_private_key(65537, 1024)).certificate,  # noqa: S505 - that is the point
        "RSA key is too weak: 1024 bits",
    ),
]


@pytest.mark.parametrize(("certificate", "reason"), NO_AUTHORITIES)
def test_what_is_no_authority_is_named_and_spoils_no_other(
    certificate: x509.Certificate, reason: str
) -> None:
    found, [problem] = Authorities.parse(pem(certificate, FAMILY.certificate))
    assert problem.startswith("certificate 1 (")
    assert reason in problem
    assert found.issuer(identify(certificate)) is None
    assert found.issuer(identify(FAMILY.issue()))


@pytest.mark.parametrize(
    "data", [b"", b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_certificates(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^no certificates in PEM$"):
        Authorities.parse(data)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 3)
    known = authorities(FAMILY)
    for _ in range(10):
        assert known.issuer(identify(FAMILY.issue()))
    assert known.issuer(identify(FAMILY.issue(padding=MAX_REMEMBERED)))
    assert len(known._issuers) <= 3
