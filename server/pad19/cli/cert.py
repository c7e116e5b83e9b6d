"""``pad19 cert``: look at certificates, make them, renew them.

The tls room is imported by the commands that need it: loading OpenSSL would slow down every other one.
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pad19.cli import CONTEXT
from pad19.cli.options import PATH, Mistake
from pad19.cli.printable import printable
from pad19.protocol.uri import display_host
from pad19.service.config.environment import expand
from pad19.service.user_data import NoHomeFolder, user_data

if TYPE_CHECKING:
    from pad19.protocol.client import Identity
    from pad19.tls.certificate import Credentials

MAX_CERTIFICATE = 1024 * 1024  # bytes

_certs = click.option(
    "--certs",
    type=PATH,
    metavar="DIR",
    help="The folder of the certificates; otherwise the one that pad19.toml here names, or your own.",
)
_years = click.option(
    "--years", type=click.IntRange(1), default=100, show_default=True, help="How long it is valid."
)


@click.group(context_settings=CONTEXT)
def cert() -> None:
    """Show, make and renew certificates."""


@cert.command()
@click.argument("hosts", nargs=-1, metavar="[HOST|FILE]...")
@_certs
def show(hosts: tuple[str, ...], certs: Path | None) -> None:
    """Show the certificates of the hosts, those in files, or all there are.

    A FILE may have anybody's certificate (PEM), also one of a visitor.
    """
    from pad19.tls.certificate import command, load
    from pad19.tls.certificate_folder import files, hosts_in, visitors_in

    if hosts and all(map(_is_file, hosts)):  # no folder is needed
        _for_each(hosts, _describe_file)
        return
    folder = _folder(certs)
    with _one_sentence():
        found = hosts or [*hosts_in(folder), *map(str, visitors_in(folder))]
    if not found:
        click.echo(f"There are no certificates in {folder}; `{command('new', 'HOST', certs)}` makes one.")

    def describe(name: str) -> str:
        if _is_file(name):
            return _describe_file(name)
        return _describe(name, load(*files(name, folder), host=name, usual=certs is None))

    _for_each(found, describe)


@cert.command()
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@_certs
@_years
@click.option("--client", metavar="NAME", help="Make a certificate for a visitor, not for a host.")
@click.option("--out", metavar="PREFIX", help="Where that one goes: PREFIX.crt and PREFIX.key.")
def new(hosts: tuple[str, ...], certs: Path | None, years: int, client: str | None, out: str | None) -> None:
    """Make a certificate for each HOST that has none, such as example.org, '*.example.org' or ::1."""
    from pad19.tls.making import MAX_COMMON_NAME, make, make_client

    if client is None:
        if not hosts:
            raise click.UsageError("Name the hosts, or a visitor with --client.")
        if out is not None:
            raise click.UsageError("--out goes with --client; for hosts, --certs names the folder.")
        folder, usual = _folder(certs), certs is None
        _for_each(hosts, lambda host: _describe(host, make(host, folder, years=years, usual=usual)))
        return
    if hosts or certs:
        raise click.UsageError("--client goes with neither hosts nor --certs.")
    if not client.isprintable() or not 0 < len(client.encode()) <= MAX_COMMON_NAME:
        raise click.BadParameter(
            f"a name has 1 to {MAX_COMMON_NAME} bytes, all printable.", param_hint="--client"
        )
    prefix = out or re.sub(r"[^\w.-]+", "-", client).lstrip(".-") or "client"
    certificate_path, key_path = Path(f"{prefix}.crt"), Path(f"{prefix}.key")
    _for_each(
        [client], lambda name: _describe(name, make_client(name, certificate_path, key_path, years=years))
    )


@cert.command()
@click.argument("names", nargs=-1, required=True, metavar="HOST|FILE...")
@_certs
@_years
@click.option("--force", is_flag=True, help="Put a self-signed one in the place of one from an authority.")
def renew(names: tuple[str, ...], certs: Path | None, years: int, force: bool) -> None:
    """Give certificates new dates. The key stays.

    Clients that remember the key notice nothing. Those that remember the certificate will ask their
    users whether to trust the new one. A FILE may have anybody's certificate, also one of a visitor; the key
    is beside it, in a file that ends in .key.
    """
    from pad19.tls.making import renew as renew_one
    from pad19.tls.making import renew_pair

    folder = _folder(certs) if not all(map(_is_file, names)) else Path()
    notes: dict[str, None] = {}

    def describe(name: str) -> str:
        if _is_file(name):
            path = Path(name)
            renewed = renew_pair(path, path.with_suffix(".key"), years=years, force=force)
        else:
            renewed = renew_one(name, folder, years=years, force=force, usual=certs is None)
        notes[_VISITORS_RENEWED if renewed.is_visitors else _HOSTS_RENEWED] = None
        return _describe(name, renewed)

    try:
        _for_each(names, describe)
    finally:
        for note in notes:
            click.echo(note)


_HOSTS_RENEWED = """\
The key is the same: clients that remember the key notice nothing, and those that remember
the certificate will ask their users whether to trust the new one.
A server that is running notices by itself; where server.watch is false, send it SIGHUP."""
_VISITORS_RENEWED = """\
The key is the same: a list of visitors that has the public key's fingerprint knows the new certificate,
and one that has the certificate's needs the new one."""


def _for_each(hosts: Iterable[str], describe: Callable[[str], str]) -> None:
    """Show what became of each host; one that failed does not stop the others, but the exit status is 1."""
    outcomes: list[bool] = []
    for host in hosts:
        try:
            with _one_sentence():
                click.echo(describe(host))
            outcomes.append(True)
        except click.ClickException as error:
            error.show()
            outcomes.append(False)
    if not all(outcomes):
        raise click.exceptions.Exit(1)


@contextmanager
def _one_sentence() -> Iterator[None]:
    from pad19.tls.certificate import CertificateError

    try:
        yield
    except CertificateError as error:
        raise click.ClickException(str(error)) from error


def _is_file(name: str) -> bool:
    """Whether a file is meant, not a host: no top-level domain is called like that."""
    return "/" in name or name.endswith((".crt", ".pem"))


def _describe_file(name: str) -> str:
    from pad19.tls.identity import identify_pem

    try:
        with open(name, "rb") as file:
            found = identify_pem(file.read(MAX_CERTIFICATE))
    except OSError as error:
        raise click.ClickException(
            f"{printable(name)} cannot be read ({error.strerror}); mend that, or name another file"
        ) from error
    except ValueError as error:
        raise click.ClickException(f"{printable(name)} has {error}") from error
    lines = _described(found)
    lines["subject"] = ", ".join(f"{kind}={value}" for kind, value in found.subject)
    if problem := found.problem(datetime.now(UTC)):
        lines["warning"] = f"{problem}, so it is answered with 62"
    return _laid_out(printable(name), lines)


def _described(identity: "Identity") -> dict[str, str]:
    """What all certificates have."""
    days = (identity.not_after - datetime.now(UTC)).days
    left = f"{days} days left" if days >= 0 else "expired"
    return {
        "certificate": identity.fingerprint,
        "public key": identity.key_fingerprint,
        "valid": f"{identity.not_before:%Y-%m-%d} to {identity.not_after:%Y-%m-%d} ({left})",
    }


def _describe(host: str, credentials: "Credentials") -> str:
    shown = display_host(host)
    lines = _described(credentials.identity) | {
        "key": credentials.key_type + (", self-signed" if credentials.self_signed else ""),
        "names": ", ".join(credentials.hosts),  # none in a visitor's
        "files": f"{credentials.certificate_path}, {credentials.key_path}",
    }
    return _laid_out(host if shown == host else f"{host} ({shown})", lines, credentials.warnings)


def _laid_out(title: str, lines: Mapping[str, str], warnings: Sequence[str] = ()) -> str:
    shown = [*lines.items(), *(("warning", warning) for warning in warnings)]
    return title + "".join(f"\n  {label:<11}  {printable(value)}" for label, value in shown if value) + "\n"


def _folder(certs: Path | None) -> Path:
    """The one that was given, or the default one."""
    folder = certs or _default_folder()
    if os.path.isfile(folder):  # noqa: PTH113 - Path.is_file() raises where it may not look
        raise Mistake(f"{folder} is a file where a folder belongs; name one with --certs.")
    return folder


def _default_folder() -> Path:
    """The folder that pad19.toml here names as ``server.certs``; without such a file, this user's own.

    Not by way of the whole configuration: certificates can be wanted before the rest of it is right.
    """
    file = Path("pad19.toml")
    try:
        server = tomllib.loads(file.read_text("utf-8-sig")).get("server", {})
    except FileNotFoundError:
        return _own_folder()
    except (OSError, ValueError) as error:
        raise Mistake(f"{file} cannot be read: {error}; mend it, or give --certs.") from error
    certs = server.get("certs", "certs") if isinstance(server, dict) else None
    if not isinstance(certs, str) or not certs:
        raise Mistake(f"{file}: server.certs names no folder; mend it, or give --certs.")
    try:
        return file.parent / expand(certs, os.environ)
    except ValueError as error:
        raise Mistake(f"{file}: server.certs {error}; mend it, or give --certs.") from error


def _own_folder() -> Path:
    try:
        return user_data() / "certs"
    except NoHomeFolder as error:
        raise Mistake("You have no home folder; give --certs.") from error
