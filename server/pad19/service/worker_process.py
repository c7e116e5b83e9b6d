"""The process around a worker: what its supervisor hands over, signals, signs of life.

Started as ``python -m pad19.service.worker_process FD`` by `child.WorkerProcess` alone. SIGTERM drains
it, SIGQUIT ends it at once, SIGUSR1 has the log go on in a new file. Other signals that
a supervisor knows are ignored. It does not outlive its supervisor.
"""

import fcntl
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from types import FrameType

import trio

from pad19.dispatch.limits.admission import Admission
from pad19.dispatch.record import Record
from pad19.tls.packed import pack, unpack

from . import keyring
from .config.model import ConfigError
from .handover import Alive, Closed, Failed, Order, Ready, Shown, send
from .leaving import leave_soon
from .logs import messages
from .logs.terminal import terminal_formatter
from .logs.writer import STANDARD_OUTPUT, LogWriter, open_log
from .mounting import Backends
from .signals import FOR_SUPERVISORS
from .signature import Signatures, signatures
from .stalls import Stalls
from .telemetry.scoreboard import Slot
from .worker import Site, admission_for, certificate_files, serve

HEARTBEAT = 1.0  # seconds


def main() -> None:
    """Serve until told to drain."""
    status = 1
    try:
        status = _work()
    finally:
        leave_soon(status)
    sys.exit(status)


def _work() -> int:
    """The exit status."""
    _ignore_what_is_for_supervisors()
    order = _take_order()
    _die_with(order.lifeline)
    if order.size > 1:
        _wait_for_a_turn()
    messages.set_up()
    output = STANDARD_OUTPUT
    if any(capsule.routes or capsule.mount for capsule in order.config.capsules):
        output = _name_what_routes_say()
    problems: list[str] = []
    backends = Backends(
        order.config,
        is_development=order.is_development,
        stands_in=order.stands_in,
        warns=order.number == 0,
    )
    kept = unpack(data) if (data := keyring.take(order.keyring)) else {}
    files = {} if kept else signatures(certificate_files(order.config))
    try:
        log = open_log(order.config.log.access, output)
    except ConfigError as error:
        if order.stands_in:
            log = open_log("off")
            backends.problems += [f"{each}; until then there is no access log" for each in error.problems]
        else:
            problems += error.problems
    try:
        site = Site.build(order.config, backends, kept, order.known)
    except ConfigError as error:
        problems += error.problems
    else:
        if not kept:
            keyring.put(order.keyring, pack(site.credentials))
    keyring.close(order.keyring)
    files |= backends.files
    if not problems:
        if site.made:  # by us just now, which is no change
            files |= signatures(certificate_files(order.config))
        try:
            line = terminal_formatter(colour=_takes_colour(output)) if order.is_development else None
            trio.run(_run, order, site, log, line, files)
        except* ConfigError as group:
            problems += _problems(group)
    if problems:
        send(order.reports, Failed(tuple(problems), files))
    return 1 if problems else 0


def _ignore_what_is_for_supervisors() -> None:
    """Survive signals that were for the supervisor. Until trio runs, SIGTERM ends us as it ends any other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda _number, _frame: None)  # not SIG_IGN, which programs would inherit
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FOR_SUPERVISORS)


def _take_order() -> Order:
    """What the supervisor hands over; programs that routes start get none of its descriptors."""
    try:
        order = Order.take(int(sys.argv[1]))
    except (AttributeError, ImportError, TypeError) as error:
        # Somebody has installed another version of pad19 meanwhile.
        sys.exit(f"pad19: a worker does not understand its supervisor ({error}): restart pad19")
    for fd in order.descriptors:
        os.set_inheritable(fd, False)
    return order


def _name_what_routes_say() -> int:
    """Whatever routes print goes to the log, or to standard error. Returns the real standard output."""
    from pad19.routes.output import RouteNames, RouteOutput, log_missing_awaits

    # No other number than that would do for the programs that routes start.
    output = fcntl.fcntl(STANDARD_OUTPUT, fcntl.F_DUPFD_CLOEXEC, 3)
    os.dup2(messages.STANDARD_ERROR, STANDARD_OUTPUT)
    sys.stdout = RouteOutput()
    log_missing_awaits()
    for handler in logging.getLogger().handlers:
        handler.addFilter(RouteNames())
    return output


def _problems(group: BaseExceptionGroup[ConfigError]) -> Iterator[str]:
    for error in group.exceptions:
        yield from _problems(error) if isinstance(error, BaseExceptionGroup) else error.problems


def _die_with(lifeline: int) -> None:
    """Have the kernel end this process when the other end of a pipe is closed, whatever it is doing then.

    SIGIO (fcntl(2), O_ASYNC) ends a process that does not handle it.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        if not os.read(lifeline, 1):  # it was closed before the kernel watched it
            sys.exit(1)


def _wait_for_a_turn() -> None:
    """Have the kernel let a process finish its turn on a core before it gives us ours (sched(7)).

    Each connection wakes workers. Those that take the core from one another, and from the clients on
    the same machine, do so with every connection and find cold caches each time: a tenth more CPU.
    """
    with suppress(AttributeError, OSError):  # Linux alone has it, and a sandbox may forbid it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


async def _run(
    order: Order, site: Site, log: LogWriter, line: Callable[[Record], str] | None, files: Signatures
) -> None:
    stop, stop_now = trio.Event(), trio.Event()
    _obey_signals(stop, stop_now, log)

    def ready() -> None:
        send(order.reports, Ready(_shown(site), files, tuple(dict.fromkeys(site.backends.problems))))
        os.set_blocking(order.reports, False)
        background.start_soon(_give_signs_of_life, order.reports, slot, admission)

    def closed() -> None:
        with suppress(OSError):  # its reader is gone
            send(order.reports, Closed())

    shared = order.shared
    slot = shared.slot(order.slot)
    # Even of a single worker there are two at times: one that drains, and the next generation's.
    counts = shared.limits(order.slot, worker=order.number, workers=order.size)
    admission = admission_for(order.config, counts)
    async with trio.open_nursery() as background:
        await serve(
            order.config,
            site,
            order.bound(),
            log,
            stop,
            stop_now,
            admission=admission,
            count=slot.count,
            closed=closed,
            line=line,
            ready=ready,
        )
        background.cancel_scope.cancel()


def _takes_colour(output: int) -> bool:
    return os.isatty(output) and not os.environ.get("NO_COLOR")  # no-color.org


def _obey_signals(stop: trio.Event, stop_now: trio.Event, log: LogWriter) -> None:
    """Let signals set events until the process ends.

    Not `trio.open_signal_receiver`: one that comes while we leave would get through to Python, which
    prints a traceback.
    """
    token = trio.lowlevel.current_trio_token()
    work = {signal.SIGTERM: stop.set, signal.SIGQUIT: stop_now.set, signal.SIGUSR1: log.reopen}

    def handle(number: int, _frame: FrameType | None) -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(work[signal.Signals(number)], idempotent=True)
            if number == signal.SIGQUIT:
                token.run_sync_soon(stop.set, idempotent=True)

    for number in work:
        signal.signal(number, handle)


async def _give_signs_of_life(reports: int, slot: Slot, admission: Admission) -> None:
    with closing(Stalls()) as stalls:
        while True:
            stalls.beat()
            slot.beat(admission.total)
            with suppress(OSError):  # its reader is busy, or gone, and then we are soon
                send(reports, Alive())
            await trio.sleep(HEARTBEAT)


def _shown(site: Site) -> tuple[Shown, ...]:
    return tuple(
        Shown(
            host,
            credentials.fingerprint,
            credentials.key_fingerprint,
            credentials.not_after.timestamp(),
            host in site.made,
        )
        for host, credentials in site.credentials.items()
    )


if __name__ == "__main__":
    main()
