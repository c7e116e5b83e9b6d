"""``pad19 status``: how a running server is."""

import sys
from pathlib import Path

import click

from pad19.cli import CONTEXT
from pad19.cli.options import PATH
from pad19.cli.printable import printable
from pad19.service.telemetry.status import read_message
from pad19.service.telemetry.status_socket import NotRunning, ask, subjects


@click.command(context_settings=CONTEXT)
@click.argument("folder", metavar="[DIR]", default=".", type=PATH)
@click.option("--config", type=PATH, metavar="FILE", help="Instead of DIR/pad19.toml.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, for programs.")
def status(folder: Path, config: Path | None, as_json: bool) -> None:
    """Tell how the server that runs for DIR is (default: this folder).

    DIR and FILE are what it was started with. Exit status: 0 if it runs, 1 if it does not.
    """
    try:
        json, text = read_message(ask(subjects(folder, config), _tell_whose))
    except NotRunning as error:
        reason = str(error)
    except OSError as error:
        reason = f"the working directory is of no use ({error.strerror}): go to another one"
    else:
        click.echo(json if as_json else printable(text, keep="\n"), nl=False)
        return
    click.echo(f"pad19: {reason}", err=True)
    sys.exit(1)


def _tell_whose(user: int) -> None:
    import pwd

    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:  # nobody has that number any more
        name = str(user)
    click.echo(f"asking a server of the user {name}", err=True)
