"""``pad19 identity``: look after a file of fingerprints that a zone names.

The server reads it again when it changes, so what is done here holds from the next request on.
"""

import os
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from pad19.cli import CONTEXT
from pad19.cli.options import PATH
from pad19.cli.printable import printable
from pad19.dispatch.zones.fingerprints import MAX_NAME, Entry, is_name, normalize, parse_lines
from pad19.dispatch.zones.people import KnownOtherwise, change, entry_of, let_in
from pad19.service.config.environment import expand

MAX_CERTIFICATE = 1024 * 1024  # bytes

_file = click.option(
    "--file",
    "path",
    type=PATH,
    metavar="FILE",
    help="The file; otherwise the only one whose people pad19.toml here lets in.",
)


@click.group(context_settings=CONTEXT)
def identity() -> None:
    """Look after a file of people's fingerprints, for [[capsule.zone]]."""


@identity.command("list")
@_file
def show(path: Path | None) -> None:
    """List who is in the file.

    Exit status: 0 if all lines can be read, else 1.
    """
    path = path or _default_file()
    lines = [*parse_lines(_read(path))]
    for _, entry in lines:
        if isinstance(entry, Entry):
            click.echo(f"{entry.fingerprint}  {printable(entry.name)}".rstrip())
    if not lines:
        click.echo(f"There is nobody in {path}; `pad19 identity add NAME FINGERPRINT` changes that.")
    broken = [(number, said) for number, said in lines if isinstance(said, str)]
    for number, said in broken:
        click.echo(f"{path}: line {number} counts for nobody: it {said}", err=True)
    sys.exit(1 if broken else 0)


@identity.command()
@click.argument("name")
@click.argument("who", metavar="FINGERPRINT")
@_file
@click.option("--key", is_flag=True, help="Of a certificate, take its public key, which renewals can keep.")
def add(name: str, who: str, path: Path | None, key: bool) -> None:
    """Let somebody in.

    FINGERPRINT is that of a certificate or of its public key, or a file with the certificate (PEM). A
    name may have several.
    """
    is_file = os.path.isfile  # Path's fails for long names
    if is_name(who) and (_normalized(name) or (is_file(name) and not is_file(who))):
        raise click.UsageError("The name comes first, and then the fingerprint or the file.")
    if not is_name(name):
        raise click.UsageError(f"A name has 1 to {MAX_NAME} characters, without colons and #.")
    path = path or _default_file()
    entry = Entry(_fingerprint(who, key=key), name)
    try:
        with _translated(path):
            is_new = let_in(path, name, entry.fingerprint)
    except KnownOtherwise as error:
        raise click.ClickException(
            f"{path} has that fingerprint already, as {printable(str(error.entry))}; remove it first"
        ) from error
    click.echo(f"{printable(str(entry))} is in {path} {'now' if is_new else 'already'}.")


@identity.command()
@click.argument("who", metavar="NAME|FINGERPRINT")
@_file
def remove(who: str, path: Path | None) -> None:
    """Keep somebody out from now on: all fingerprints of a name, or a single one."""
    path = path or _default_file()
    fingerprint = _normalized(who)

    def is_meant(line: str) -> bool:
        entry = entry_of(line)
        return entry is not None and (entry.fingerprint == fingerprint if fingerprint else entry.name == who)

    def drop(lines: list[str]) -> str:
        found = [line for line in lines if is_meant(line)]
        if not found:
            raise click.ClickException(
                f"{path} has no {printable(who)}; `pad19 identity list` shows who is there"
            )
        lines[:] = [line for line in lines if line not in found]
        return "\n".join(f"{printable(str(entry_of(line)))} is no longer in {path}." for line in found)

    with _translated(path):
        said = change(path, drop)
    click.echo(said)


def _fingerprint(who: str, *, key: bool) -> str:
    if fingerprint := _normalized(who):
        if key:
            raise click.UsageError(
                "--key goes with the file of a certificate; a fingerprint is taken as it is."
            )
        return fingerprint
    from pad19.tls.identity import identify_pem  # costs OpenSSL, which the others do without

    try:
        with open(who, "rb") as file:
            found = identify_pem(file.read(MAX_CERTIFICATE))
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and ("/" in who or "." in who):
            raise click.ClickException(
                f"{printable(who)} is missing: give a fingerprint, sha256: and 64 hex digits, or the file "
                "of a certificate"
            ) from error
        reason = error.strerror if isinstance(error, OSError) else error
        raise click.ClickException(
            f"{printable(who)} is neither a fingerprint, sha256: and 64 hex digits, nor the file of a "
            f"certificate ({reason})"
        ) from error
    if problem := found.problem(datetime.now(UTC)):
        click.echo(f"warning: {problem}, so it is answered with 62", err=True)
    return found.key_fingerprint if key else found.fingerprint


def _normalized(who: str) -> str | None:
    try:
        return normalize(who)
    except ValueError:
        return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise click.ClickException(
            f"{path} is missing; `pad19 identity add NAME FINGERPRINT` makes it"
        ) from error
    except OSError as error:
        raise click.ClickException(
            f"{path} cannot be read ({error.strerror}); mend that, or name another with --file"
        ) from error


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise click.ClickException(
            f"{path.resolve()} cannot be written ({error.strerror}); mend that, or name another with --file"
        ) from error


def _default_file() -> Path:
    """The file of those whom pad19.toml here lets in, or a file that it includes.

    Not by way of the whole configuration: that is not right before the file is there.
    """
    main = Path("pad19.toml")
    found: dict[str, Path] = {}  # by their real paths: two files may write one in two ways
    for file, table in _configuration(main):
        for name in _named(table):
            path = file.parent / _expanded(file, f"file:{name}").removeprefix("file:")
            found.setdefault(os.path.realpath(path), path)
    if len(found) != 1:
        several = f"several files: {', '.join(sorted(map(str, found.values())))}"
        said = several if found else 'no file: write for example allow = "file:members.txt"'
        raise click.UsageError(f"The zones in {main} name {said}; or give --file.")
    return next(iter(found.values()))


def _configuration(main: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The file, and those that it includes, with what they say."""
    table = _table(main)
    yield main, table
    include = table.get("include", [])
    patterns = [
        item for item in (include if isinstance(include, list) else [include]) if isinstance(item, str)
    ]
    if not patterns:
        return
    from pad19.service.config.load import matches  # costs msgspec, which the others do without

    for pattern in patterns:
        for file in matches(_expanded(main, pattern), main.parent):
            if file != main:  # "*.toml"
                yield file, _table(file)


def _table(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise click.UsageError(f"There is no {file} here; give --file.") from None
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file} cannot be read: {error}; mend it, or give --file.") from error


def _expanded(file: Path, text: str) -> str:
    try:
        return expand(text, os.environ)
    except ValueError as error:
        raise click.UsageError(f'{file}: "{text}" {error}; mend it, or give --file.') from error


def _named(table: Any) -> Iterator[str]:
    """The paths of files in ``allow`` and ``write``, in whatever is in place of a right configuration."""
    for zone in (zone for capsule in _tables(table, "capsule") for zone in _tables(capsule, "zone")):
        for key in ("allow", "write"):
            value = zone.get(key)
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, str) and item.startswith("file:"):
                    yield item.removeprefix("file:")


def _tables(table: Any, key: str) -> list[dict[str, Any]]:
    found = table.get(key)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
