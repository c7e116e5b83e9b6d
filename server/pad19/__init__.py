"""What a route author imports."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from .protocol.request import Request, TitanRequest
    from .protocol.response import Input, Redirect, Response, SensitiveInput, Success
    from .protocol.status import Status
    from .protocol.upload import Upload
    from .routes.interface import CallNext, Capsule
    from .routes.streams import stream
    from .routes.table import Routes
    from .store.interface import Entries, Entry, Page, Store, StoreError
else:  # out of sight of type checkers, which would take any name for one of these
    # Imported when they are asked for: the command line needs little of it, and should start quickly.
    _MODULES = {
        "protocol.client": "Client Identity",
        "protocol.failure": "BadRequest CGIError CertificateFailure CertificateNotAuthorised "
        "CertificateNotValid CertificateRequired Failure Gone NotFound PermanentFailure "
        "ProxyError ProxyRequestRefused ServerUnavailable SlowDown TemporaryFailure",
        "protocol.gemtext": "Gemtext",
        "protocol.request": "Request TitanRequest",
        "protocol.response": "Input Redirect Response SensitiveInput Success",
        "protocol.status": "Status",
        "protocol.upload": "Upload",
        "routes.interface": "CallNext Capsule",
        "routes.streams": "stream",
        "routes.table": "Routes",
        "store.interface": "Entries Entry Page Store StoreError",
    }
    _HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

    def __dir__() -> list[str]:
        return [*globals(), *_HOMES]


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
    "Entries",
    "Entry",
    "Failure",
    "Gemtext",
    "Gone",
    "Identity",
    "Input",
    "NotFound",
    "Page",
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
    "Store",
    "StoreError",
    "Success",
    "TemporaryFailure",
    "TitanRequest",
    "Upload",
    "stream",
]
