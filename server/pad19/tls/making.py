"""Make and renew self-signed certificates, for hosts and for people.

Clients trust on first use: they remember a certificate or its key and ask when it changes. So a
certificate lives for a century, and renewal keeps the key.

Any number of processes may make the same certificate at once, without a lock that could be left
behind. A file is written under another name and then linked to its own, which only the first can
do; whoever comes second takes the first one's key. The key comes first, so that no certificate is
ever without its key, and a key alone is where the next attempt goes on.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .certificate import (
    CertificateError,
    Credentials,
    PrivateKey,
    command,
    dangling,
    load,
    normalize,
    read_key,
)
from .certificate_folder import files
from .whole_file import written_beside

YEARS = 100
MAX_COMMON_NAME = 64  # characters (RFC 5280, appendix A: ub-common-name)
EARLIER = timedelta(days=1)  # a client whose clock is slow must not find it "not yet valid"
FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280, section 4.1.2.5


def load_or_make(host: str, folder: Path) -> tuple[Credentials, bool]:
    """The credentials of a host, and whether they were made just now because there were none.

    Raises:
        CertificateError: What is there cannot be used, or the folder cannot be written.
    """
    certificate_path, key_path = files(host, folder)
    made = _make(host, folder, YEARS, None)
    return load(certificate_path, key_path, host=host), made


def make(
    host: str, folder: Path, *, years: int = YEARS, usual: bool = False, now: datetime | None = None
) -> Credentials:
    """Make the certificate of a host, with the key in the folder if there is one. ``usual``: as in `load`.

    Raises:
        CertificateError: There is a certificate already, or the folder cannot be written.
    """
    certificate_path, key_path = files(host, folder)
    if not _make(host, folder, years, now):
        if not certificate_path.exists() and (problem := dangling(certificate_path)):
            raise CertificateError(problem)
        renewal = command("renew", host, None if usual else folder)
        raise CertificateError(
            f"{certificate_path} exists already; renew it with `{renewal}`, "
            f"or move it and {key_path.name} away for a new key"
        )
    return load(certificate_path, key_path, host=host, usual=usual, now=now)


def make_client(
    name: str,
    certificate_path: Path,
    key_path: Path,
    *,
    years: int = YEARS,
    now: datetime | None = None,
) -> Credentials:
    """Make a certificate by which a person or program is recognised; ``name``: 1 to 64 characters.

    Raises:
        CertificateError: There is a certificate already, or the folder cannot be written.
    """

    def build(key: PrivateKey) -> x509.Certificate:
        return _sign(_name(name), [], _CLIENT, key, years, now)

    if not _make_pair(certificate_path, key_path, build):
        raise CertificateError(f"{certificate_path} exists already; choose another name with `--out`")
    return load(certificate_path, key_path, now=now)


def renew(
    host: str,
    folder: Path,
    *,
    years: int = YEARS,
    force: bool = False,
    usual: bool = False,
    now: datetime | None = None,
) -> Credentials:
    """Give a self-signed certificate new dates. Key, names and purposes stay.

    ``host`` is added if it is missing, unless the certificate is a visitor's. ``usual``: as in `load`.

    Raises:
        CertificateError: It is not self-signed (without ``force``), or one of the files is of no use.
    """
    certificate_path, key_path = files(host, folder)
    current = load(certificate_path, key_path, host=host, usual=usual, now=now)
    if current.is_visitors:
        return renew_pair(certificate_path, key_path, years=years, force=force, now=now)
    missing = [] if current.covers(normalize(host)) else [_general_name(normalize(host))]
    _renew(current, missing, years, force, now)
    return load(certificate_path, key_path, host=host, usual=usual, now=now)


def renew_pair(
    certificate_path: Path,
    key_path: Path,
    *,
    years: int = YEARS,
    force: bool = False,
    now: datetime | None = None,
) -> Credentials:
    """As `renew`, for anybody's pair, of which nothing but the dates is changed."""
    _renew(load(certificate_path, key_path, now=now), [], years, force, now)
    return load(certificate_path, key_path, now=now)


def _renew(
    current: Credentials, more: list[x509.GeneralName], years: int, force: bool, now: datetime | None
) -> None:
    path = current.certificate_path
    if not current.self_signed and not force:
        raise CertificateError(
            f"{path} was issued by a certificate authority; renew it there, "
            "or give `--force` for a self-signed one in its place"
        )
    subject, extensions = current.certificate.subject, current.certificate.extensions
    names, purposes = more, None
    with suppress(x509.ExtensionNotFound):
        names = [*extensions.get_extension_for_class(x509.SubjectAlternativeName).value, *more]
    with suppress(x509.ExtensionNotFound):
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    certificate = _sign(subject, names, purposes, current.private_key, years, now)
    # What a link leads to is renewed: the link is there for a reason.
    _write(Path(os.path.realpath(path)), certificate.public_bytes(Encoding.PEM), 0o644, replace=True)


def _make(host: str, folder: Path, years: int, now: datetime | None) -> bool:
    """Make the pair of a host. False: there is a certificate already."""
    name = normalize(host)

    def build(key: PrivateKey) -> x509.Certificate:
        subject = _name(name.strip("[]")[:MAX_COMMON_NAME])
        return _sign(subject, [_general_name(name)], _SERVER, key, years, now)

    return _make_pair(*files(host, folder), build)


def _make_pair(
    certificate_path: Path, key_path: Path, build: Callable[[PrivateKey], x509.Certificate]
) -> bool:
    if os.path.lexists(certificate_path):
        return False
    folder = key_path.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    key: PrivateKey = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if not _write(key_path, pem, 0o600):
        key = read_key(key_path)  # it was left alone on purpose, or another process was quicker
    return _write(certificate_path, build(key).public_bytes(Encoding.PEM), 0o644)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    """A normalised host as it stands in a subjectAltName."""
    with suppress(ValueError):
        return x509.IPAddress(ip_address(host.strip("[]")))
    if host.startswith("["):
        raise CertificateError(f"{host} cannot have a certificate: it is no IPv6 address")
    return x509.DNSName(host)


def _sign(
    subject: x509.Name,
    names: list[x509.GeneralName],
    purposes: x509.ExtendedKeyUsage | None,
    key: PrivateKey,
    years: int,
    now: datetime | None,
) -> x509.Certificate:
    """A self-signed certificate as RFC 5280 wants an end entity's, for the strictest of clients."""
    today = (now or datetime.now(UTC)).replace(microsecond=0)
    # A Gregorian year, so that February 29 needs no care; OverflowError is what lies past year 9999.
    try:
        not_after = min(today + timedelta(days=years * 365.2425), FOREVER)
    except OverflowError:
        not_after = FOREVER
    public_key = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - EARLIER)
        .not_valid_after(not_after.replace(microsecond=0))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SIGNING, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    if purposes:
        builder = builder.add_extension(purposes, critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256())


_SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
_CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
_SIGNING = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def _write(path: Path, data: bytes, mode: int, *, replace: bool = False) -> bool:
    """Write the whole file or nothing. False: the file exists, and ``replace`` was not asked for."""
    try:
        with written_beside(path, data, mode) as temporary:
            if replace:
                temporary.replace(path)
            elif not _link(temporary, path):
                return False
        _sync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    return True


def _link(temporary: Path, path: Path) -> bool:
    """Give a file its name unless the name is taken."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    except OSError:
        # A file system without hard links (FAT, Android): here two writers at once may collide.
        if os.path.lexists(path):
            return False
        temporary.replace(path)
    return True


def _sync(folder: Path) -> None:
    """Let the names of new files survive a power failure, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_MENDS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room there, or name another folder"),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "a file is in the way: move it, or name another folder"),
    errno.EROFS: "mount it to be written to (for systemd: ReadWritePaths=), or name another folder",
    **dict.fromkeys(
        (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE),
        "allow this process more of that, or end others, and try again",
    ),
}


def _unwritable(path: Path, error: OSError) -> CertificateError:
    mend = _MENDS.get(
        error.errno or 0, "make the folder writable for the user that runs pad19, or name another one"
    )
    return CertificateError(f"{path} cannot be written ({error.strerror}); {mend}")
