"""Says what keeps a worker from serving, before its supervisor ends it: mostly a route that blocks."""

import logging
import sys
import threading
import time
import traceback
from contextlib import suppress
from types import FrameType

from pad19.dispatch.record import Record

LOGGER = logging.getLogger("pad19.service")

PATIENCE = 5.0  # seconds without a beat; they come every second, and after `fleet.SILENCE` it is too late
# A process that was stopped has a moment to beat first.
SECOND_LOOK = 0.5  # seconds


class Stalls:
    """A thread that looks after the one that makes it, which has to `beat`."""

    def __init__(self, patience: float = PATIENCE) -> None:
        """Begin. ``patience``: seconds."""
        self._patience = patience
        self._watched = threading.get_ident()
        self._beaten = time.monotonic()
        self._end = threading.Event()
        with suppress(RuntimeError):  # there are no threads to be had
            threading.Thread(target=self._run, name="stalls", daemon=True).start()

    def beat(self) -> None:
        """All is well."""
        self._beaten = time.monotonic()

    def close(self) -> None:
        """Look no more."""
        self._end.set()

    def _run(self) -> None:
        told = 0.0
        while not self._end.wait(max(self._beaten + self._patience - time.monotonic(), SECOND_LOOK)):
            beaten = self._beaten
            if beaten == told or time.monotonic() - beaten < self._patience or self._end.wait(SECOND_LOOK):
                continue
            frame = sys._current_frames().get(self._watched)
            if beaten == self._beaten and frame is not None:
                told = beaten
                self._tell(frame)

    def _tell(self, frame: FrameType) -> None:
        from pad19.routes.frames import stack_of  # here, since start time counts
        from pad19.routes.naming import plain

        frames = stack_of(frame)
        place = next((each for each in frames if each.is_own), frames[0] if frames else None)
        if place is not None:
            request = _request(frame)
            LOGGER.error(
                "a worker has served nobody for %g seconds, since it is at %s%s: await what takes long, or "
                "write def instead of async def, which runs in a thread",
                self._patience,
                plain(str(place)),
                f", for {plain(request)}" if request else "",
            )


def _request(frame: FrameType) -> str | None:
    """What is answered there, if one of our own functions knows. Without the query, as in all messages."""
    from pad19.routes.frames import is_hidden

    for outer, _ in traceback.walk_stack(frame):
        if is_hidden(outer.f_code.co_filename) and isinstance(record := outer.f_locals.get("record"), Record):
            return record.request.partition("?")[0]
    return None
