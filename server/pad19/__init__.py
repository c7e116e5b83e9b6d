"""What a route author imports."""

import importlib
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from .routes.interface import CallNext, Capsule
    from .routes.streams import stream
    from .routes.table import Routes
else:  # out of sight of type checkers, which would take any name for one of these
    # Imported when they are asked for: the command line needs none of it, and should start quickly.
    _MODULES = {"CallNext": "interface", "Capsule": "interface", "Routes": "table", "stream": "streams"}

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.routes.{_MODULES[name]}"), name)


__all__ = [
    "BadRequest",
    "CGIError",
    "CallNext",
    "Capsule",
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
    "Routes",
    "SensitiveInput",
    "ServerUnavailable",
    "SlowDown",
    "Status",
    "Success",
    "TemporaryFailure",
    "stream",
]
