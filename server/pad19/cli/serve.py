"""``pad19 serve``: from the command line to a running server."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from pad19.cli import CONTEXT
from pad19.cli.options import configured
from pad19.service.config.load import resolve
from pad19.service.config.model import Config, ConfigError
from pad19.service.logs import messages
from pad19.service.sockets import Unavailable
from pad19.service.supervisor import supervise


@click.command(context_settings=CONTEXT)
@configured
def serve(folder: Path, **arguments: Any) -> None:
    """Serve the capsule in DIR (default: this folder).

    DIR holds a pad19.toml, or is itself a folder of pages.
    """
    run(partial(resolve, folder, **arguments))


def run(configure: Callable[[], Config], *, is_development: bool = False) -> None:
    """Serve until stopped, as `supervise`; what makes that impossible is told, and ends the process."""
    messages.set_up()
    try:
        supervise(configure, is_development=is_development)
    except ConfigError as error:
        for problem in error.problems:
            messages.complain(problem)
        sys.exit(1 if isinstance(error, Unavailable) else 2)
