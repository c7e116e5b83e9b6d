import errno
import os
import ssl
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from threading import Barrier

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pad19.tls import making
from pad19.tls.certificate import CertificateError, Credentials, PrivateKey, load
from pad19.tls.certificate_folder import files
from pad19.tls.making import FOREVER, load_or_make, make, make_client, renew, renew_pair
from support.users import unprivileged

NOW = datetime(2024, 2, 29, 12, 30, 15, 999, tzinfo=UTC)
HOST = "capsule.example"
LONG_HOST = f"{'a' * 60}.{'b' * 60}.example"


def write_key(path: Path, key: PrivateKey) -> None:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("host", "name", "common_name"),
    [
        ("example.org", x509.DNSName("example.org"), "example.org"),
        ("Example.ORG.", x509.DNSName("example.org"), "example.org"),
        ("*.example.org", x509.DNSName("*.example.org"), "*.example.org"),
        ("bücher.example", x509.DNSName("xn--bcher-kva.example"), "xn--bcher-kva.example"),
        ("192.0.2.1", x509.IPAddress(ip_address("192.0.2.1")), "192.0.2.1"),
        ("[2001:db8:0::1]", x509.IPAddress(ip_address("2001:db8::1")), "2001:db8::1"),
        ("::1", x509.IPAddress(ip_address("::1")), "::1"),
        (LONG_HOST, x509.DNSName(LONG_HOST), LONG_HOST[:64]),
    ],
)
def test_what_is_made(tmp_path: Path, host: str, name: x509.GeneralName, common_name: str) -> None:
    credentials = make(host, tmp_path, now=NOW)
    certificate = credentials.certificate
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [name]
    assert [attribute.value for attribute in certificate.subject] == [common_name]
    assert credentials.self_signed
    assert credentials.key_type == "ECDSA P-256"
    assert credentials.warnings == ()
    assert credentials.identity.defect is None
    assert (credentials.certificate_path, credentials.key_path) == files(host, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(files(host, tmp_path))  # no temporary file stays


@pytest.mark.parametrize(
    ("years", "not_after"),
    [
        (1, datetime(2025, 2, 28, 18, 19, 27, tzinfo=UTC)),
        (100, datetime(2124, 2, 29, 18, 30, 15, tzinfo=UTC)),
        (7976, FOREVER),
        (10**9, FOREVER),
    ],
)
def test_dates(tmp_path: Path, years: int, not_after: datetime) -> None:
    credentials = make(HOST, tmp_path, years=years, now=NOW)
    assert credentials.not_before == datetime(2024, 2, 28, 12, 30, 15, tzinfo=UTC)
    assert credentials.not_after == not_after


def test_dates_by_default(tmp_path: Path) -> None:
    credentials = make(HOST, tmp_path)
    assert credentials.not_before < datetime.now(UTC) - timedelta(hours=23)
    assert credentials.not_after > datetime.now(UTC) + timedelta(days=99 * 365)


def test_modes_of_folder_and_files(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "certs"
    before = os.umask(0o077)
    try:
        credentials = make(HOST, folder)
    finally:
        os.umask(before)
    assert mode(folder) == 0o700
    assert mode(credentials.key_path) == 0o600
    assert mode(credentials.certificate_path) == 0o644


def test_serial_numbers_and_keys_differ(tmp_path: Path) -> None:
    first, second = make(HOST, tmp_path / "a"), make(HOST, tmp_path / "b")
    assert first.identity.serial_number != second.identity.serial_number
    assert first.key_fingerprint != second.key_fingerprint


@pytest.mark.parametrize(
    ("host", "server_name"),
    [
        ("localhost", "localhost"),
        ("*.example.org", "a.example.org"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
    ],
)
def test_strict_clients_take_it_once_they_trust_it(tmp_path: Path, host: str, server_name: str) -> None:
    credentials = make(host, tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(credentials.certificate_path, credentials.key_path)
    client = ssl.create_default_context(cafile=str(credentials.certificate_path))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname=server_name)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (one, other, one, other):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert one.version() == other.version() == "TLSv1.3"
    assert one.getpeercert(binary_form=True) == credentials.certificate.public_bytes(Encoding.DER)


def test_make_refuses_to_overwrite(tmp_path: Path) -> None:
    before = make(HOST, tmp_path)
    for usual, folder in ((False, f" --certs {tmp_path}"), (True, "")):
        sentence = rf"{HOST}\.crt exists already; renew it with `pad19 cert renew {HOST}{folder}`, or move it"
        with pytest.raises(CertificateError, match=sentence):
            make(HOST, tmp_path, usual=usual)
    assert load_or_make(HOST, tmp_path) == (before, False)


@pytest.mark.parametrize("host", ["", "a b", "../a", "[v1.a]"])
def test_make_refuses_what_is_no_host(tmp_path: Path, host: str) -> None:
    with pytest.raises(CertificateError, match="cannot have a certificate"):
        make(host, tmp_path)
    assert [path for path in tmp_path.iterdir() if path.suffix == ".crt"] == []


def test_load_or_make_makes_only_once(tmp_path: Path) -> None:
    made, first = load_or_make(HOST, tmp_path)
    found, again = load_or_make(HOST, tmp_path)
    assert (first, again) == (True, False)
    assert found == made


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["rsa", "p384", "ed25519"],
)
def test_key_alone_gets_its_certificate(tmp_path: Path, key: PrivateKey) -> None:
    _, key_path = files(HOST, tmp_path)
    write_key(key_path, key)
    before = key_path.read_bytes()
    credentials, made = load_or_make(HOST, tmp_path)
    assert made
    assert credentials.private_key.public_key() == key.public_key()
    assert key_path.read_bytes() == before


def test_key_alone_that_is_of_no_use(tmp_path: Path) -> None:
    certificate_path, key_path = files(HOST, tmp_path)
    write_key(key_path, rsa.generate_private_key(65537, 1024))  # noqa: S505 it is to be refused
    with pytest.raises(CertificateError, match=rf"{HOST}\.key is too weak"):
        load_or_make(HOST, tmp_path)
    assert not certificate_path.exists()


def test_certificate_alone_is_not_replaced(tmp_path: Path) -> None:
    credentials = make(HOST, tmp_path)
    credentials.key_path.unlink()
    before = credentials.certificate_path.read_bytes()
    with pytest.raises(CertificateError, match=rf"{HOST}\.key is missing; restore it"):
        load_or_make(HOST, tmp_path)
    assert not credentials.key_path.exists()
    assert credentials.certificate_path.read_bytes() == before


def test_dangling_links_are_not_replaced(tmp_path: Path) -> None:
    for path in files(HOST, tmp_path):
        path.symlink_to("nowhere")
        sentence = f"{path.name} is a link to nowhere, which is missing; restore that, or remove the link$"
        with pytest.raises(CertificateError, match=sentence):
            load_or_make(HOST, tmp_path)
        with pytest.raises(CertificateError, match=sentence):
            make(HOST, tmp_path)
        assert path.is_symlink()
        path.unlink()


def test_whoever_is_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate = ec.generate_private_key
    theirs = []

    def generate_slowly(curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
        monkeypatch.setattr(ec, "generate_private_key", generate)
        theirs.append(make(HOST, tmp_path))
        return generate(curve)

    monkeypatch.setattr(ec, "generate_private_key", generate_slowly)
    assert load_or_make(HOST, tmp_path) == (theirs[0], False)


def test_writer_between_key_and_certificate_is_helped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "_sign", _killed)
    with pytest.raises(KeyboardInterrupt):
        make(HOST, tmp_path)
    monkeypatch.undo()
    _, key_path = files(HOST, tmp_path)
    before = key_path.read_bytes()
    assert list(tmp_path.iterdir()) == [key_path]
    assert load_or_make(HOST, tmp_path)[1]
    assert key_path.read_bytes() == before


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_threads_make_one_pair(tmp_path: Path) -> None:
    threads = 8
    together = Barrier(threads)

    def one(folder: Path) -> tuple[str, bool]:
        together.wait()
        credentials, made = load_or_make(HOST, folder)
        return credentials.fingerprint, made

    with ThreadPoolExecutor(threads) as pool:
        for attempt in range(10):
            folder = tmp_path / str(attempt)
            results = list(pool.map(one, [folder] * threads))
            assert len({fingerprint for fingerprint, _ in results}) == 1
            assert sum(made for _, made in results) == 1
            assert sorted(folder.iterdir()) == sorted(files(HOST, folder))


PROCESS = """
import sys
from pathlib import Path
from pad19.tls.making import load_or_make
print("ready", flush=True)
sys.stdin.readline()
credentials, made = load_or_make(sys.argv[1], Path(sys.argv[2]))
print(credentials.fingerprint, int(made))
"""


def test_processes_make_one_pair(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    command = [sys.executable, "-c", PROCESS, HOST, str(folder)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(5)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    assert len({fingerprint for fingerprint, _ in outputs}) == 1
    assert sorted(made for _, made in outputs) == ["0"] * (len(processes) - 1) + ["1"]
    assert sorted(folder.iterdir()) == sorted(files(HOST, folder))


def test_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    credentials = make(HOST, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(files(HOST, tmp_path))
    credentials.certificate_path.unlink()
    assert make(HOST, tmp_path).key_fingerprint == credentials.key_fingerprint


def test_folder_without_write_permission() -> None:
    with unprivileged() as folder:
        folder.chmod(0o500)
        with pytest.raises(
            CertificateError, match=rf"{HOST}\.key cannot be written \(Permission denied\); make the folder"
        ):
            make(HOST, folder)
        with pytest.raises(CertificateError, match=r"certs cannot be written \(Permission denied\)"):
            make(HOST, folder / "certs")


def test_file_where_the_folder_belongs(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    folder.touch()
    with pytest.raises(CertificateError, match=r"certs cannot be written \(File exists\); a file is in"):
        make(HOST, folder)


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CertificateError, match=r"key cannot be written \(No space left on device\)"):
        make(HOST, tmp_path)
    assert list(tmp_path.iterdir()) == []


MENDS = [  # what the system says, how that is mended
    (errno.ENOSPC, "make room there"),
    (errno.EDQUOT, "make room there"),
    (errno.EROFS, "mount it to be written to"),
    (errno.EMFILE, "allow this process more of that"),
    (errno.EIO, "make the folder writable for the user that runs pad19"),
]


@pytest.mark.parametrize(("number", "mend"), MENDS)
def test_how_to_mend_what_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, mend: str
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(CertificateError) as caught:
        make(HOST, tmp_path)
    assert f" cannot be written ({os.strerror(number)}); {mend}" in str(caught.value)


def test_host_too_long_for_a_file(tmp_path: Path) -> None:
    host = ".".join(["a" * 62] * 4)
    with pytest.raises(CertificateError, match="File name too long"):
        make(host + "a", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_renewal_keeps_key_and_names(tmp_path: Path) -> None:
    before = make(HOST, tmp_path, years=1, now=NOW)
    key = before.key_path.read_bytes()
    later = NOW + timedelta(days=1000)
    after = renew(HOST, tmp_path, years=10, now=later)
    assert after.fingerprint != before.fingerprint
    assert after.key_fingerprint == before.key_fingerprint
    assert before.key_path.read_bytes() == key
    assert after.hosts == before.hosts
    assert after.not_before == (later - timedelta(days=1)).replace(microsecond=0)
    assert after.not_after.year == 2036
    assert mode(after.certificate_path) == 0o644
    assert sorted(tmp_path.iterdir()) == sorted(files(HOST, tmp_path))
    assert load(after.certificate_path, after.key_path, now=later).certificate == after.certificate


def issued(folder: Path, issuer: str, *hosts: x509.GeneralName, signer: bytes | None = None) -> None:
    """A certificate by other hands, with a key of theirs. ``signer``: the key that it says has signed it."""
    key = ec.generate_private_key(ec.SECP384R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "me")]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(signer, None, None), critical=False)
        .sign(key, SHA256())
    )
    certificate_path, key_path = files(HOST, folder)
    certificate_path.write_bytes(certificate.public_bytes(Encoding.PEM))
    write_key(key_path, key)


def test_renewal_of_a_certificate_by_another_program(tmp_path: Path) -> None:
    issued(tmp_path, "me", x509.DNSName("other.example"), x509.IPAddress(ip_address("::1")))
    after = renew(HOST, tmp_path, now=NOW)
    assert after.identity.subject == (("O", "me"),)
    assert after.hosts == ("other.example", HOST, "[::1]")
    assert after.key_type == "ECDSA P-384"
    assert after.warnings == ()


@pytest.mark.parametrize(("authority", "signer"), [("an authority", None), ("me", b"the authority's key")])
def test_renewal_refuses_what_an_authority_issued_unless_forced(
    tmp_path: Path, authority: str, signer: bytes | None
) -> None:
    issued(tmp_path, authority, x509.DNSName(HOST), signer=signer)
    certificate_path, key_path = files(HOST, tmp_path)
    before = load(certificate_path, key_path, now=NOW)
    with pytest.raises(CertificateError, match=r"crt was issued by a certificate authority; renew it there"):
        renew(HOST, tmp_path, now=NOW)
    assert load(certificate_path, key_path, now=NOW) == before
    after = renew(HOST, tmp_path, force=True, now=NOW)
    assert after.self_signed
    assert after.chain == ()
    assert after.key_fingerprint == before.key_fingerprint


def purposes(credentials: Credentials) -> list[x509.ObjectIdentifier]:
    return [*credentials.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value]


@pytest.mark.parametrize("way", ["host", "pair"])
def test_renewal_of_a_visitors(tmp_path: Path, way: str) -> None:
    paths = tmp_path / "ada.crt", tmp_path / "ada.key"
    before = make_client("Ada", *paths, years=1, now=NOW)
    after = renew("ada", tmp_path, now=NOW) if way == "host" else renew_pair(*paths, now=NOW)
    assert after.not_after > before.not_after
    assert after.key_fingerprint == before.key_fingerprint
    assert after.identity.subject == before.identity.subject
    assert purposes(after) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert after.hosts == after.warnings == ()


def test_renewal_of_a_hosts_pair_adds_nothing(tmp_path: Path) -> None:
    issued(tmp_path, "me", x509.RFC822Name("ada@example.org"), x509.DNSName("other.example"))
    after = renew_pair(*files(HOST, tmp_path), now=NOW)
    names = after.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["ada@example.org", "other.example"]
    with pytest.raises(x509.ExtensionNotFound):  # for any purpose, as before
        purposes(after)
    assert purposes(make("a.example", tmp_path)) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_renewal_follows_links(tmp_path: Path) -> None:
    real = tmp_path / "real"
    before = make(HOST, real, now=NOW)
    for path in files(HOST, real):
        (tmp_path / path.name).symlink_to(path.relative_to(tmp_path))
    after = renew(HOST, tmp_path, now=NOW)
    assert after.certificate_path.is_symlink()
    assert load(*files(HOST, real)).certificate == after.certificate != before.certificate
    assert sorted(real.iterdir()) == sorted(files(HOST, real))


def test_renewal_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=rf"{HOST}\.crt is missing; make a pair"):
        renew(HOST, tmp_path)


def test_client_certificate(tmp_path: Path) -> None:
    certificate_path, key_path = tmp_path / "ids" / "ada.crt", tmp_path / "ids" / "ada.key"
    credentials = make_client("Ada Lövelace", certificate_path, key_path, now=NOW)
    assert credentials.identity.common_name == "Ada Lövelace"
    assert credentials.hosts == ()
    assert credentials.warnings == ()
    assert purposes(credentials) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert mode(key_path) == 0o600
    with pytest.raises(CertificateError, match=r"ada\.crt exists already; choose another name with `--out`"):
        make_client("Grace", certificate_path, key_path)
