"""Says where a module hangs that does not come to its end while it is imported.

Nothing else would: its author sees that nothing happens, and not why.
"""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pad19.routes.frames import stack_of
from pad19.routes.naming import plain

LOGGER = logging.getLogger("pad19.routes")

PATIENCE = 3.0  # seconds for all that a capsule imports


@contextmanager
def log_slow_imports(importer: str) -> Iterator[None]:
    """What is done within is imports. ``importer``: the source file of whoever does them."""
    timer = threading.Timer(PATIENCE, _log, (threading.get_ident(), importer))
    timer.daemon = True
    with suppress(RuntimeError):  # there are no threads to be had
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _log(thread: int, importer: str) -> None:
    frames = stack_of(sys._current_frames()[thread], until=importer)
    modules = [frame.file for frame in frames if frame.function == "<module>"]
    own = [frame for frame in frames if frame.is_own]
    if modules:  # else it is just between two of them
        place = plain(str((own or frames)[0]))
        LOGGER.warning(
            "%s is still being imported after %g seconds, now at %s", plain(modules[-1]), PATIENCE, place
        )
