"""Files that are whole whenever somebody looks, also after a power failure: keys, certificates, lists."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def written_beside(
    path: Path, data: bytes, mode: int, owner: tuple[int, int] | None = None
) -> Iterator[Path]:
    """A new file with all of the data, on the disk, to be renamed or linked to ``path``; gone at the end.

    ``mode``: as it is, whatever the umask. ``owner``: user and group, if this process may give files away.

    Raises:
        OSError: It cannot be written.
    """
    temporary = path.with_name(f".pad19-{os.urandom(8).hex()}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            if owner is not None:
                with suppress(PermissionError):
                    os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
