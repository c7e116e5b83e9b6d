"""The files that a configuration comes from, and the code that it names: what is read once, at the start."""

import os
from collections.abc import Iterator
from pathlib import Path

from .config.load import matches, searched
from .config.model import Config
from .config.toml_file import FILE_NAME

MAX_FOLDERS = 1000  # of code below one folder; more is a mistake


def sources(config: Config) -> tuple[set[str], set[str]]:
    """The files, as they are now, and the folders where more may appear."""
    files = configuration(config)
    folders: set[str] = set()
    if config.source is not None:
        base = config.source.parent
        for pattern in config.include:
            files.update(map(os.fspath, matches(pattern, base)))
            folders.update(map(os.fspath, searched(pattern, base)))
    for capsule in config.capsules:
        if config.source is None:  # the folder itself is served, until somebody writes one
            files.add(os.fspath(capsule.content / FILE_NAME))
        if capsule.routes:
            more_files, more_folders = code(capsule.routes)
            files |= more_files
            folders |= more_folders
    return files, folders


def configuration(config: Config) -> set[str]:
    """The files that it was read from."""
    return {os.fspath(path) for path in (config.source, *config.included) if path is not None}


def code(folder: Path) -> tuple[set[str], set[str]]:
    """The Python files below a folder, and the folders that they are in."""
    files: set[str] = set()
    folders: set[str] = set()
    for path, names in _folders(folder):
        folders.add(path)
        files.update(os.path.join(path, name) for name in names if name.endswith(".py"))
    return files, folders


def _folders(folder: Path) -> Iterator[tuple[str, list[str]]]:
    seen: set[tuple[int, int]] = set()
    _is_new(folder, seen)
    for count, (path, inner, names) in enumerate(os.walk(folder, followlinks=True)):
        if count == MAX_FOLDERS:
            return
        inner[:] = [
            name
            for name in sorted(inner)
            if not name.startswith(".") and name != "__pycache__" and _is_new(Path(path, name), seen)
        ]
        yield path, names


def _is_new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    """Whether a folder is to be looked through: once, and behind a link only if there is code right in it."""
    try:
        if folder.is_symlink() and not any(path.suffix == ".py" for path in folder.iterdir()):
            return False
        status = folder.stat()
    except OSError:
        return False
    inode = status.st_dev, status.st_ino
    is_new = inode not in seen
    seen.add(inode)
    return is_new
