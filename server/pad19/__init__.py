"""What a route author imports."""

from .protocol.client import Client, Identity
from .protocol.failure import (
    BadRequest,
    CertificateFailure,
    CertificateNotAuthorised,
    CertificateNotValid,
    CertificateRequired,
    CGIError,
    Failure,
    Gone,
    NotFound,
    PermanentFailure,
    ProxyError,
    ProxyRequestRefused,
    ServerUnavailable,
    SlowDown,
    TemporaryFailure,
)
from .protocol.gemtext import Gemtext
from .protocol.request import Request
from .protocol.response import Input, Redirect, Response, SensitiveInput, Success
from .protocol.status import Status

__all__ = [
    "BadRequest",
    "CGIError",
    "CertificateFailure",
    "CertificateNotAuthorised",
    "CertificateNotValid",
    "CertificateRequired",
    "Client",
    "Failure",
    "Gemtext",
    "Gone",
    "Identity",
    "Input",
    "NotFound",
    "PermanentFailure",
    "ProxyError",
    "ProxyRequestRefused",
    "Redirect",
    "Request",
    "Response",
    "SensitiveInput",
    "ServerUnavailable",
    "SlowDown",
    "Status",
    "Success",
    "TemporaryFailure",
]
