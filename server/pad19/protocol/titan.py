"""Titan uploads (``titan://host/path;size=N;mime=T;token=S``) as far as they are refused.

A refused upload is still a request line to log, and its token is a password.
"""

import re

_TOKEN = re.compile(r"(;token=)[^;?]*", re.IGNORECASE)


def without_token(uri: str) -> str:
    """The URI as a log may keep it."""
    return _TOKEN.sub(r"\1...", uri)
