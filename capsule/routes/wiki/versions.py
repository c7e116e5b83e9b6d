"""Previous versions of pages, where pad19 keeps them.

If pad19.toml says keep = 10 in [capsule.titan], an upload to wiki/Titan II.gmi leaves the version that it
replaces at wiki/.titan/Titan II.gmi/TIME. The TIME is when that happened. The newest ten of a page are
kept, also when it was deleted. Visitors are not served what is in .titan, unless a route shows it to them.
"""

import re
from datetime import UTC, datetime
from pathlib import Path

TIME = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{9}Z")  # 20261123T093040.552718297Z
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what Python has for the bytes in a name that are not UTF-8


def named(folder: Path, pattern: str) -> dict[str, Path]:
    """What matches in a folder, by its name without the suffix; not what no address can name."""
    return {found.stem: found for found in sorted(folder.glob(pattern)) if not NOT_UTF8.search(found.name)}


def histories(folder: Path, suffix: str) -> dict[str, Path]:
    """The names of the pages with previous versions, and where those are."""
    return named(folder / ".titan", f"*{suffix}")


def versions(history: Path) -> list[Path]:
    """The versions of a page, the oldest first."""
    return [file for file in sorted(history.iterdir()) if TIME.fullmatch(file.name)]


def ended(version: Path) -> datetime:
    """When it was replaced, or deleted with the page."""
    return datetime.strptime(version.name[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
