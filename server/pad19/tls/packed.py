"""Credentials as bytes, for another process of the same server. The keys are in them: for memory alone."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from .certificate import Credentials, PrivateKey, alternative_names
from .identity import identify


def pack(credentials: Mapping[str, Credentials]) -> bytes:
    """Those of each host, but for their warnings."""
    entries = {}
    for host, found in credentials.items():
        chain = (found.certificate, *found.chain)
        key = found.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        entries[host] = [
            b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain).decode("ascii"),
            key.decode("ascii"),
            os.fspath(found.certificate_path),
            os.fspath(found.key_path),
        ]
    return json.dumps(entries).encode("ascii")


def unpack(data: bytes) -> dict[str, Credentials]:
    """What `pack` was given, in the same order."""
    return {host: _unpacked(*entry) for host, entry in json.loads(data).items()}


def _unpacked(certificates: str, key: str, certificate_path: str, key_path: str) -> Credentials:
    leaf, *chain = x509.load_pem_x509_certificates(certificates.encode())
    private_key = load_pem_private_key(key.encode(), password=None)
    assert isinstance(private_key, PrivateKey)  # noqa: S101 - it was one when it was packed
    return Credentials(
        certificate=leaf,
        chain=tuple(chain),
        private_key=private_key,
        certificate_path=Path(certificate_path),
        key_path=Path(key_path),
        hosts=alternative_names(leaf) or (),
        identity=identify(leaf),
    )
