"""What goes wrong in OpenSSL, as trio's exceptions and in words."""

from contextlib import suppress

import trio
from OpenSSL import SSL, crypto


class HandshakeFailed(trio.BrokenResourceError):
    """No TLS connection came about; the message is OpenSSL's reason, fit for a log."""


class Truncated(trio.BrokenResourceError):
    """The connection ended without close_notify: what was received may not be all."""


class CutOff(trio.BrokenResourceError):
    """The connection broke when a part of what was to be sent was out already."""


def reason(error: SSL.Error | crypto.Error) -> str:
    """``[('SSL routines', '', 'no shared cipher')]`` -> ``no shared cipher``."""
    if error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][-1][-1])
    if isinstance(error, SSL.SysCallError):
        return "closed without close_notify"
    return str(error) or type(error).__name__


def clear_errors() -> None:
    """Empty OpenSSL's list of errors, which all connections of a thread share.

    A client certificate that was accepted in spite of its faults leaves some there, and the next
    call for another connection would take them for its own. pyOpenSSL has no call for it, but it
    empties the list to raise an error: parsing nothing is the cheapest one.
    """
    with suppress(crypto.Error):
        crypto.load_certificate(crypto.FILETYPE_PEM, b"")
