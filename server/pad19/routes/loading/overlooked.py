"""Files that look as if they were to be mounted, in folders that are not."""

import re
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

from pad19.routes.naming import plain

from .finder import INIT

MAX_FILES = 100  # of a folder that are looked at
MAX_READ = 64 * 1024  # bytes of each
_ROUTES = re.compile(rb"^routes\b[^=\n]*=[ \t]*(?:pad19\.)?Routes\(", re.MULTILINE)


def overlooked(folder: Path, read: Collection[Path]) -> Iterator[str]:
    """A sentence for each folder below the one of routes that has some, but no ``__init__.py``.

    Args:
        folder: Of routes. It blocks.
        read: What others have imported, which such a folder may be for.
    """
    try:
        for path in sorted(folder.absolute().iterdir()):
            if path.name[0] not in "_." and path.is_dir() and not (path / INIT).exists():
                files = sorted(islice(path.glob("*.py"), MAX_FILES))
                found = next((file for file in files if file not in read and _has_routes(file)), None)
                if found:
                    yield (
                        f"{plain(str(found))} is not mounted, since its folder has no {INIT}: "
                        f"name the file so, or move it to {plain(str(folder))}"
                    )
    except OSError:
        return  # what we may not read, nobody imports


def _has_routes(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _ROUTES.search(file.read(MAX_READ)) is not None
