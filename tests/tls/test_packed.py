"""Credentials that go from one process to another."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pad19.tls.certificate import Credentials, load
from pad19.tls.making import make
from pad19.tls.packed import pack, unpack
from support.tls import Pair, self_signed

FOLDER = "\udce9"  # a name that is not UTF-8


def written(folder: Path, pair: Pair, *more: Pair) -> Credentials:
    (folder / FOLDER).mkdir()
    certificate, key = folder / FOLDER / "a.crt", folder / FOLDER / "a.key"
    certificate.write_bytes(b"".join(each.certificate_pem for each in (pair, *more)))
    key.write_bytes(pair.key_pem)
    key.chmod(0o600)
    return load(certificate, key)


@pytest.mark.parametrize("bits", [0, 2048])  # of RSA
def test_they_arrive_as_they_were(tmp_path: Path, bits: int) -> None:
    found = {
        "localhost": written(tmp_path, self_signed(rsa_bits=bits), self_signed("authority")),
        "*.a.example": make("*.a.example", tmp_path),
    }
    arrived = unpack(pack(found))
    assert arrived == found
    assert [*arrived] == [*found]
    for host, credentials in arrived.items():
        assert credentials.private_key.private_numbers() == found[host].private_key.private_numbers()  # type: ignore[union-attr]  # no Edwards key is among them


def test_an_edwards_key(tmp_path: Path) -> None:
    made = make("localhost", tmp_path)
    key = ed25519.Ed25519PrivateKey.generate()
    raw = (Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    [arrived] = unpack(
        pack({"localhost": Credentials(**{**_fields(made), "private_key": key})})  # type: ignore[arg-type]  # its fields
    ).values()
    assert arrived.private_key.private_bytes(*raw) == key.private_bytes(*raw)


def _fields(credentials: Credentials) -> dict[str, object]:
    return {name: getattr(credentials, name) for name in Credentials.__dataclass_fields__}
