"""The command line. Each command is imported when it is called, so that starting stays quick."""

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

CONTEXT = {"help_option_names": ["-h", "--help"]}  # for every command
_COMMANDS = {  # name: the module below pad19.cli that has a command of that name, and its help
    "serve": "Serve a capsule.",
    "dev": "Serve a capsule while you write it.",
    "init": "Make a capsule to begin with.",
    "check": "Check a capsule.",
    "status": "Tell how a server is.",
    "cert": "Show, make and renew certificates.",
    "identity": "Let people in, and keep them out.",
    "get": "Fetch a page.",
    "put": "Upload a file.",
    "edit": "Edit a page.",
}


# The output cannot be written: what commands write to files they report themselves, with the name.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


class _Commands(click.Group):
    def main(self, args: Sequence[str] | None = None, *others: Any, **extra: Any) -> Any:
        if args is None:  # this process is the command
            _name_files_in_utf8()
        try:
            return super().main(args, *others, **extra)
        except OSError as error:
            if error.errno not in _NO_ROOM or error.filename is not None:
                raise
            # What is left of the output would be tried again at exit, with a complaint.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            click.ClickException(f"nothing more can be written ({error.strerror}): make room").show()
            sys.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches  # few need it

            # Newer versions of click look for what was meant, but only among commands that are loaded.
            meant = get_close_matches(args[0], _COMMANDS, 1)
            if not meant:
                raise
            raise click.UsageError(f"{error.message} Did you mean {meant[0]!r}?", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _name_files_in_utf8() -> None:
    """Begin anew where the locale has another encoding, as ISO-8859-1: requests and pad19.toml are UTF-8."""
    encoding = sys.getfilesystemencoding()
    if encoding == "utf-8":
        return
    if os.environ.get("PYTHONUTF8") == "1":  # of which this Python was told to take no notice
        sys.exit(f"Error: names of files are {encoding} here, not UTF-8: start Python with -X utf8")
    os.environ["PYTHONUTF8"] = "1"  # also for workers
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very program


def _version(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version  # costs 20 ms, which serving need not pay

        click.echo(f"pad19 {version('pad19')}")
        ctx.exit()


@click.group(cls=_Commands, context_settings=CONTEXT)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version."
)
def main() -> None:
    """pad19, a Gemini server.

    `pad19 serve DIR` is all it takes: it makes a certificate and serves what is in DIR.
    """
