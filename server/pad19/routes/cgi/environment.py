"""What programs behind a gateway (CGI, SCGI) are told about a request: RFC 3875 and its Gemini dialects.

The variables are the union of what jetforce, GmCapsule, molly-brown, gmid and GLV-1.12556 set. Where
they contradict each other:

- ``TLS_CLIENT_HASH`` is lower-case hex without a prefix (GmCapsule, molly-brown), and ``AUTH_TYPE``
  is ``Certificate``; with ``client_hash="jetforce"`` they are ``SHA256:`` and upper-case hex, and
  ``CERTIFICATE``.
- ``AUTH_TYPE``, ``REMOTE_USER`` and ``TLS_CLIENT_*`` are absent without a certificate, as RFC 3875 has
  it. GmCapsule sets the first two to ``""``, which a script that only asks whether they exist would
  take for a certificate.
- ``REQUEST_METHOD`` is ``GET`` (gmid): libraries for CGI parse the query for no other one.
- ``PATH_INFO`` starts with ``/`` or is empty. ``REMOTE_ADDR`` has no port.
- Of uploads only GmCapsule tells. ``GEMINI_URL`` and ``GEMINI_URL_PATH`` are ``TITAN_URL`` and
  ``TITAN_URL_PATH`` then; ``CONTENT_LENGTH``, ``CONTENT_TYPE`` and ``TITAN_TOKEN`` are absent otherwise. The
  method is ``PUT``. Who wants the text that is to be edited is a visitor by Gemini there, with
  ``TITAN_EDIT`` set to ``1`` and a ``CONTENT_LENGTH`` of ``0``.
"""

import base64
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Literal

from pad19.protocol.client import Client, Identity
from pad19.protocol.failure import NotFound
from pad19.protocol.request import Request
from pad19.protocol.upload import Upload

ClientHash = Literal["hex", "jetforce"]


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the operator says about a capsule's programs, of either kind."""

    document_root: Path  # the capsule's content, absolute
    client_hash: ClientHash = "hex"


class Mount:
    """The paths below a prefix such as ``/cgi-bin/``, which begins and ends with a slash."""

    def __init__(self, prefix: str) -> None:
        if not prefix.startswith("/") or not prefix.endswith("/"):
            raise ValueError(f"{prefix!r} must begin and end with a slash")
        self.names = tuple(prefix[1:-1].split("/")) if prefix != "/" else ()

    def below(self, request: Request) -> tuple[str, ...]:
        """The segments of the path after the prefix: none at all if only its last slash is missing.

        Raises:
            NotFound: The path is not below the prefix, or has an encoded separator, which a program
                could not tell from a real one in ``PATH_INFO``.
        """
        segments = request.segments
        count = len(self.names)
        if segments[:count] != self.names or "%2F" in request.raw_path.upper():
            raise NotFound
        return segments[count:]


def join(names: tuple[str, ...]) -> str:
    """The path that segments make: ``""`` if there are none."""
    return "".join(f"/{name}" for name in names)


def variables(
    request: Request,
    gateway: Gateway,
    now: datetime,
    *,
    script_name: str,
    path_info: str,
    script: str | None = None,
) -> dict[str, str]:
    """All of them. ``now``: aware. ``script``: its absolute path, if it is a file of ours.

    ``script_name`` and ``path_info`` together are the request's path. No value holds a NUL.
    """
    uri, scheme = request.uri, request.scheme.upper()
    if request.upload is not None and request.upload.edit:
        uri, scheme = f"gemini:{uri.partition(':')[2]}", "GEMINI"
    found = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        f"{scheme}_URL": uri,
        f"{scheme}_URL_PATH": request.raw_path,
        "GEMINI_DOCUMENT_ROOT": str(gateway.document_root),
        "SCRIPT_NAME": script_name,
        "PATH_INFO": path_info,
        "QUERY_STRING": request.raw_query or "",
        "REQUEST_METHOD": "GET",
        "SERVER_NAME": request.host,
        "HOSTNAME": request.host,
        "SERVER_PORT": str(request.port),
        "SERVER_PROTOCOL": scheme,
        "SERVER_SOFTWARE": _software(),
        **_of_client(request.client),
    }
    if path_info:
        found["PATH_TRANSLATED"] = f"{gateway.document_root}{path_info}"
    if request.raw_query is not None and request.query is not None:
        found["GEMINI_QUERY_STRING"] = request.raw_query
        if "=" not in request.raw_query:
            found["GEMINI_SEARCH_STRING"] = request.query
    if script is not None:
        found["GEMINI_SCRIPT_FILENAME"] = found["SCRIPT_PATH"] = script
    if request.upload is not None:
        found |= _of_upload(request.upload)
    if request.client.certificate:
        found |= _of_certificate(request.client.certificate, gateway.client_hash, now)
    # A query may hold %00. What is behind a NUL would be lost, or become a variable of its own.
    return {name: value.replace("\0", "\N{REPLACEMENT CHARACTER}") for name, value in found.items()}


def _of_client(client: Client) -> dict[str, str]:
    return {
        "REMOTE_ADDR": client.address,
        "REMOTE_HOST": client.address,
        "REMOTE_PORT": str(client.port),
        "REMOTE_IDENT": "",
        "TLS_VERSION": client.tls_version,
        "TLS_CIPHER": client.cipher,
        "TLS_CIPHER_STRENGTH": "128" if "AES_128" in client.cipher or "AES128" in client.cipher else "256",
    }


def _of_upload(upload: Upload) -> dict[str, str]:
    if upload.edit:
        return {"TITAN_EDIT": "1", "CONTENT_LENGTH": "0"}
    return {
        "REQUEST_METHOD": "PUT",
        "CONTENT_LENGTH": str(upload.size),
        "CONTENT_TYPE": upload.mime,
        "TITAN_TOKEN": upload.token or "",
    }


def _of_certificate(identity: Identity, client_hash: ClientHash, now: datetime) -> dict[str, str]:
    digest = identity.fingerprint.removeprefix("sha256:")
    key_digest = identity.key_fingerprint.removeprefix("sha256:")
    like_jetforce = client_hash == "jetforce"
    return {
        "AUTH_TYPE": "CERTIFICATE" if like_jetforce else "Certificate",
        "REMOTE_USER": identity.common_name or "",
        "REMOTE_IDENT": f"{digest};{key_digest}",
        "TLS_CLIENT_HASH": f"SHA256:{digest.upper()}" if like_jetforce else digest,
        "TLS_CLIENT_HASH_B64": base64.urlsafe_b64encode(bytes.fromhex(digest)).decode("ascii"),
        "TLS_CLIENT_SUBJECT": _line(identity.subject),
        "TLS_CLIENT_SUBJECT_CN": identity.common_name or "",
        "TLS_CLIENT_ISSUER": _line(identity.issuer),
        "TLS_CLIENT_ISSUER_CN": next((value for name, value in identity.issuer if name == "CN"), ""),
        "TLS_CLIENT_NOT_BEFORE": _timestamp(identity.not_before),
        "TLS_CLIENT_NOT_AFTER": _timestamp(identity.not_after),
        "TLS_CLIENT_REMAIN": str((identity.not_after - now).days),
        "TLS_CLIENT_SERIAL_NUMBER": str(identity.serial_number),
        "TLS_CLIENT_AUTHORISED": "0",  # no authority is asked: certificates are their owners' own
    }


def _line(names: tuple[tuple[str, str], ...]) -> str:
    return "".join(f"/{name}={value}" for name, value in names)


def _timestamp(moment: datetime) -> str:
    # Not strftime(): it leaves the year 999 without its zero.
    return f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}Z"


@cache
def _software() -> str:
    from importlib.metadata import version  # costs 20 ms, which most workers need not pay

    return f"pad19/{version('pad19')}"
