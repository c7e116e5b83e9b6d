"""Who may ask for a route, how often, and how long it may take."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from pad19.protocol.address import group_of
from pad19.protocol.client import Client
from pad19.protocol.failure import CertificateNotAuthorised, CertificateRequired
from pad19.protocol.rate import Rate

DEFAULT_TIMEOUT = 30.0  # seconds
DEFAULT_MAX_SIZE = 10 * 1024 * 1024  # bytes of an upload
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a route demands."""

    certificate: bool = False  # any will do
    allow: frozenset[str] | None = None  # fingerprints of certificates or of their keys
    rate: Rate | None = None
    timeout: float = DEFAULT_TIMEOUT  # seconds until there is a response, or the first chunk of one
    max_size: int = DEFAULT_MAX_SIZE  # bytes of an upload

    @classmethod
    def of(
        cls,
        *,
        certificate: bool,
        allow: Iterable[str] | None,
        rate: str | None,
        timeout: float,
        max_size: int = DEFAULT_MAX_SIZE,
    ) -> Self:
        """Check what a route author wrote.

        Raises:
            ValueError: Something is wrong with it; the message begins with its name.
        """
        try:
            # A single text would be a set of letters.
            fingerprints = None if allow is None else frozenset([allow] if isinstance(allow, str) else allow)
        except TypeError:
            raise ValueError('allow must be fingerprints, as in allow={"sha256:…"}') from None
        for fingerprint in sorted(map(str, fingerprints or ())):
            if not _FINGERPRINT.fullmatch(fingerprint):
                raise ValueError(
                    f"allow has {fingerprint[:80]!r}: a fingerprint is sha256: and 64 lower-case hex digits"
                )
        if not isinstance(timeout, int | float) or not timeout > 0:
            raise ValueError("timeout must be a number of seconds, more than 0")
        if not isinstance(max_size, int) or max_size < 1:
            raise ValueError("max_size must be a whole number of bytes, at least 1")
        try:
            limit = None if rate is None else Rate.parse(str(rate))
        except ValueError as error:
            raise ValueError(f"rate {error}") from None
        return cls(certificate or fingerprints is not None, fingerprints, limit, timeout, max_size)

    def admit(self, client: Client) -> None:
        """Let the client pass, or not.

        Raises:
            CertificateRequired: It has none.
            CertificateNotAuthorised: It has another one than those that may pass.
        """
        identity = client.certificate
        if identity is None:
            if self.certificate:
                raise CertificateRequired("this page needs a client certificate")
        elif self.allow is not None and not self.allow & {identity.fingerprint, identity.key_fingerprint}:
            # The owner of the capsule needs it to let them in.
            raise CertificateNotAuthorised(f"your certificate is not on the list: {identity.fingerprint}")

    def visitor(self, client: Client) -> str:
        """Who it is that the rate counts for, after `admit`."""
        # Anybody can make certificates by the thousand, so they tell visitors apart only on a list.
        if self.allow is not None and client.certificate is not None:
            return client.certificate.key_fingerprint
        return group_of(client.address)
