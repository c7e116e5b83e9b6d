"""What the commands that read a configuration have in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

# Not looked at: whoever opens it says what ails it in one sentence, with the mend.
PATH = click.Path(readable=False, path_type=Path)


class Mistake(click.ClickException):
    """Something that was given is of no use: one sentence, without a line about usage."""

    exit_code = 2


_OPTIONS = [
    click.argument("folder", metavar="[DIR]", default=".", type=PATH),
    click.option("--listen", multiple=True, metavar="ADDRESS:PORT", help="Where to listen; repeatable."),
    click.option("--host", "hosts", multiple=True, metavar="NAME", help="A host name to serve; repeatable."),
    click.option("--certs", type=PATH, metavar="DIR", help="The folder of certificates."),
    click.option("--config", type=PATH, metavar="FILE", help="Instead of DIR/pad19.toml."),
    click.option("--workers", type=int, metavar="N", help="Worker processes."),
]


def configured(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the arguments of `pad19.service.config.load.resolve`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
