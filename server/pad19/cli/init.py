"""``pad19 init``: a capsule to begin with. What is in it stands below `template`, ready to be read."""

import shlex
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from string import Template

import click

from pad19.cli import CONTEXT
from pad19.cli.options import PATH
from pad19.protocol.uri import display_host
from pad19.service.config.hosts import WILDCARD, read_host
from pad19.service.config.read import shown_path

TEMPLATE = Path(__file__).with_name("template")
FILES = {  # below the template: below the capsule. Not whatever is there, since installing adds bytecode.
    "pad19.toml": "pad19.toml",
    "gitignore": ".gitignore",
    "content/index.gmi": "content/index.gmi",
    "content/gemlog/index.gmi": "content/gemlog/index.gmi",
    "content/gemlog/first-post.gmi": "content/gemlog/$date-first-post.gmi",
    "routes/hello.py": "routes/hello.py",
    "tests/test_hello.py": "tests/test_hello.py",
}
MAX_NAMED = 3  # of what is in the way


def _host(text: str) -> str:
    try:
        host = read_host(text.strip())
    except ValueError as error:
        raise click.BadParameter(f"this is no host name: {error}.") from error
    if host.startswith(WILDCARD):
        raise click.BadParameter("name whole hosts; wildcards belong into pad19.toml.")
    return display_host(host)


def _one_line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


@click.command(context_settings=CONTEXT)
@click.argument("folder", metavar="DIR", type=PATH)
@click.option(
    "--host",
    "hosts",
    type=_host,
    multiple=True,
    metavar="NAME",
    help="A host name; otherwise localhost. May be repeated.",
)
@click.option("--title", type=_one_line, metavar="TEXT", help="The title; otherwise the name of the folder.")
def init(folder: Path, hosts: tuple[str, ...], title: str | None) -> None:
    """Make a capsule in DIR: pages, a route with its test, and a pad19.toml with comments.

    DIR is made if it is missing. If it is there, it must have nothing in it but hidden files, such as
    .git. On a terminal, what is not given is asked for.
    """
    name = shown_path(folder)
    try:
        _refuse_others(folder)
        asks = all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout))
        default = title or _one_line(folder.resolve().name) or "My capsule"
        if asks and not hosts:
            hosts = (click.prompt("Host name", "localhost", value_proc=_host),)
        if asks and not title:
            title = click.prompt("Title", default, value_proc=_one_line) or default
        # Under its own name it may be known to nobody yet, but this machine always knows localhost.
        names = ", ".join(f'"{host}"' for host in dict.fromkeys((*hosts, "localhost")))
        today = date.today().isoformat()
        _write(folder, {"title": title or default, "hosts": names, "date": today})
    except OSError as error:
        where = shown_path(Path(error.filename or folder))
        raise click.ClickException(
            f"{where} cannot be made ({error.strerror}): mend that, or name another folder"
        ) from error
    click.echo(f"There is a capsule in {name} now. Some things to try:\n")
    word = shlex.quote(f"./{name}" if name.startswith("-") else name)
    for command, meaning in (
        (f"pad19 serve {word}", "and look at gemini://localhost/"),
        ("pad19 get localhost", "or look at it from a second terminal"),
        (f"pad19 check {word}", "finds mistakes and broken links"),
        (f"pytest {word}", "tests its route (pip install pytest)"),
    ):
        click.echo(f"  {command:<{len(word) + 12}}  {meaning}")


def _refuse_others(folder: Path) -> None:
    """See that nothing is in the way.

    Raises:
        click.ClickException: Something is.
        OSError: The folder cannot be read, or is a file.
    """
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return
    ours = {target.partition("/")[0] for target in FILES.values()}
    others = sorted(name for name in names if name in ours or not name.startswith("."))
    if others:
        listed = ", ".join(shown_path(Path(name)) for name in others[:MAX_NAMED])
        more = f" and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
        raise click.ClickException(
            f"{shown_path(folder)} is not empty, there is {listed}{more}: name another folder"
        )


def _write(folder: Path, values: Mapping[str, str]) -> None:
    for source, target in FILES.items():
        path = folder / Template(target).substitute(values)
        text = Template((TEMPLATE / source).read_text("utf-8")).substitute(values)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:  # never over somebody's file
            file.write(text)
