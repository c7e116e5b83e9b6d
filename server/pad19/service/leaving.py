"""How a worker's process comes to its end, whatever routes have left running in it.

Python waits for all threads that are no daemons, and only then calls what libraries have registered
with atexit. So one thread of a route that goes on for ever would keep each old worker alive, until its
supervisor takes it for hanging.
"""

import atexit
import logging
import os
import sys
import threading
import time
from contextlib import suppress

from .logs import messages

LOGGER = logging.getLogger("pad19.service")

FOR_THREADS = 1.0  # seconds that threads have to end by themselves
FOR_LIBRARIES = 1.0  # seconds for what libraries do at the end
MAX_NAMED = 5  # threads


def leave_soon(status: int) -> None:
    """Have the process end within seconds. To be called by the main thread, which leaves then."""
    began = threading.Event()  # what libraries do; Python calls first what was registered last
    atexit.register(began.set)
    with suppress(RuntimeError):  # there are no threads to be had: the supervisor has its own deadline
        threading.Thread(target=_end_without_threads, args=(began, status), daemon=True).start()
        threading.Thread(target=_end_at_last, args=(status,), daemon=True).start()


def _end_without_threads(began: threading.Event, status: int) -> None:
    if began.wait(FOR_THREADS):
        return
    from pad19.routes.naming import plain  # nearly no worker comes here, and start time counts

    for thread in [thread for thread in threading.enumerate() if _is_waited_for(thread)][:MAX_NAMED]:
        LOGGER.warning(
            "a worker ends though the thread %s is at work%s: make it a daemon, or end it with a lifespan",
            plain(thread.name),
            _place_of(thread),
        )
    atexit._run_exitfuncs()  # here, since the main thread does not come to it
    _end(status)


def _end_at_last(status: int) -> None:
    time.sleep(FOR_THREADS + FOR_LIBRARIES)
    messages.finish()
    _end(status)


def _end(status: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(status)


def _is_waited_for(thread: threading.Thread) -> bool:
    return not thread.daemon and thread is not threading.main_thread()


def _place_of(thread: threading.Thread) -> str:
    from pad19.routes.frames import stack_of
    from pad19.routes.naming import plain

    frame = sys._current_frames().get(thread.ident or 0)
    frames = stack_of(frame) if frame else []
    place = next((frame for frame in frames if frame.is_own), None)
    return f" at {plain(str(place))}" if place else ""
