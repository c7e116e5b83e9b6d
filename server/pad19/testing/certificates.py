"""Client certificates that are made up."""

import hashlib
import re
from datetime import UTC, datetime

from pad19.protocol.client import Identity


def identity(
    name: str, *, key: str | None = None, fingerprint: str | None = None, key_fingerprint: str | None = None
) -> Identity:
    """The identity of a made-up certificate with ``name`` as its CN: the same one for the same name.

    Args:
        name: The CN.
        key: Tells keys apart; a certificate that was renewed has the key of the one before it.
        fingerprint: Instead of a made-up one, for a certificate that the routes know.
        key_fingerprint: The same for its public key.

    Raises:
        ValueError: One of the two is no fingerprint.
    """
    for given in (fingerprint, key_fingerprint):
        if given is not None and not re.fullmatch("sha256:[0-9a-f]{64}", given):
            raise ValueError(f"{given!r} is no fingerprint: sha256: and 64 hex digits in small letters")
    return Identity(
        fingerprint=fingerprint or _sha256(f"certificate {name} {key}"),
        key_fingerprint=key_fingerprint or _sha256(f"key {name if key is None else key}"),
        subject=(("CN", name),),
        issuer=(("CN", name),),
        serial_number=1,
        not_before=datetime(2020, 1, 1, tzinfo=UTC),
        not_after=datetime(9999, 12, 31, tzinfo=UTC),
    )


def _sha256(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
