"""``pad19 edit``: open a page in an editor, and upload what becomes of it."""

import io
import os
import tempfile
from pathlib import Path

import click

from pad19.cli import CONTEXT

from .delivery import Delivery, target_of, token_option, without_edit
from .visiting import Flags, run, visiting


@click.command(context_settings=CONTEXT)
@click.argument("uri", metavar="URL")
@token_option
@visiting()
def edit(uri: str, token: str | None, flags: Flags) -> None:
    """Open the text at URL in your editor, and upload it when you have changed it.

    The editor is the one that VISUAL or EDITOR names. Where nothing is yet, you begin with an empty text. A
    server may refuse it if somebody else has changed the page meanwhile; whatever goes wrong, what you have
    written is kept in a file, whose name you are told.

    The exit status is 0 if the server took it, or if nothing was changed; 1 for all else, and 2 for a wrong
    command line.
    """
    target = target_of(without_edit(uri.strip()))  # as the server's log has it, say
    delivery = Delivery(flags.visit(target), target, token)
    page = io.BytesIO()
    mimetype = run(lambda: delivery.fetch(page))
    before = page.getvalue()
    path = _write(before, target.path)
    try:
        _open_editor(path)
        if _read(path) == before:
            click.echo("Nothing was changed.", err=True)
        else:
            _send(path, delivery, mimetype)
    except BaseException:
        if not _is_worthless(path, before):
            click.echo(f"Your text is kept in {path}", err=True)
        raise
    path.unlink()


def _open_editor(path: Path) -> None:
    try:
        click.edit(filename=str(path))
    except (click.ClickException, ValueError) as error:
        reason = error if isinstance(error, ValueError) else error.__cause__
        if not isinstance(reason, ValueError | OSError):
            raise  # it was there, and failed
        said = reason.strerror if isinstance(reason, OSError) else reason
        raise click.ClickException(
            f"the editor cannot be started ({said}); name another one in VISUAL or EDITOR"
        ) from error


def _is_worthless(path: Path, before: bytes) -> bool:
    """Whether a text is gone, or nobody has written anything; then it is removed."""
    try:
        if path.read_bytes() not in {before, b""}:
            return False
        path.unlink()
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise click.ClickException(
            f"the editor has removed {path}, so nothing was uploaded; what deletes a page is "
            "`pad19 put --delete`"
        ) from error
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read any more ({error.strerror})") from error


def _send(path: Path, delivery: Delivery, mimetype: str) -> None:
    size = path.stat().st_size
    if not size:
        raise click.ClickException("the text is empty, and that would delete the page")
    with path.open("rb") as file:
        run(lambda: delivery.send(file, size, mimetype))


def _write(text: bytes, uri_path: str) -> Path:
    """The text in a file of its own, whose ending tells an editor what it is."""
    suffix = Path(uri_path).suffix
    fd, name = tempfile.mkstemp(suffix if suffix.isascii() and suffix[1:].isalnum() else ".gmi", "pad19-")
    with os.fdopen(fd, "wb") as file:
        file.write(text)
    return Path(name)
