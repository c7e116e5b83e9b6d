"""A folder that is served as it is, without a ``pad19.toml``."""

import re
from itertools import islice
from pathlib import Path

from .read import shown_path

ROUTES = "routes"  # where `pad19 init` puts them, and where authors expect them to work
MAX_FILES = 100  # that are looked at
MAX_READ = 64 * 1024  # bytes of each
_IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+pad19\b", re.MULTILINE)


def problem_of(folder: Path) -> str | None:
    """Why it is no folder of pages: routes in it would be published, instead of being asked. Else None."""
    routes = folder / ROUTES
    try:
        paths = [path for pattern in ("*.py", "*/*.py") for path in islice(routes.glob(pattern), MAX_FILES)]
        found = next((path for path in sorted(paths) if _imports_pad19(path)), None)
    except OSError:
        return None  # what we may not read, nobody is given
    if found is None:
        return None
    return (
        f"{shown_path(found)} has routes, but there is no pad19.toml, so its code would be published and not "
        'run: move the pages into a folder "content", and write a pad19.toml with the lines [[capsule]], '
        'content = "content" and routes = "routes"'
    )


def _imports_pad19(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _IMPORT.search(file.read(MAX_READ)) is not None
