"""What is raised by mistake, told apart from what ends tasks.

Routes run foreign code, and some of that raises what no ``except Exception`` catches: asyncio's
cancellation, ``sys.exit()``, the panics of other languages. None of it may reach the event loop, which
would end with all that it serves.
"""

import signal

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
