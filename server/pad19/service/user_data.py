"""Where a user's pad19 keeps what it makes, when no configuration says otherwise."""

import os
from pathlib import Path


class NoHomeFolder(Exception):
    """The user has none, so a folder has to be named."""


def user_data() -> Path:
    """``$XDG_DATA_HOME/pad19``, or ``~/.local/share/pad19`` (XDG Base Directory Specification).

    Raises:
        NoHomeFolder: Neither the environment nor the system knows one.
    """
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not data.is_absolute():  # then the specification has it ignored
        try:
            data = Path.home() / ".local" / "share"
        except RuntimeError as error:
            raise NoHomeFolder from error
    return data / "pad19"
