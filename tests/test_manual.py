"""The manual says what is true: its links lead somewhere, and its examples and lists are the code's."""

import ast
import inspect
import itertools
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_args, get_origin

import click
import msgspec
import pytest

from pad19.cli import main
from pad19.content import mimetype as mimetypes
from pad19.content import sidecar
from pad19.content.mimetype import MimeTypes
from pad19.content.static import StaticFiles
from pad19.dispatch import connection, forwarded
from pad19.dispatch.record import Record
from pad19.protocol import gemtext
from pad19.protocol.client import Client
from pad19.protocol.gemtext import Heading, Link, Preformatted
from pad19.protocol.request import parse_request
from pad19.protocol.response import Reply, Success
from pad19.protocol.uri import parse, resolve
from pad19.service.config.capsule import Capsule, Proxy
from pad19.service.config.load import load
from pad19.service.config.load import resolve as configure
from pad19.service.config.model import Config, ConfigError, Sections
from pad19.service.config.read import Rule, is_struct
from pad19.service.logs.access_log import Format, formatter
from pad19.tls.certificate import command as command_of
from support.manual import CAPSULE, CONTENT, PAGES, ROOT, blocks, lines_of, sections, text_of

SERVE = "python3 -m venv .venv && .venv/bin/pip install --quiet -e . && .venv/bin/pad19 serve capsule"
TEST = "python3 -m venv .venv && .venv/bin/pip install --quiet -e '.[test]' && .venv/bin/pytest"


def all_blocks(name: str) -> list[Any]:
    return [
        pytest.param(text, id=f"{page}-{number}")
        for page in PAGES
        for number, text in enumerate(blocks(page, name), 1)
    ]


# Pages


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_tidy(page: str) -> None:
    text = text_of(page)
    assert not re.search(r"[\r\t\x00-\x09]|[ ]$", text, re.MULTILINE), "controls or spaces at the end"
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert "\n\n\n" not in re.sub("^```.*?^```", "block", text, flags=re.DOTALL | re.MULTILINE), (
        "two blank lines"
    )
    assert len(re.findall("^```", text, re.MULTILINE)) % 2 == 0, "a preformatted block is not closed"


@pytest.mark.parametrize("page", PAGES)
def test_no_line_is_of_another_type_than_it_looks(page: str) -> None:
    for line in lines_of(page):
        if isinstance(line, gemtext.Text):
            assert not re.match(r"\s|=|\*|#|`|-|\d+\. ", line.text), line.text
        elif isinstance(line, Preformatted):
            assert line.alt, line.text
        else:
            assert re.fullmatch(r"(=> \S+ \S.*|#{1,3} [^#\s].*|\* \S.*|> \S.*)", str(line)), str(line)
    # As written: what the parser forgives, such as "=>x" or "#x", is written again with its space.
    assert gemtext.write(lines_of(page)) == text_of(page)


@pytest.mark.parametrize("page", PAGES)
def test_headings_go_down_one_step_at_a_time(page: str) -> None:
    levels = [line.level for line in lines_of(page) if isinstance(line, Heading)]
    assert isinstance(lines_of(page)[0], Heading)
    assert levels[0] == 1
    assert levels.count(1) == 1
    for above, level in itertools.pairwise(levels):
        assert level <= above + 1


# Links


async def test_links_lead_to_pages() -> None:
    config = load(CAPSULE / "pad19.toml")
    [capsule] = config.capsules
    answer = StaticFiles(capsule.content, MimeTypes(lang=capsule.lang), index=capsule.index)
    for page in PAGES:
        base = parse(f"gemini://localhost/{page.removesuffix('index.gmi')}")
        for line in lines_of(page):
            if not isinstance(line, Link):
                continue
            target = resolve(base, parse(line.uri))
            if target.host != "localhost":
                assert target.scheme in {"gemini", "https"}, f"{page}: {line.uri}"
                continue
            if is_answered_by_code(target.path, capsule):
                continue  # tests/examples/ asks for these
            response = await answer(parse_request(str(target).encode(), Client()))
            # A Reply is one that a .meta file gives; a Redirect would be a slash that is missing.
            assert isinstance(response, Success | Reply), f"{page}: {line.uri} gives {response}"
            if isinstance(response, Success) and not isinstance(response.body, bytes):
                await response.body.aclose()


def is_answered_by_code(path: str, capsule: Capsule) -> bool:
    """Whether a route or a program of this capsule is what the path names first."""
    name = path.split("/")[1]
    routes = capsule.routes
    assert routes
    return f"/{name}/" in capsule.cgi or any(
        (routes / file).is_file() for file in (f"{name}.py", f"{name}/__init__.py")
    )


def test_every_page_can_be_reached() -> None:
    seen = {"index.gmi"}
    left = ["index.gmi"]
    while left:
        page = left.pop()
        for line in lines_of(page):
            if isinstance(line, Link) and ":" not in line.uri:
                target = (CONTENT / page).parent / line.uri
                target = (target / "index.gmi" if line.uri.endswith("/") else target).resolve()
                name = target.relative_to(CONTENT).as_posix()
                if name in PAGES and name not in seen:
                    seen.add(name)
                    left.append(name)
    assert sorted(seen) == PAGES


def test_the_gemlog_is_a_feed() -> None:
    posts = [name for name in PAGES if name.startswith("gemlog/") and name != "gemlog/index.gmi"]
    entries = {
        line.uri: line.label or ""
        for line in lines_of("gemlog/index.gmi")
        if isinstance(line, Link) and re.match(r"\d{4}-\d\d-\d\d \S", line.label or "")
    }
    assert sorted(f"gemlog/{uri}" for uri in entries) == posts
    assert list(entries) == sorted(entries, reverse=True), "the newest comes first"
    for uri, label in entries.items():
        date.fromisoformat(label[:10])
        assert uri.startswith(label[:10])
        title, *rest = lines_of(f"gemlog/{uri}")
        assert title == Heading(1, label[11:])
        assert gemtext.Text(label[:10]) in rest


@pytest.mark.parametrize("path", ["README.md", "CHANGELOG.md", "certs/README.md", "deploy/README.md"])
def test_links_of_the_front_pages(path: str) -> None:
    page = ROOT / path
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


# Configuration


def keys(kind: type[msgspec.Struct] = Sections, section: str = "") -> Iterator[tuple[str, Any]]:
    """``capsule.hosts`` and its default, for each key of the model."""
    for info in msgspec.structs.fields(kind):
        key = f"{section}.{info.encode_name}" if section else info.encode_name
        rule = Rule.of(info.type)
        item = Rule.of(get_args(rule.kind)[0] if get_origin(rule.kind) is tuple else rule.kind)
        if is_struct(item.kind) and not (item.reads or rule.reads):
            yield from keys(item.kind, key)
        else:
            yield key, info.default


def test_every_key_has_its_place() -> None:
    headings = [line for line in lines_of("configuration.gmi") if isinstance(line, Heading)]
    documented = [line.text for line in headings if line.level == 3 and re.fullmatch(r"[a-z_.]+", line.text)]
    assert documented == in_order()


def in_order() -> list[str]:
    """The keys as they stand in the manual: those of a section before those of the sections in it."""
    found = [key for key, _ in keys()]
    outer = list(dict.fromkeys(key.partition(".")[0] for key in found))
    return sorted(found, key=lambda key: (outer.index(key.partition(".")[0]), key.count(".")))


def examples() -> list[tuple[str, str]]:
    """Each ``Example:`` line with the key whose heading it is below."""
    found: list[tuple[str, str]] = []
    key = ""
    for line in lines_of("configuration.gmi"):
        if isinstance(line, Heading):
            key = line.text
        elif isinstance(line, gemtext.Text) and line.text.startswith("Example: "):
            found.append((key, line.text.removeprefix("Example: ")))
    return found


def configuration(text: str, folder: Path) -> Config:
    """Load the text as a file in a folder that has the folders of content and the files which it names."""
    text = text.replace("/etc/letsencrypt/live/example.org/", "")  # which is not on this machine
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        table = {}
    capsules = table.get("capsule", [{}])
    for capsule in capsules if isinstance(capsules, list) else [capsules]:  # one bracket is a mistake
        content = Path(capsule.get("content", "content"))
        if not content.is_absolute() and content.name != "pages":  # "pages" is missing on purpose
            (folder / content).mkdir(exist_ok=True)
        folders = [capsule["routes"]] if "routes" in capsule else []
        programs = capsule.get("cgi", {})
        for name in (*folders, *(programs.values() if isinstance(programs, dict) else ())):
            if not name.startswith("missing"):
                (folder / name).mkdir(exist_ok=True)
        for key in ("certificate", "key"):
            if name := capsule.get(key):
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).touch()
    for name in re.findall(r'"(?:file|ca):([^"]+)"', text):
        if not name.startswith("missing"):
            (folder / name).touch()
    path = folder / "pad19.toml"
    path.write_text(text, "utf-8")
    return load(path)


HEADINGS = {
    "": "",
    "capsule": "[[capsule]]",
    "capsule.proxy": "[[capsule]]\n[[capsule.proxy]]",
    "capsule.redirect": "[[capsule]]\n[[capsule.redirect]]",
    "capsule.rewrite": "[[capsule]]\n[[capsule.rewrite]]",
    "capsule.gone": "[[capsule]]\n[[capsule.gone]]",
    "capsule.zone": f"[[capsule]]\npeople = {{ ada = '{'0' * 64}' }}\n[[capsule.zone]]",
    "capsule.titan": "[[capsule]]\n[capsule.titan]",
    "forwarder": "[[forwarder]]",
}
_PROXY = 'path = "/a/"\nto = "gemini://127.0.0.1/"'
PARTNERS = {  # what else must be there
    "capsule.certificate": 'key = "privkey.pem"',
    "capsule.key": 'certificate = "fullchain.pem"',
    "capsule.proxy.path": 'to = "gemini://127.0.0.1/"',
    "capsule.proxy.to": 'path = "/a/"',
    **dict.fromkeys(
        [
            f"capsule.proxy.{field.encode_name}"
            for field in msgspec.structs.fields(Proxy)
            if not field.required
        ],
        _PROXY,
    ),
    "capsule.proxy.certificate": f'key = "front.key"\n{_PROXY}',
    "capsule.proxy.key": f'certificate = "front.crt"\n{_PROXY}',
    "capsule.redirect.from": 'to = "/"',
    "capsule.redirect.to": 'from = "/{page}"',
    "capsule.redirect.permanent": 'from = "/a"\nto = "/b"',
    "capsule.redirect.status": 'from = "/a"\nto = "/b"',
    "capsule.rewrite.from": 'to = "/"',
    "capsule.rewrite.to": 'from = "/{user}/{page}"',
    "capsule.gone.text": 'from = "/a"',
    "capsule.gone.status": 'from = "/a"',
    "capsule.zone.path": "allow = []",
    "capsule.zone.allow": 'path = "/members/"',
    "capsule.zone.write": 'path = "/members/"\nallow = []',
    **dict.fromkeys(
        [f"capsule.zone.{name}" for name in ("deny", "token", "max_size", "types", "quota")],
        'path = "/members/"\nallow = []',
    ),
    "forwarder.listen": 'from = ["127.0.0.1"]',
    "forwarder.from": 'listen = "127.0.0.1:1966"',
}


@pytest.mark.parametrize(("key", "line"), examples())
def test_every_key_has_an_example_that_works(key: str, line: str, tmp_path: Path) -> None:
    section, _, name = key.rpartition(".")
    assert line.startswith(f"{name} = ")
    partner = PARTNERS.get(key, "")
    line = line.replace('"/srv/gemini/example.org"', '"example.org"')  # which is not on this machine
    configuration(f"{HEADINGS.get(section, f'[{section}]')}\n{line}\n{partner}\n", tmp_path)


def test_examples_are_complete() -> None:
    assert [key for key, _ in examples()] == in_order()


@pytest.mark.parametrize("text", all_blocks("pad19.toml"))
def test_example_files_work(text: str, tmp_path: Path) -> None:
    configuration(text, tmp_path)


def test_the_complete_file_has_the_defaults(tmp_path: Path) -> None:
    [text] = blocks("configuration.gmi", "pad19.toml")
    said = configuration(text, tmp_path)
    default = configuration("", tmp_path)
    assert said.server.addresses == default.server.addresses
    assert said.limits == msgspec.structs.replace(default.limits, per_address=64)
    assert (said.log, said.capsules, said.cgi) == (default.log, default.capsules, default.cgi)
    written = {f"{section}.{key}" for section, part in tomllib.loads(text).items() for key in _names(part)}
    missing = re.findall(r"[a-z_.]+", text.rpartition("done: ")[2])
    assert {key for key, _ in keys()} == written | {
        key for key, _ in keys() for start in missing if _is_in(key, start)
    }


def _names(part: Any) -> list[str]:
    return [*(part[0] if isinstance(part, list) else part)]


def _is_in(key: str, start: str) -> bool:
    """Whether ``start``, maybe without its ``capsule.``, is the key or a section around it."""
    return any(f"{key}.".startswith(f"{whole}.") for whole in (start, f"capsule.{start}"))


def mistakes() -> list[tuple[str, str]]:
    wrong = blocks("configuration.gmi", "pad19.toml with mistakes")
    told = blocks("configuration.gmi", "what pad19 serve says")
    return list(zip(wrong, told, strict=True))


@pytest.mark.parametrize(("text", "messages"), mistakes())
def test_mistakes_are_reported_as_shown(
    text: str, messages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "capsule").mkdir()
    with pytest.raises(ConfigError):
        configuration(text, tmp_path / "capsule")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        configure(Path("capsule"))
    said = "\n".join(f"pad19: {problem}" for problem in caught.value.problems)
    assert said.replace(str(tmp_path), "/home/ada") == messages


def test_a_mistake_is_shown_for_every_key() -> None:
    shown = "\n".join(blocks("configuration.gmi", "what pad19 serve says"))
    said = {re.sub(r"\[\d+\]", "", key) for key in re.findall(r"pad19\.toml: (\S+)", shown)}
    assert [key for key, _ in keys() if not any(_is_in(place, key) for place in said)] == []


# Commands


def commands(command: click.Command = main, path: str = "pad19") -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from commands(inner, f"{path} {name}")


@pytest.mark.parametrize(("path", "command"), [pytest.param(*pair, id=pair[0]) for pair in commands()])
def test_every_command_and_flag_is_explained(path: str, command: click.Command) -> None:
    [section] = [
        text for heading, text in sections("commands.gmi").items() if f"{heading} ".startswith(f"{path} ")
    ]
    documented = {
        flag
        for line in section.splitlines()
        if line.startswith("* -")
        for flag in re.findall(r"(?<!\S)(--?[a-z-]+)", line.partition(":")[0])
    }
    known = {
        flag
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for flag in [*parameter.opts, *parameter.secondary_opts]
    }
    assert documented == known


@pytest.mark.parametrize("text", all_blocks("shell"))
def test_commands_that_can_be_pasted_are_commands(text: str) -> None:
    known = dict(commands())
    for found in re.findall(r"(?:^|&& |bin/)(pad19 .*)", text, re.MULTILINE):
        words = shlex.split(found, comments=True)
        words = words[: next((at for at, word in enumerate(words) if word in {">", "|", "&"}), None)]
        path = " ".join(words[:3]) if words[1] in {"cert", "identity"} else " ".join(words[:2])
        given = {word for word in words if word.startswith("-")}
        flags = {flag for option in known[path].params for flag in [*option.opts, *option.secondary_opts]}
        assert given <= flags, found


# Logs


RECORD = Record(
    address="192.0.2.77",
    started=datetime(2026, 11, 23, 5, 8, 21, 375_000, tzinfo=UTC).timestamp(),
    duration=0.0123,
    request="gemini://example.org/",
    status=20,
    bytes_sent=1516,
    tls_version="TLSv1.3",
)
TIMEOUT = Record(address="192.0.2.77", started=RECORD.started, duration=10.0, reason="handshake timeout")


@pytest.mark.parametrize(
    ("style", "records"), [("common", [RECORD, TIMEOUT]), ("combined", [RECORD]), ("json", [RECORD])]
)
def test_log_lines_are_what_is_written(style: Format, records: list[Record]) -> None:
    write: Callable[[Record], str] = formatter(style, "truncated")
    assert blocks("logs.gmi", style) == [write(record) for record in records]


def reasons() -> Iterator[str]:
    """The constant parts of all that the code makes a record's reason."""
    source = inspect.getsource(connection) + inspect.getsource(forwarded)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign):
            names = [target.attr for target in node.targets if isinstance(target, ast.Attribute)]
        elif isinstance(node, ast.keyword):
            names = [node.arg or ""]
        else:
            continue
        for part in ast.walk(node.value) if "reason" in names else ():
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.value.strip(" :")


def test_every_reason_is_explained() -> None:
    found = {reason for reason in reasons() if reason}
    # The search finds something.
    assert {"no room", "handshake failed", "client left", "not a forwarder"} <= found
    text = sections("logs.gmi")["Reasons"]
    assert [reason for reason in found if reason not in text] == []


def test_the_command_that_a_warning_names_is_as_shown() -> None:
    [text] = re.findall("renew it with `(.+)`", text_of("logs.gmi"))
    assert text == command_of("renew", "HOST", Path("DIR"))


# Files


def test_the_table_of_types_is_the_one_in_use() -> None:
    [table] = blocks("files/types.gmi", "types and their endings")
    said = {ending: line.split()[0] for line in table.splitlines() for ending in line.split()[1:]}
    assert said == mimetypes._EXTENSIONS
    types = MimeTypes()
    assert {ending: types.of(f"x.{ending}") for ending in said} == said
    [names] = blocks("files/types.gmi", "names that are text/plain")
    assert dict.fromkeys(names.split(), "text/plain") == mimetypes._NAMES


@pytest.mark.parametrize("text", all_blocks(".meta"))
def test_examples_of_sidecar_files_have_no_mistakes(text: str) -> None:
    assert sidecar.parse(text)[1] == []


def test_the_sidecar_file_that_is_shown_is_the_one_that_works() -> None:
    assert blocks("files/meta.gmi", ".meta")[-1] == (CONTENT / "files/.meta").read_text("utf-8").strip()


def test_a_mistake_in_a_sidecar_file_is_reported_as_shown() -> None:
    [message] = blocks("files/meta.gmi", "a message on standard error")
    _, [problem] = sidecar.parse("# one line\nx: 99 no")
    assert message.endswith(f": {problem}")


# The front page


def test_the_readme_begins_with_two_commands() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    fenced = re.findall(r"```sh\n(.*?)\n```", readme, re.DOTALL)
    assert fenced[:2] == [SERVE, TEST]
    assert [line for line in readme.splitlines() if "python3 -m venv" in line] == [SERVE, TEST]
    first_screen = readme.splitlines()[:20]
    assert SERVE in first_screen
    assert TEST in first_screen


def test_the_start_page_has_the_same_command() -> None:
    assert SERVE in blocks("start.gmi", "shell")


def test_the_changelog_has_a_place_for_the_next_line() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^#+ .+$", changelog, re.MULTILINE)
    assert headings[:2] == ["# Changelog", "## Unreleased"]
    kinds = {"Security", "Removed", "Deprecated", "Added", "Changed", "Fixed"}
    assert {line.removeprefix("### ") for line in headings if line.startswith("### ")} <= kinds
