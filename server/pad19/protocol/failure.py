"""Everything that can go wrong, as exceptions: one class per 4x, 5x and 6x status.

A handler raises them; one function turns them into a header (`response.header`). The message is
the errormsg that the client sees, so it never carries what only the operator should know.
"""

from typing import ClassVar

from .status import Status

_FAILING = tuple(status for status in Status if status >= 40)


class Failure(Exception):
    """An answer without a body; 40 if it is of no kind in particular.

    ``str(failure)`` is the errormsg; it may be empty. A subclass may name its status as a number:
    ``status = 51``. It raises ValueError for one that is no failure's.
    """

    status: ClassVar[Status] = Status.TEMPORARY_FAILURE

    def __init_subclass__(cls) -> None:
        """Check the status, so that a mistake is found when the class is made."""
        super().__init_subclass__()
        if isinstance(cls.status, int):
            cls.status = failing(cls.status, cls)

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else self.status.phrase


def failing(status: int, cls: type[Failure]) -> Status:
    """The status of a failure.

    Raises:
        ValueError: It is that of no failure; the message names its class.
    """
    if status in _FAILING:
        return Status(status)
    known = ", ".join(f"{each:d}" for each in _FAILING)
    raise ValueError(f"{cls.__name__} has the status {status!r}: a failure has one of {known}")


class TemporaryFailure(Failure):
    """It did not work this time (40)."""

    status = Status.TEMPORARY_FAILURE


class ServerUnavailable(TemporaryFailure):
    """Overload or maintenance (41)."""

    status = Status.SERVER_UNAVAILABLE


class CGIError(TemporaryFailure):
    """A program or route failed or took too long (42)."""

    status = Status.CGI_ERROR


class ProxyError(TemporaryFailure):
    """The server behind this one failed (43)."""

    status = Status.PROXY_ERROR


class SlowDown(TemporaryFailure):
    """Too many requests (44). ``seconds``: how long to wait.

    The text begins with the number: before 0.24 it had to be an integer, now it is free.
    """

    status = Status.SLOW_DOWN

    def __init__(self, seconds: int) -> None:
        super().__init__(str(seconds))
        self.seconds = seconds


class PermanentFailure(Failure):
    """It will not work (50)."""

    status = Status.PERMANENT_FAILURE


class NotFound(PermanentFailure):
    """No such resource (51)."""

    status = Status.NOT_FOUND


class Gone(PermanentFailure):
    """It was here and will not come back (52)."""

    status = Status.GONE


class ProxyRequestRefused(PermanentFailure):
    """A scheme, host or port that is not served here (53)."""

    status = Status.PROXY_REQUEST_REFUSED


class BadRequest(PermanentFailure):
    """Not a request by the rules (59)."""

    status = Status.BAD_REQUEST


class CertificateFailure(Failure):
    """What the three 6x answers have in common; 60 if it is none of them."""

    status = Status.CLIENT_CERTIFICATE_REQUIRED


class CertificateRequired(CertificateFailure):
    """Come back with a client certificate (60)."""

    status = Status.CLIENT_CERTIFICATE_REQUIRED


class CertificateNotAuthorised(CertificateFailure):
    """The certificate is fine, but not for this resource (61)."""

    status = Status.CERTIFICATE_NOT_AUTHORISED


class CertificateNotValid(CertificateFailure):
    """The certificate is outside its dates, weak or broken, whatever the resource (62)."""

    status = Status.CERTIFICATE_NOT_VALID
