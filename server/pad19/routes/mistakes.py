"""What is raised by mistake, told apart from what ends tasks.

Routes run foreign code, and some of that raises what no ``except Exception`` catches: asyncio's
cancellation, ``sys.exit()``, the panics of other languages. None of it may reach the event loop, which
would end with all that it serves.
"""

import signal
from pathlib import PurePath

import trio

NO_THREAD = "no thread can be started: raise TasksMax= or ulimit -u, or end what has so many"


def is_want_of_threads(error: BaseException) -> bool:
    """Whether the system has no thread left, which is nobody's mistake. Python has no class for that."""
    return isinstance(error, RuntimeError) and str(error) == "can't start new thread"


def parted(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """What has to go on its way, and what is a mistake: one of them, or parts of a group.

    On its way are trio's cancellation, and Ctrl-C where there is one: workers ignore SIGINT.
    """
    stops: tuple[type[BaseException], ...] = (trio.Cancelled,)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        stops += (KeyboardInterrupt,)
    if isinstance(error, BaseExceptionGroup):
        stop, mistake = error.split(stops)
        return (stop, mistake) if stop else (None, error)
    return (error, None) if isinstance(error, stops) else (None, error)


def unwrapped(error: BaseException) -> BaseException:
    """What is in groups of one, as nurseries make them."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def mend_of(error: BaseException) -> str | None:
    """What to write instead, where Python's message does not say it and authors stumble most."""
    match error:
        case RuntimeError(args=("no running event loop",)):
            return "pad19 runs on trio, not on asyncio: use trio here, or write def, which runs in a thread"
        case TypeError(args=(str(text),)) if text.startswith("exceptions must derive from BaseException"):
            return "return Input, Redirect and the like; what is raised are failures, such as NotFound"
        case FileNotFoundError(filename=str(name)) if not PurePath(name).is_absolute():
            return "relative paths start where pad19 was started; this file is in Path(__file__).parent"
    return None
