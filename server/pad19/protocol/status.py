"""The complete list of status codes (network specification, section "Status codes")."""

from enum import IntEnum


class Status(IntEnum):
    """A two-digit status under its name in the specification."""

    INPUT = 10
    SENSITIVE_INPUT = 11
    SUCCESS = 20
    TEMPORARY_REDIRECT = 30
    PERMANENT_REDIRECT = 31
    TEMPORARY_FAILURE = 40
    SERVER_UNAVAILABLE = 41
    CGI_ERROR = 42
    PROXY_ERROR = 43
    SLOW_DOWN = 44
    PERMANENT_FAILURE = 50
    NOT_FOUND = 51
    GONE = 52
    PROXY_REQUEST_REFUSED = 53
    BAD_REQUEST = 59
    CLIENT_CERTIFICATE_REQUIRED = 60
    CERTIFICATE_NOT_AUTHORISED = 61
    CERTIFICATE_NOT_VALID = 62

    @property
    def phrase(self) -> str:
        """The name in words, for a header whose text would otherwise be empty: ``not found``."""
        return self.name.lower().replace("_", " ")
