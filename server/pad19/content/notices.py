"""What the operator is told about content: once, however often clients ask for it."""

import logging
import threading

LOGGER = logging.getLogger("pad19.content")

REMEMBERED = 1024  # notices that are not repeated; beyond that the oldest may be


class Notices:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._told: dict[str, None] = {}
        self._lock = threading.Lock()

    def tell(self, path: str, what: str) -> None:
        """Log one line about a path, which is quoted because a client may have chosen it."""
        line = f"{path!r} {what}"
        with self._lock:
            if line in self._told:
                return
            self._told[line] = None
            if len(self._told) > REMEMBERED:
                del self._told[next(iter(self._told))]
        LOGGER.warning("%s", line)
