"""Who is asking: values that the connection fills in and handlers read."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Identity:
    """What a client certificate says, self-signed or not. Nobody vouches for the names in it.

    ``fingerprint`` and ``key_fingerprint`` are ``"sha256:"`` and 64 lower-case hex digits, of the
    DER certificate and of its DER public key (SubjectPublicKeyInfo). The second one stays the same
    when the certificate is renewed with the same key.
    """

    fingerprint: str
    key_fingerprint: str
    subject: tuple[tuple[str, str], ...]  # ("CN", "Ada"), ... in the order of the certificate
    issuer: tuple[tuple[str, str], ...]
    serial_number: int
    not_before: datetime  # aware, UTC
    not_after: datetime
    defect: str | None = None  # why nobody should accept it: a weak key, a broken signature
    der: bytes = field(
        default=b"", repr=False, compare=False
    )  # the certificate; the fingerprint stands for it

    @property
    def common_name(self) -> str | None:
        """The first CN of the subject: the name people give themselves."""
        return next((value for name, value in self.subject if name == "CN"), None)

    def problem(self, now: datetime) -> str | None:
        """Why the certificate is not valid at ``now`` (aware), in words for its owner, or None."""
        if self.defect:
            return self.defect
        if now < self.not_before:
            return f"this certificate is not valid before {self.not_before:%Y-%m-%d}"
        if now > self.not_after:
            return f"this certificate expired on {self.not_after:%Y-%m-%d}"
        return None


@dataclass(frozen=True, slots=True)
class Client:
    """One connection's other end."""

    address: str = ""  # IP address without brackets or zone; "" for a UNIX socket
    port: int = 0
    server_name: str | None = None  # SNI, lower case, without a trailing dot
    tls_version: str = ""  # "TLSv1.3" or "TLSv1.2"
    certificate: Identity | None = None
    cipher: str = ""  # OpenSSL's name: "TLS_AES_128_GCM_SHA256"

    @property
    def fingerprint(self) -> str | None:
        """``"sha256:…"`` of the certificate, or None without one."""
        return self.certificate.fingerprint if self.certificate else None
