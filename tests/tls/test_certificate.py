import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtensionOID, NameOID

from pad19.tls.certificate import CertificateError, Credentials, command, load
from pad19.tls.certificate_folder import files
from support.users import unprivileged

NOW = datetime(2025, 6, 1, tzinfo=UTC)
HOST = "capsule.example"
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()

Key = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | dsa.DSAPrivateKey
)
EdwardsKey = ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey


def issue(
    key: Key = EC,
    *,
    issuer: str = HOST,
    extension: x509.ExtensionType | None = None,
    hosts: tuple[x509.GeneralName, ...] = (x509.DNSName(HOST),),
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
    )
    if hosts or extension:
        builder = builder.add_extension(extension or x509.SubjectAlternativeName(hosts), critical=False)
    return builder.sign(key, None if isinstance(key, EdwardsKey) else SHA256())


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def key_pem(key: Key, form: PrivateFormat = PrivateFormat.PKCS8, password: bytes = b"") -> bytes:
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, lock)


def pair(folder: Path, certificate: bytes | None, key: bytes | None) -> tuple[Path, Path]:
    certificate_path, key_path = files(HOST, folder)
    if certificate is not None:
        certificate_path.write_bytes(certificate)
    if key is not None:
        key_path.write_bytes(key)
        key_path.chmod(0o600)
    return certificate_path, key_path


def loaded(folder: Path, certificate: bytes | None, key: bytes | None) -> Credentials:
    return load(*pair(folder, certificate, key), host=HOST, now=NOW)


GOOD = pem(issue())
KEY = key_pem(EC)


def test_what_is_loaded(tmp_path: Path) -> None:
    certificate_path, key_path = pair(tmp_path, GOOD, KEY)
    credentials = load(certificate_path, key_path, host=HOST, now=NOW)
    assert pem(credentials.certificate) == GOOD
    assert credentials.chain == ()
    assert credentials.private_key.public_key() == EC.public_key()
    assert (credentials.certificate_path, credentials.key_path) == (certificate_path, key_path)
    assert credentials.hosts == (HOST,)
    assert credentials.fingerprint == f"sha256:{issue_fingerprint(GOOD)}"
    assert credentials.key_fingerprint.startswith("sha256:")
    assert credentials.not_before == NOW - timedelta(days=1)
    assert credentials.not_after == NOW + timedelta(days=1)
    assert credentials.self_signed
    assert credentials.warnings == ()
    assert "PrivateKey" not in repr(credentials)


def issue_fingerprint(data: bytes) -> str:
    return x509.load_pem_x509_certificate(data).fingerprint(SHA256()).hex()


TRADITIONAL = PrivateFormat.TraditionalOpenSSL
P384 = ec.generate_private_key(ec.SECP384R1())


@pytest.mark.parametrize(
    ("key", "data", "kind"),
    [
        (EC, key_pem(EC), "ECDSA P-256"),
        (EC, key_pem(EC, TRADITIONAL), "ECDSA P-256"),
        (EC, key_pem(EC).replace(b"\n", b"\r\n"), "ECDSA P-256"),
        (EC, b"Bag Attributes\n  name: x\n" + key_pem(EC), "ECDSA P-256"),
        # `openssl ecparam -genkey` writes the curve (here P-256) in front.
        (
            EC,
            b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
            + key_pem(EC, TRADITIONAL),
            "ECDSA P-256",
        ),
        (P384, key_pem(P384), "ECDSA P-384"),
        (RSA, key_pem(RSA), "RSA 2048"),
        (RSA, key_pem(RSA, TRADITIONAL), "RSA 2048"),
        (ED25519, key_pem(ED25519), "Ed25519"),
    ],
)
def test_forms_of_keys(tmp_path: Path, key: Key, data: bytes, kind: str) -> None:
    credentials = loaded(tmp_path, pem(issue(key)), data)
    assert credentials.key_type == kind
    assert credentials.warnings == ()


def test_chain_with_comments_and_crlf(tmp_path: Path) -> None:
    leaf, above = issue(issuer="an authority"), issue(RSA)
    text = (
        b"subject: the leaf\r\n" + pem(leaf).replace(b"\n", b"\r\n") + b"\r\nsubject: above\r\n" + pem(above)
    )
    credentials = loaded(tmp_path, text, KEY)
    assert (credentials.certificate, credentials.chain) == (leaf, (above,))
    assert not credentials.self_signed


def test_hosts_of_all_kinds(tmp_path: Path) -> None:
    names = (
        x509.DNSName("EXAMPLE.org"),
        x509.DNSName("*.example.net"),
        x509.RFC822Name("me@example.org"),
        x509.IPAddress(ip_address("2001:db8::1")),
        x509.IPAddress(ip_address("192.0.2.1")),
    )
    credentials = load(*pair(tmp_path, pem(issue(hosts=names)), KEY), now=NOW)
    assert credentials.hosts == ("example.org", "*.example.net", "[2001:db8::1]", "192.0.2.1")
    assert credentials.warnings == ()
    covered = ["example.org", "*.example.net", "a.example.net", "[2001:db8::1]", "192.0.2.1"]
    others = ["example.net", "a.b.example.net", "www.example.org", "*.example.org", "[2001:db8::2]", "net"]
    assert [host for host in covered + others if credentials.covers(host)] == covered


BROKEN_PEM = GOOD[:100] + b"!" + GOOD[101:]
BROKEN_NAMES = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"garbage")
RSA_1024 = rsa.generate_private_key(65537, 1024)  # noqa: S505 it is to be refused
SECP256K1 = ec.generate_private_key(ec.SECP256K1())
ED448 = ed448.Ed448PrivateKey.generate()
DSA = dsa.generate_private_key(2048)
EXCHANGE = x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
REQUEST = b"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"

# The kind of a key: rsaEncryption without parameters, and RSASSA-PSS with the usual ones.
ANY_RSA, PSS_ONLY = (bytes.fromhex(f"2a864886f70d0101{last}") for last in ("010500", "0a3000"))
PSS = x509.load_der_x509_certificate(
    issue(RSA, issuer="an authority").public_bytes(Encoding.DER).replace(ANY_RSA, PSS_ONLY)
)

REFUSED: list[
    tuple[str, bytes | None, bytes | None, str, str]
] = [  # ..., the file at fault, what and the mend
    ("no files", None, None, "crt", "is missing; .* `pad19 cert new capsule.example --certs /.*`$"),
    ("no certificate", None, KEY, "crt", "is missing; make a pair"),
    ("no key", GOOD, None, "key", "is missing; restore it"),
    ("empty certificate", b" \n", KEY, "crt", "is empty; restore it"),
    ("empty key", GOOD, b"", "key", "is empty; restore it"),
    ("text for a certificate", b"hello", KEY, "crt", "holds no certificate in PEM form; restore"),
    ("text for a key", GOOD, b"hello", "key", "holds no private key in PEM form; restore"),
    ("half a certificate", GOOD[:200], KEY, "crt", "holds no certificate in PEM form"),
    ("swapped", KEY, GOOD, "crt", "holds a private key where a certificate belongs; swap"),
    ("swapped, with parameters", PARAMETERS + key_pem(EC, TRADITIONAL), GOOD, "crt", "holds a private key"),
    ("parameters", PARAMETERS, KEY, "crt", "holds no certificate in PEM form; restore"),
    ("certificate twice", GOOD, GOOD, "key", "holds a certificate where a private key belongs; swap"),
    ("request", REQUEST, KEY, "crt", "holds a certificate request where a certificate belongs"),
    ("DER certificate", issue().public_bytes(Encoding.DER), KEY, "crt", "is DER .*`openssl x509 -inform DER"),
    (
        "DER key",
        GOOD,
        EC.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        "key",
        "is DER .*`openssl pkey -inform DER",
    ),
    ("broken certificate", BROKEN_PEM, KEY, "crt", "holds a broken certificate; restore"),
    ("broken key", GOOD, KEY.replace(b"\nM", b"\nN"), "key", "holds a broken private key; restore"),
    ("encrypted key", GOOD, key_pem(EC, password=b"x"), "key", "is encrypted; decrypt it with `openssl pkey"),
    (
        "encrypted traditional key",
        GOOD,
        key_pem(RSA, TRADITIONAL, b"x"),
        "key",
        "is encrypted; decrypt it",
    ),
    ("another's key", GOOD, key_pem(P384), "key", f"is not the key of {HOST}.crt; restore"),
    ("leaf last", pem(issue(RSA)) + GOOD, KEY, "crt", f"begin with the certificate of {HOST}.key; move it"),
    (
        "weak certificate",
        pem(issue(RSA_1024)),
        key_pem(RSA_1024),
        "crt",
        "too weak: 1024 bits.*; move both files",
    ),
    ("weak key", GOOD, key_pem(RSA_1024), "key", "too weak: 1024 bits of RSA.*; move both files"),
    ("curve", pem(issue(SECP256K1)), key_pem(SECP256K1), "key", "curve secp256k1.* move both files away"),
    ("Ed448", pem(issue(ED448)), key_pem(ED448), "key", "neither an RSA, ECDSA nor Ed25519 key; move"),
    ("DSA", GOOD, key_pem(DSA), "key", "neither an RSA, ECDSA nor Ed25519 key; move"),
    ("exchange key", GOOD, EXCHANGE, "key", "neither an RSA, ECDSA nor Ed25519 key; move"),
    ("PSS", pem(PSS), key_pem(RSA), "crt", "RSA key that signs with PSS alone, .*; get one for an ECDSA key"),
    (
        "weak authority",
        GOOD + pem(issue(RSA_1024)),
        KEY,
        "crt",
        r"no client can connect with it \(ca key too small\); move both files",
    ),
    ("broken names", pem(issue(extension=BROKEN_NAMES)), KEY, "crt", "malformed extensions; move both files"),
]


@pytest.mark.parametrize(
    ("certificate", "key", "at_fault", "sentence"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_refused_with_file_and_mend(
    tmp_path: Path, certificate: bytes | None, key: bytes | None, at_fault: str, sentence: str
) -> None:
    with pytest.raises(CertificateError, match=sentence) as caught:
        loaded(tmp_path, certificate, key)
    assert str(caught.value).startswith(f"{tmp_path / HOST}.{at_fault} ")
    assert "\n" not in str(caught.value)


ELSEWHERE = [  # what is in the files, the mend
    ("missing", None, KEY, "is missing; name the file that has it"),
    ("text", b"# Home", KEY, "holds no certificate in PEM form; name the file that does"),
    ("empty", b"", KEY, "is empty; restore it, or get a new pair where it came from"),
    ("another's key", GOOD, key_pem(P384), "restore the right one, or get a new pair where it came from"),
]


@pytest.mark.parametrize(
    ("certificate", "key", "sentence"), [row[1:] for row in ELSEWHERE], ids=[row[0] for row in ELSEWHERE]
)
@pytest.mark.parametrize("host", [HOST, None])
def test_a_pair_from_elsewhere_is_not_for_our_commands(
    tmp_path: Path, certificate: bytes | None, key: bytes, sentence: str, host: str | None
) -> None:
    with pytest.raises(CertificateError, match=sentence):
        load(*pair(tmp_path, certificate, key), host=host, elsewhere=host is not None)


def test_an_expired_one_from_elsewhere_is_renewed_there(tmp_path: Path) -> None:
    files = pair(tmp_path, pem(issue()), KEY)
    [warning] = load(*files, host=HOST, elsewhere=True, now=NOW + timedelta(days=2)).warnings
    assert warning.endswith("; renew it where it came from")


def test_commands_can_be_pasted() -> None:
    assert command("renew", "*.example.org", None) == "pad19 cert renew '*.example.org'"
    assert command("new", "example.org", Path("certs")) == "pad19 cert new example.org --certs certs"
    assert command("new", "::1", Path("my $HOME/c")) == "pad19 cert new ::1 --certs 'my $HOME/c'"


def test_a_usual_folder_is_not_named(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=rf"`pad19 cert new {HOST}`$"):
        load(*pair(tmp_path, None, None), host=HOST, usual=True)
    [warning] = load(
        *pair(tmp_path, pem(issue()), KEY), host=HOST, usual=True, now=NOW + timedelta(days=2)
    ).warnings
    assert warning.endswith(f"`pad19 cert renew {HOST}`")


def test_what_no_client_can_connect_with_may_still_be_a_visitors(tmp_path: Path) -> None:
    paths = pair(tmp_path, GOOD + pem(issue(RSA_1024)), KEY)
    assert load(*paths).chain
    with pytest.raises(CertificateError, match="get a new pair where it came from"):
        load(*paths, host=HOST, elsewhere=True)


def test_certificate_with_a_wrong_signature(tmp_path: Path) -> None:
    der = issue().public_bytes(Encoding.DER)
    flipped = x509.load_der_x509_certificate(der[:-1] + bytes([der[-1] ^ 1]))
    with pytest.raises(CertificateError, match=r"cannot be served: this certificate's signature is wrong"):
        loaded(tmp_path, pem(flipped), KEY)


@pytest.mark.parametrize("at_fault", ["crt", "key"])
def test_folder_where_a_file_belongs(tmp_path: Path, at_fault: str) -> None:
    certificate_path, key_path = pair(
        tmp_path, None if at_fault == "crt" else GOOD, None if at_fault == "key" else KEY
    )
    (certificate_path if at_fault == "crt" else key_path).mkdir()
    with pytest.raises(
        CertificateError, match=rf"{HOST}\.{at_fault} is a folder where a file belongs; name the file"
    ):
        load(certificate_path, key_path, now=NOW)


def test_unreadable_key() -> None:
    with unprivileged() as folder:
        certificate_path, key_path = pair(folder, GOOD, KEY)
        key_path.chmod(0)
        with pytest.raises(
            CertificateError, match=r"key cannot be read \(Permission denied\); make it readable"
        ):
            load(certificate_path, key_path)


WARNED: list[tuple[str, x509.Certificate, timedelta, str]] = [
    (
        "expired",
        issue(),
        timedelta(days=2),
        r"\.crt expired on 2025-06-02; renew it with `pad19 cert renew capsule\.example --certs /.+`$",
    ),
    (
        "expired, from an authority",
        issue(issuer="an authority"),
        timedelta(days=2),
        "expired on 2025-06-02; renew it where it came from",
    ),
    ("too early", issue(), -timedelta(days=2), r"\.crt is not valid before 2025-05-31; check the clock"),
    (
        "another host",
        issue(hosts=(x509.DNSName("a.example"), x509.DNSName("b.example"))),
        timedelta(0),
        r"\.crt is for a\.example, b\.example, not for capsule\.example; clients may refuse it",
    ),
    ("no host", issue(hosts=()), timedelta(0), r"\.crt is for no host at all, not for"),
]


@pytest.mark.parametrize(
    ("certificate", "later", "sentence"), [row[1:] for row in WARNED], ids=[row[0] for row in WARNED]
)
def test_served_with_a_warning(
    tmp_path: Path, certificate: x509.Certificate, later: timedelta, sentence: str
) -> None:
    (warning,) = load(*pair(tmp_path, pem(certificate), KEY), host=HOST, now=NOW + later).warnings
    assert warning.startswith(str(tmp_path))
    assert re.search(sentence, warning)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_key_for_all_to_read(tmp_path: Path, mode: int, warned: bool) -> None:
    certificate_path, key_path = pair(tmp_path, GOOD, KEY)
    key_path.chmod(mode)
    warnings = load(certificate_path, key_path, host=HOST, now=NOW).warnings
    sentence = f"{key_path} can be read by everybody; close it with `chmod 600 {key_path}`"
    assert warnings == ((sentence,) if warned else ())


def test_dates_are_compared_with_today(tmp_path: Path) -> None:
    (warning,) = load(*pair(tmp_path, GOOD, KEY)).warnings
    assert "expired on 2025-06-02" in warning
