"""CGI programs: which of them the system cannot run, and which it may not."""

import os
from collections.abc import Iterator
from pathlib import Path

from pad19.routes.cgi.first_line import flaw

from .files import Finding


def check_programs(folder: Path) -> Iterator[Finding]:
    """Look at the files below a folder of programs, and run none. Blocks."""
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(where, name) for name in names if not name.startswith(".")):
            if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file() raises where it may not look
                continue
            if os.access(path, os.X_OK):
                if problem := flaw(str(path)):
                    yield Finding(str(path), 1, f"{problem}; as it is, it is answered with 42")
            elif _is_script(path):
                text = "it is not executable, so it is answered with 51: chmod +x changes that"
                yield Finding(str(path), 0, text, is_note=True)


def _is_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False
