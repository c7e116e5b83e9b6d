"""A server's certificate and key, as they are read from two files in PEM.

What makes serving impossible raises `CertificateError`. What clients may complain about, such as an
expired certificate, is a warning: a capsule that answers is better than one that does not, as long
as its operator is told.
"""

import re
import shlex
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import IPv6Address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, PublicKeyAlgorithmOID

from pad19.protocol.client import Identity
from pad19.protocol.uri import InvalidURI, normalize_host, wildcard_of

from .identity import MIN_RSA, identify, is_self_signed
from .rehearsal import objection

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}  # that TLS 1.3 signs with
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
# What to do about a pair that is of no use, if pad19 makes the pairs of the folder; or if it does not.
RESTART = "move both files away: the next start makes a new pair"
_REPLACE = "get a new pair where it came from"
_DER = b"\x30"  # the first byte of a SEQUENCE: every certificate and key in DER form begins so


class CertificateError(Exception):
    """A certificate or key is of no use. The message is one sentence with the file and the mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A certificate with its key, ready to be served."""

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]  # the certificates above it, as they are sent
    private_key: PrivateKey = field(repr=False, compare=False)  # the certificate holds its other half
    certificate_path: Path
    key_path: Path
    hosts: tuple[str, ...]  # of the subjectAltName, normalised; an IPv6 address in brackets
    identity: Identity
    warnings: tuple[str, ...] = ()  # one sentence each, for the operator

    @property
    def fingerprint(self) -> str:
        """``"sha256:…"`` of the certificate."""
        return self.identity.fingerprint

    @property
    def key_fingerprint(self) -> str:
        """``"sha256:…"`` of the public key; renewal keeps it."""
        return self.identity.key_fingerprint

    @property
    def not_before(self) -> datetime:
        return self.identity.not_before

    @property
    def not_after(self) -> datetime:
        return self.identity.not_after

    @property
    def self_signed(self) -> bool:
        """Whether nobody but the key's owner stands behind the certificate."""
        return is_self_signed(self.certificate)

    @property
    def is_visitors(self) -> bool:
        """Whether its purposes say that clients show it, and no server."""
        return is_visitors(self.certificate)

    @property
    def key_type(self) -> str:
        """For people: ``ECDSA P-256``, ``RSA 3072``, ``Ed25519``."""
        match self.private_key:
            case rsa.RSAPrivateKey(key_size=bits):
                return f"RSA {bits}"
            case ec.EllipticCurvePrivateKey(curve=curve):
                return f"ECDSA {_CURVES[curve.name]}"
            case _:
                return "Ed25519"

    def covers(self, host: str) -> bool:
        """Whether a normalised host, or a ``*.`` wildcard as such, is among the names."""
        return host in self.hosts or wildcard_of(host) in self.hosts


def normalize(host: str) -> str:
    """The form in which hosts of certificates are compared: also ``*.`` names and bare addresses.

    Raises:
        CertificateError: It is neither a name nor an address.
    """
    wildcard, name = ("*.", host[2:]) if host.startswith("*.") else ("", host)
    if ":" in name and not name.startswith("["):
        name = f"[{name}]"
    try:
        return wildcard + normalize_host(name).removesuffix(".")
    except InvalidURI as error:
        why = "write a host without scheme, port and path" if {*":/"} & {*host} else error
        raise CertificateError(f"{host!r} cannot have a certificate: {why}") from error


def load(
    certificate_path: Path,
    key_path: Path,
    *,
    host: str | None = None,
    elsewhere: bool = False,
    usual: bool = False,
    now: datetime | None = None,
) -> Credentials:
    """Read a certificate with its chain, leaf first, and its key; check that both can be served.

    Keys are RSA, ECDSA or Ed25519, as PKCS#8 or in the traditional forms. ``host``: whom the
    certificate should cover; without one it is no server's. ``elsewhere``: somebody else than pad19
    makes and renews the pair. ``usual``: it is in the folder where ``pad19 cert`` looks by itself, so that
    messages need not name that. ``now`` (aware) is for the dates, which lead to warnings only.

    Raises:
        CertificateError: A file is missing, unreadable, not PEM or weak, the two do not match, or no client
            could connect to ``host`` with them.
    """
    ours = None if elsewhere else host
    mend = RESTART if ours else _REPLACE
    folder = None if usual else certificate_path.parent
    missing = f"make a pair with `{command('new', ours, folder)}`" if ours else "name the file that has it"
    leaf, *chain = _read_certificates(certificate_path, missing, mend)
    identity = identify(leaf)
    if identity.defect:
        raise CertificateError(f"{certificate_path} cannot be served: {identity.defect}; {mend}")
    if leaf.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS:
        raise CertificateError(
            f"{certificate_path} is for an RSA key that signs with PSS alone, which cannot be used here; "
            "get one for an ECDSA key, or for an ordinary RSA key"
        )
    private_key = read_key(key_path, mend)
    public_key = private_key.public_key()
    if leaf.public_key() != public_key:
        if any(public_key == certificate.public_key() for certificate in chain):
            raise CertificateError(
                f"{certificate_path} does not begin with the certificate of {key_path.name}; "
                "move it to the top"
            )
        raise CertificateError(
            f"{key_path} is not the key of {certificate_path.name}; restore the right one, or {mend}"
        )
    credentials = Credentials(
        certificate=leaf,
        chain=tuple(chain),
        private_key=private_key,
        certificate_path=certificate_path,
        key_path=key_path,
        hosts=_hosts(leaf, certificate_path, mend),
        identity=identity,
    )
    if host is not None and (reason := objection(credentials)):
        raise CertificateError(
            f"{certificate_path} cannot be served: no client can connect with it ({reason}); {mend}"
        )
    renewal = "where it came from"
    if ours and credentials.self_signed:
        renewal = f"with `{command('renew', ours, folder)}`"
    warnings = _warnings(credentials, host, renewal, now or datetime.now(UTC))
    return replace(credentials, warnings=tuple(warnings))


def command(name: str, host: str, folder: Path | None) -> str:
    """``pad19 cert new '*.example.org' --certs keys``, to be pasted.

    ``folder``: None where whoever reads it would get to the same one without. What a server says is read
    by others and from elsewhere, so it always has the folder.
    """
    words = ["pad19", "cert", name, host, *(("--certs", str(folder)) if folder else ())]
    return shlex.join(words)


def read_key(path: Path, mend: str = RESTART) -> PrivateKey:
    """The private key in a PEM file. ``mend``: what to do if it is of no use.

    Raises:
        CertificateError: It is missing or cannot be used.
    """
    data = _read_pem(path, "private key", f"restore it, or {mend}", mend)
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError as error:  # what cryptography raises for want of a password
        raise CertificateError(
            f"{path} is encrypted; decrypt it with `openssl pkey -in {path.name} -out {path.name}.plain` "
            "and put the result in its place"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{path} holds a broken private key; restore it from a backup") from error
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < MIN_RSA:
        raise CertificateError(
            f"{path} is too weak: {key.key_size} bits of RSA, where {MIN_RSA} are the least; {mend}"
        )
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name not in _CURVES:
        raise CertificateError(
            f"{path} is on the curve {key.curve.name}, which TLS 1.3 cannot use (P-256 is best); {mend}"
        )
    if not isinstance(key, PrivateKey):
        raise CertificateError(f"{path} is neither an RSA, ECDSA nor Ed25519 key; {mend}")
    return key


def _read_certificates(path: Path, missing: str, mend: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read_pem(path, "certificate", missing, mend))
    except ValueError as error:
        raise CertificateError(f"{path} holds a broken certificate; restore it from a backup") from error


def _read_pem(path: Path, wanted: str, missing: str, mend: str) -> bytes:
    """The contents of a file that holds at least one PEM block of the wanted kind.

    ``missing`` and ``mend``: what to do if there is no such file, or nothing in it.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise CertificateError(dangling(path) or f"{path} is missing; {missing}") from error
    except OSError as error:
        raise unreadable(path, error) from error
    found = (match[1].decode("ascii") for match in _BLOCK.finditer(data))
    labels = [label for label in found if not label.endswith("PARAMETERS")]  # of a curve, beside its key
    if any(label.endswith(wanted.upper()) for label in labels):
        return data
    if labels:
        kind = "private key" if labels[0].endswith("PRIVATE KEY") else labels[0].lower()
        raise CertificateError(
            f"{path} holds a {kind} where a {wanted} belongs; "
            "swap the two files if they are the wrong way round"
        )
    if not data.strip():
        raise CertificateError(f"{path} is empty; restore it, or {mend}")
    if data.startswith(_DER):
        tool = "x509" if wanted == "certificate" else "pkey"
        raise CertificateError(
            f"{path} is DER where PEM belongs; convert it with "
            f"`openssl {tool} -inform DER -in {path.name} -out {path.name}.pem`"
        )
    restore = "name the file that does" if mend == _REPLACE else "restore it from a backup"
    raise CertificateError(f"{path} holds no {wanted} in PEM form; {restore}")


def dangling(path: Path) -> str | None:
    """What to say of a link to nothing, in whose place no file can be made; None if it is no link."""
    if not path.is_symlink():
        return None
    return f"{path} is a link to {path.readlink()}, which is missing; restore that, or remove the link"


def unreadable(path: Path, error: OSError) -> CertificateError:
    """The error for a file or folder that the system does not let us read."""
    if isinstance(error, IsADirectoryError):
        return CertificateError(
            f"{path} is a folder where a file belongs; name the file, or move the folder away"
        )
    return CertificateError(
        f"{path} cannot be read ({error.strerror}); make it readable for the user that runs pad19"
    )


def alternative_names(certificate: x509.Certificate) -> tuple[str, ...] | None:
    """The names and addresses of the subjectAltName as hosts; None without that extension.

    Raises:
        ValueError: The extensions are malformed.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    except Exception as error:  # cryptography has several for extensions that it cannot parse
        raise ValueError("malformed extensions") from error
    addresses = names.get_values_for_type(x509.IPAddress)
    return (
        *(name.lower() for name in names.get_values_for_type(x509.DNSName)),
        *(f"[{address}]" if isinstance(address, IPv6Address) else str(address) for address in addresses),
    )


def is_visitors(certificate: x509.Certificate) -> bool:
    """Whether a certificate with extensions that can be read is for clients, and not for servers as well."""
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in purposes and ExtendedKeyUsageOID.SERVER_AUTH not in purposes


def _hosts(certificate: x509.Certificate, path: Path, mend: str) -> tuple[str, ...]:
    try:
        return alternative_names(certificate) or ()
    except ValueError as error:
        raise CertificateError(f"{path} has malformed extensions; {mend}") from error


def _warnings(credentials: Credentials, host: str | None, renewal: str, now: datetime) -> Iterator[str]:
    path, key_path = credentials.certificate_path, credentials.key_path
    if now > credentials.not_after:
        yield f"{path} expired on {credentials.not_after:%Y-%m-%d}; renew it {renewal}"
    if now < credentials.not_before:
        yield f"{path} is not valid before {credentials.not_before:%Y-%m-%d}; check the clock"
    if host is not None and not credentials.covers(normalize(host)):
        names = ", ".join(credentials.hosts) or "no host at all"
        yield f"{path} is for {names}, not for {host}; clients may refuse it"
    with suppress(OSError):  # it was there a moment ago, when it was read
        if key_path.stat().st_mode & stat.S_IROTH:
            yield f"{key_path} can be read by everybody; close it with `chmod 600 {key_path}`"
