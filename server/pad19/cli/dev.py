"""``pad19 dev``: a server for somebody who writes routes."""

from functools import partial
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from pad19.cli import CONTEXT
from pad19.cli.options import configured
from pad19.cli.serve import run
from pad19.protocol.request import DEFAULT_PORT
from pad19.service.config.listen import Listen
from pad19.service.config.load import resolve
from pad19.service.config.model import Config, Log


@click.command(context_settings=CONTEXT)
@configured
def dev(folder: Path, **arguments: Any) -> None:
    """Serve the capsule in DIR (default: this folder) while you write it.

    What you save is served at once. Requests show in the terminal, and mistakes in routes there and in
    the browser.
    """
    run(partial(_resolve, folder, **arguments), is_development=True)


def _resolve(folder: Path, **arguments: Any) -> Config:
    """One worker, which is what starts fastest; always watching; a log in the terminal.

    Where nothing is said, it listens on this machine alone: what goes wrong shows code.
    """
    config = resolve(folder, **arguments)
    listen = config.server.listen or (Listen(host="localhost", port=DEFAULT_PORT),)
    server = replace(config.server, listen=listen, watch=True, workers=1)
    return replace(config, server=server, log=Log())
