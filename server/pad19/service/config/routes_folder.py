"""Routes that nobody would be answered by, because no configuration names the folder that they are in."""

import re
from itertools import islice
from pathlib import Path

from .model import Config
from .read import shown_path
from .toml_file import FILE_NAME

ROUTES = "routes"  # where `pad19 init` puts them, and where authors expect them to work
MAX_FILES = 100  # that are looked at
MAX_READ = 64 * 1024  # bytes of each
_IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+pad19\b", re.MULTILINE)


def problem_without_file(folder: Path) -> str | None:
    """Why a folder without a ``pad19.toml`` is none of pages: its routes would be published. Else None."""
    found = _routes_below(folder)
    if found is None:
        return None
    return (
        f"{shown_path(found)} has routes, but there is no {FILE_NAME}, so its code would be published and "
        f'not run: move the pages into a folder "content", and write a {FILE_NAME} with the lines '
        f'[[capsule]], content = "content" and routes = "{ROUTES}"'
    )


def problem_beside_file(config: Config) -> str | None:
    """Why routes beside the configuration are not asked: no capsule names them. Else None. Blocks."""
    if config.source is None or any(capsule.routes or capsule.mount for capsule in config.capsules):
        return None
    found = _routes_below(config.source.parent)
    if found is None:
        return None
    return (
        f"{shown_path(found)} has routes, which are not asked, since no capsule names them: "
        f'write routes = "{ROUTES}" below [[capsule]]'
    )


def _routes_below(folder: Path) -> Path | None:
    """A module in its folder of routes that is one of ours."""
    routes = folder / ROUTES
    try:
        paths = [path for pattern in ("*.py", "*/*.py") for path in islice(routes.glob(pattern), MAX_FILES)]
        return next((path for path in sorted(paths) if _imports_pad19(path)), None)
    except OSError:
        return None  # what we may not read, nobody is given


def _imports_pad19(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _IMPORT.search(file.read(MAX_READ)) is not None
