"""Whether this process may write somewhere. Nothing is made, so it can be asked before anything is."""

import os
from pathlib import Path

from .config.read import shown_path

_EFFECTIVE = os.access in os.supports_effective_ids


def folder_problem(path: Path) -> str | None:
    """Why nothing can be made in a folder, which may itself have to be made."""
    existing = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
    if not existing.is_dir():
        return f"{shown_path(existing)} is no folder: name another"
    return (
        None
        if is_writable(existing)
        else f"{shown_path(existing)} cannot be written: mend that, or name another"
    )


def is_writable(path: Path) -> bool:
    """Whether a file can be written, or something made in a folder."""
    return os.access(path, os.W_OK | (os.X_OK if path.is_dir() else 0), effective_ids=_EFFECTIVE)
