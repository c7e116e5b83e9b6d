"""``pad19 serve``: from the command line to a running server."""

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import click
import trio

from pad19.cli import CONTEXT
from pad19.protocol.request import DEFAULT_PORT
from pad19.protocol.uri import display_host
from pad19.service.config import Config, ConfigError
from pad19.service.config_load import resolve
from pad19.service.log_writer import LogWriter, open_log
from pad19.service.sockets import Bound, bind
from pad19.service.worker import Site
from pad19.service.worker import serve as run_worker


@click.command(context_settings=CONTEXT)
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option("--listen", multiple=True, metavar="ADDRESS:PORT", help="Where to listen; repeatable.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="A host name to serve; repeatable.")
@click.option("--certs", type=click.Path(path_type=Path), metavar="DIR", help="The folder of certificates.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Instead of DIR/pad19.toml.")
@click.option("--workers", type=int, metavar="N", help="Worker processes.")
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
    logging.basicConfig(level=logging.INFO, format="pad19: %(message)s", stream=sys.stderr)
    try:
        settings = resolve(folder, config=config, listen=listen, hosts=hosts, certs=certs, workers=workers)
        log, site, sockets = _prepare(settings)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"pad19: {problem}", err=True)
        sys.exit(2)
    stop, stop_now = trio.Event(), trio.Event()

    async def main() -> None:
        _stop_on_signals(stop, stop_now)
        await run_worker(
            settings, site, sockets, log, stop, stop_now, ready=lambda: _announce(settings, site, sockets)
        )

    trio.run(main)


def _prepare(config: Config) -> tuple[LogWriter, Site, tuple[Bound, ...]]:
    """Everything that can fail for the operator.

    Raises:
        ConfigError: With the problems of all three.
    """
    problems: list[str] = []
    sockets: tuple[Bound, ...] = ()
    with _noted(problems):
        log = open_log(config.log.access)
    with _noted(problems):
        site = Site.build(config)
    with _noted(problems):
        sockets = bind(config)
    if problems:
        for bound in sockets:
            bound.close()
        raise ConfigError(tuple(problems))
    return log, site, sockets


@contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        problems += error.problems


def _stop_on_signals(stop: trio.Event, stop_now: trio.Event) -> None:
    """Let signals set ``stop``, and a second SIGINT ``stop_now``, until the process ends.

    SIGHUP is among them: the terminal was closed.

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


def _announce(config: Config, site: Site, sockets: tuple[Bound, ...]) -> None:
    """Say what is served, on standard error: standard output belongs to the access log."""

    def say(line: str) -> None:
        with suppress(OSError):  # nobody reads it: that is no reason not to serve
            click.echo(line, err=True)

    ports = [bound.listen.port for bound in sockets if bound.listen.path is None]
    suffix = "" if not ports or DEFAULT_PORT in ports else f":{ports[0]}"
    for capsule in config.capsules:
        say(f"Serving {capsule.content}")
        for host in capsule.hosts:
            credentials = site.credentials[host]
            state = "made just now, " if host in site.made else ""
            say(f"  gemini://{display_host(host)}{suffix}/")
            valid = f"valid until {credentials.not_after:%Y-%m-%d}"
            say(f"    certificate {credentials.fingerprint} ({state}{valid})")
    say(f"Listening on {', '.join(str(bound.listen) for bound in sockets)}. Stop with Ctrl-C.")
