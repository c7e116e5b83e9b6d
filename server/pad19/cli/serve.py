"""``pad19 serve``: from the command line to a running server."""

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import click
import trio

from pad19.cli import CONTEXT, messages
from pad19.cli.options import configured
from pad19.protocol.request import DEFAULT_PORT
from pad19.protocol.uri import display_host
from pad19.service import systemd
from pad19.service.config import Config, ConfigError
from pad19.service.config_load import FILE_NAME, resolve
from pad19.service.log_writer import LogWriter, open_log
from pad19.service.sockets import Bound, Unavailable, bind
from pad19.service.worker import Site
from pad19.service.worker import serve as run_worker

STOP_MARGIN = 5.0  # seconds that a stop takes beyond the grace period, at most: the last lines of the log


@click.command(context_settings=CONTEXT)
@configured
def serve(
    folder: Path,
    listen: tuple[str, ...],
    hosts: tuple[str, ...],
    certs: Path | None,
    config: Path | None,
    workers: int | None,
) -> None:
    """Serve the capsule in DIR (default: this folder).

    DIR holds a pad19.toml, or is itself a folder of pages.
    """
    messages.set_up()
    try:
        settings = resolve(folder, config=config, listen=listen, hosts=hosts, certs=certs, workers=workers)
        log, site, sockets = _prepare(settings)
    except ConfigError as error:
        for problem in error.problems:
            messages.complain(problem)
        sys.exit(1 if isinstance(error, Unavailable) else 2)
    stop, stop_now = trio.Event(), trio.Event()

    def ready() -> None:
        _announce(settings, site, sockets)
        systemd.ready(_status(settings, sockets))

    async def main() -> None:
        _obey_signals(stop, stop_now, log)
        async with trio.open_nursery() as background:
            background.start_soon(_feed_watchdog)
            background.start_soon(_tell_of_stop, stop, settings.limits.grace_s)
            await run_worker(settings, site, sockets, log, stop, stop_now, ready=ready)
            background.cancel_scope.cancel()

    trio.run(main)


def _prepare(config: Config) -> tuple[LogWriter, Site, tuple[Bound, ...]]:
    """Everything that can fail for the operator.

    Raises:
        Unavailable: The problems are all of addresses.
        ConfigError: With the problems of all three.
    """
    problems: list[str] = []
    taken: list[str] = []
    sockets: tuple[Bound, ...] = ()
    with _noted(problems):
        log = open_log(config.log.access)
    with _noted(problems):
        site = Site.build(config)
    with _noted(problems):
        given = _given()
        with _noted(taken):
            sockets = bind(config, given)
    if problems or taken:
        for bound in sockets:
            bound.close()
        raise (ConfigError if problems else Unavailable)((*problems, *taken))
    return log, site, sockets


def _given() -> list[socket.socket]:
    try:
        return [sock for _, sock in systemd.activated()]
    except systemd.ActivationError as error:
        raise ConfigError((str(error),)) from None


@contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        problems += error.problems


def _obey_signals(stop: trio.Event, stop_now: trio.Event, log: LogWriter) -> None:
    """Let signals set ``stop``, and a second SIGINT ``stop_now``, until the process ends.

    SIGHUP is among them: the terminal was closed. SIGUSR1 has the log go on in a new file.

    Not `trio.open_signal_receiver`: one that comes while we leave would get through to Python, which
    prints a traceback.
    """
    token = trio.lowlevel.current_trio_token()
    interrupts = 0

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        with suppress(trio.RunFinishedError):
            token.run_sync_soon((stop_now if interrupts > 1 else stop).set)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, handle)

    def reopen(_number: int, _frame: FrameType | None) -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(log.reopen, idempotent=True)

    signal.signal(signal.SIGUSR1, reopen)


async def _feed_watchdog() -> None:
    """Let systemd see that the loop goes round, if it looks."""
    interval = systemd.watchdog_interval()
    while interval:
        systemd.still_alive()
        await trio.sleep(interval)


async def _tell_of_stop(stop: trio.Event, grace: float) -> None:
    await stop.wait()
    systemd.stopping(grace + STOP_MARGIN, "Stopping: open connections may finish")


def _status(config: Config, sockets: tuple[Bound, ...]) -> str:
    hosts = [host for capsule in config.capsules for host in capsule.hosts]
    return f"Serving {', '.join(hosts)} on {', '.join(str(bound.listen) for bound in sockets)}"


def _announce(config: Config, site: Site, sockets: tuple[Bound, ...]) -> None:
    """Say what is served, on standard error: standard output belongs to the access log."""

    def say(line: str) -> None:
        with suppress(OSError):  # nobody reads it: that is no reason not to serve
            messages.say(line)

    direct = [bound for bound in sockets if not bound.forwarder]
    ports = [bound.listen.port for bound in direct if bound.listen.path is None]
    suffix = "" if not ports or DEFAULT_PORT in ports else f":{ports[0]}"
    for capsule in config.capsules:
        say(f"Serving {capsule.content}")
        if config.source is None:
            say(f"  (no {FILE_NAME} in {capsule.content}, so the folder itself is the content)")
        for host in capsule.hosts:
            credentials = site.credentials[host]
            state = "made just now, " if host in site.made else ""
            say(f"  gemini://{display_host(host)}{suffix}/")
            valid = f"valid until {credentials.not_after:%Y-%m-%d}"
            say(f"    certificate  {credentials.fingerprint} ({state}{valid})")
            say(f"    public key   {credentials.key_fingerprint}")
    places = [str(bound.listen) for bound in direct]
    places += [f"{bound.listen} (for forwarders)" for bound in sockets if bound.forwarder]
    if config.log.access not in {"-", "off"}:
        say(f"The access log goes to {config.log.access}.")
    say(f"Listening on {', '.join(places)}. Stop with Ctrl-C.")
