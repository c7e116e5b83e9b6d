"""What the commands that read a configuration have in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_OPTIONS = [
    click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path)),
    click.option("--listen", multiple=True, metavar="ADDRESS:PORT", help="Where to listen; repeatable."),
    click.option("--host", "hosts", multiple=True, metavar="NAME", help="A host name to serve; repeatable."),
    click.option(
        "--certs", type=click.Path(path_type=Path), metavar="DIR", help="The folder of certificates."
    ),
    click.option(
        "--config", type=click.Path(path_type=Path), metavar="FILE", help="Instead of DIR/pad19.toml."
    ),
    click.option("--workers", type=int, metavar="N", help="Worker processes."),
]


def configured(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the arguments of `pad19.service.config_load.resolve`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
