"""``pad19 check``: what is wrong with a capsule, before visitors find out."""

import logging
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pad19.cli import CONTEXT
from pad19.cli.options import configured
from pad19.cli.printable import printable
from pad19.service.config.load import resolve
from pad19.service.config.model import ConfigError
from pad19.service.config.read import shown_path

if TYPE_CHECKING:
    from pad19.service.check.files import Finding

MAX_TOLD = 20  # lines about one file


def _print_schema(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from pad19.service.config.schema import as_text

        click.echo(as_text(), nl=False)
        context.exit()


@click.command(context_settings=CONTEXT)
@configured
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print the JSON Schema of pad19.toml, for editors.",
)
def check(folder: Path, **arguments: Any) -> None:
    """Check the capsule in DIR (default: this folder), and change nothing.

    Exit status: 0 if all is well, 1 if something is not as it should be, 2 if the configuration is wrong.
    """
    # Handlers log what is found here anyway.
    logging.getLogger("pad19").addHandler(logging.NullHandler())
    try:
        config = resolve(folder, **arguments)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"pad19: {problem}", err=True)
        sys.exit(2)
    import trio

    from pad19.service.check.content import check_content
    from pad19.service.check.machine import check_machine
    from pad19.service.handlers import rehearse

    ready = trio.run(check_machine, config)
    with _listening() as told:
        handlers, broken = rehearse(config)
    ready.problems += broken
    ready.warnings += dict.fromkeys(told)
    for problem in ready.problems:
        click.echo(f"pad19: {problem}", err=True)
    for warning in ready.warnings:
        click.echo(f"warning: {printable(warning)}")
    for note in ready.notes:
        click.echo(f"note: {note}")
    report = trio.run(check_content, config, handlers)
    _tell(report.findings)
    problems = sum(not finding.is_note for finding in report.findings)
    found = problems + len(ready.problems) + len(ready.warnings)
    click.echo(f"{_count(report.files, 'file')}, {_count(report.links, 'link')}: {_count(found, 'problem')}")
    sys.exit(1 if found else 0)


@contextmanager
def _listening() -> Iterator[list[str]]:
    """What would be told on standard error meanwhile, by a server that starts."""
    told: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    logger, listener = logging.getLogger("pad19"), Listener(logging.WARNING)
    logger.addHandler(listener)
    try:
        yield told
    finally:
        logger.removeHandler(listener)


def _tell(findings: "list[Finding]") -> None:
    """One line for each, and not more than so many for one file."""
    totals = Counter(finding.path for finding in findings)
    told: Counter[str] = Counter()
    for finding in findings:
        path = finding.path
        told[path] += 1
        name = _shown(path)
        if told[path] <= MAX_TOLD:
            place = f"{name}:{finding.line}" if finding.line else name
            click.echo(f"{place}: {'note: ' if finding.is_note else ''}{printable(finding.text)}")
        elif told[path] == totals[path]:
            click.echo(f"{name}: and {totals[path] - MAX_TOLD} more")


def _shown(path: str) -> str:
    """From this folder on, if it is in there: an editor or a terminal can open it by that."""
    here = Path.cwd()
    full = Path(path)
    return shown_path(full.relative_to(here) if full.is_relative_to(here) else full)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
