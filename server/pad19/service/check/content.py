"""The content of all capsules, looked at as clients would: which links break, what nobody can get.

Whether something can be had is asked of the handlers that serve it, each path once; so redirects,
``.meta`` files, indexes and hidden names mean the same here and there. Nothing is changed.
"""

import codecs
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from pad19.content.proofread import proofread
from pad19.dispatch.router import Handler
from pad19.protocol.client import Client
from pad19.protocol.failure import Failure, Gone
from pad19.protocol.pattern import Template
from pad19.protocol.request import DEFAULT_PORT, parse_request
from pad19.protocol.response import Response, Success
from pad19.protocol.uri import URI, parse, resolve, wildcard_of
from pad19.service.config.capsule import Capsule, Redirect, Rewrite
from pad19.service.config.model import Config

from .files import Entry, Finding, raw_path, walk
from .programs import check_programs

MAX_PAGE = 4 * 1024 * 1024  # bytes of a page that are read
MAX_REDIRECTS = 5  # that clients follow (network specification, section "Redirection")
_REDIRECTS = range(30, 40)


@dataclass(slots=True)
class Report:
    """What was looked at, and what was found."""

    files: int = 0
    links: int = 0
    findings: list[Finding] = field(default_factory=list)


async def check_content(config: Config, handlers: Sequence[Handler]) -> Report:
    """Look at everything. Findings are sorted by file and line. ``handlers``: see `rehearse`."""
    report = Report()
    capsules = [_Capsule(*pair) for pair in zip(config.capsules, handlers, strict=True)]
    by_host = {host: capsule for capsule in capsules for host in capsule.settings.hosts}
    ports = {listen.port for listen in config.server.addresses} | {DEFAULT_PORT}
    links = _Links(by_host, ports)
    # All pages first: what was asked for as a page need not be asked for as the end of a link.
    pages: list[_Page] = []
    folders: set[Path] = set()
    for programs in dict.fromkeys(folder for each in config.capsules for folder in each.cgi.values()):
        report.findings += await trio.to_thread.run_sync(lambda folder: [*check_programs(folder)], programs)
    for capsule in capsules:
        if capsule.settings.content not in folders:  # of several capsules, the first that has it speaks
            folders.add(capsule.settings.content)
            pages += [page async for page in _pages(capsule, links, report)]
        if config.source:
            report.findings += await _check_targets(capsule, links, config.source)
            if not capsule.settings.index and not capsule.settings.listing:
                said = f"{capsule.host} has neither an index nor listings, so every URL of a folder gets 51"
                report.findings.append(Finding(str(config.source), 0, said, is_note=True))
    for page in pages:
        for line, reference in page.links:
            report.links += 1
            if problem := await links.problem(page.capsule, page.uri, reference):
                report.findings.append(Finding(page.path, line, problem))
    report.findings.sort()
    return report


@dataclass(frozen=True, slots=True)
class _Capsule:
    settings: Capsule
    handler: Handler

    @property
    def host(self) -> str:
        """One of its hosts, as a client would ask for it."""
        return self.settings.hosts[0].replace("*.", "www.", 1)


@dataclass(frozen=True, slots=True)
class _Page:
    """A page whose links are to be followed."""

    capsule: _Capsule
    path: str  # absolute
    uri: URI
    links: list[tuple[int, str]]


async def _pages(capsule: _Capsule, links: "_Links", report: Report) -> AsyncIterator[_Page]:
    """Look at all files of a capsule."""
    entries: list[Entry] = []

    def look() -> None:
        report.findings += walk(capsule.settings, capsule.host, entries)

    await trio.to_thread.run_sync(look)
    for entry in entries:
        report.files += 1
        uri = URI("gemini", None, capsule.host, None, raw_path(entry.relative), None, None)
        answer = await _ask(capsule.handler, uri)
        links.remember(capsule, uri, answer)
        if isinstance(answer, Failure) and not isinstance(answer, Gone):
            report.findings.append(Finding(entry.path, 0, f"nobody gets it: {int(answer.status)} {answer}"))
        if isinstance(answer, Failure) or not isinstance(answer, Success):
            continue  # a .meta file or a redirect speaks for it
        body = await _body(answer) if answer.mimetype.startswith("text/gemini") else None
        if not isinstance(answer.body, bytes):
            await answer.body.aclose()
        if body is None:
            continue
        text = _decode(body, answer.mimetype)
        if isinstance(text, int):
            report.findings.append(Finding(entry.path, text, "the text is not UTF-8"))
            continue
        proof = proofread(text)
        report.findings += [Finding(entry.path, line, said) for line, said in proof.problems]
        report.findings += [Finding(entry.path, line, said, is_note=True) for line, said in proof.notes]
        if proof.links:
            yield _Page(capsule, entry.path, uri, proof.links)


async def _check_targets(capsule: _Capsule, links: "_Links", source: Path) -> list[Finding]:
    """Redirects and rewrites that lead to one path, whatever is captured."""
    base = URI("gemini", None, capsule.host, None, "/", None, None)
    findings = []
    rules: tuple[Redirect | Rewrite, ...] = (*capsule.settings.redirects, *capsule.settings.rewrites)
    for rule in rules:
        template = Template.parse(rule.target)
        if not template.names and (problem := await links.problem(capsule, base, template.fill({}, {}))):
            findings.append(Finding(str(source), 0, f"for {_quoted(rule.pattern)}: {problem}"))
    return findings


class _Links:
    """Where links lead. Each place is asked for once."""

    def __init__(self, capsules: Mapping[str, _Capsule], ports: set[int]) -> None:
        self._capsules = capsules
        self._ports = ports
        self._known: dict[tuple[int, str], str | None] = {}

    def remember(self, capsule: _Capsule, uri: URI, answer: Response | Failure) -> None:
        """Take note of an answer that was had already."""
        if isinstance(answer, Failure) or answer.status not in _REDIRECTS:
            self._known[id(capsule), uri.path] = _verdict(answer, uri)

    async def problem(self, start: _Capsule, base: URI, reference: str) -> str | None:
        """What is wrong with a link of a page at ``base``; None for those that lead away from here."""
        target = resolve(base, parse(reference))
        passed: list[tuple[int, str]] = []
        problem: str | None = f"leads to more than {MAX_REDIRECTS} redirects in a row"
        for _ in range(MAX_REDIRECTS + 1):
            capsule = self._capsule(target, start)
            if capsule is None:
                problem = None
                break
            place = (id(capsule), target.path)
            if place in self._known:
                problem = self._known[place]
                break
            passed.append(place)
            answer = await _ask(capsule.handler, target)
            if isinstance(answer, Success) and not isinstance(answer.body, bytes):
                await answer.body.aclose()
            if isinstance(answer, Failure) or answer.status not in _REDIRECTS:
                problem = _verdict(answer, target)
                break
            target = resolve(target, parse(answer.meta))  # what .meta and the configuration hold is checked
        self._known |= dict.fromkeys(passed, problem)
        return problem and f"{_quoted(reference)} {problem}"

    def _capsule(self, target: URI, start: _Capsule) -> _Capsule | None:
        if target.scheme != "gemini" or (target.port or DEFAULT_PORT) not in self._ports:
            return None
        if target.host == start.host:  # the page's own, whoever else may have this name
            return start
        host = target.host or ""
        return self._capsules.get(host) or self._capsules.get(wildcard_of(host))


def _verdict(answer: Response | Failure, target: URI) -> str | None:
    if isinstance(answer, Gone) or not isinstance(answer, Failure):
        return None  # also what is gone is told on purpose
    return f"leads to {target.path or '/'}: {int(answer.status)} {answer}"


def _quoted(text: str) -> str:
    return f'"{text}"'


async def _ask(handler: Handler, uri: URI) -> Response | Failure:
    host, port = uri.host, uri.port or DEFAULT_PORT
    try:
        line = f"gemini://{host}:{port}{uri.path or '/'}"
        return await handler(parse_request(line.encode(), Client()))
    except Failure as failure:
        return failure


async def _body(answer: Success) -> bytes | None:
    if isinstance(answer.body, bytes):
        return answer.body
    body = bytearray()
    async for chunk in answer.body:
        body += chunk
        if len(body) > MAX_PAGE:
            return None
    return bytes(body)


def _decode(body: bytes, mimetype: str) -> str | int:
    """The text, or the line where it is none."""
    charset = next(
        (
            part.partition("=")[2].strip('"')
            for part in mimetype.split("; ")[1:]
            if part.startswith("charset=")
        ),
        "utf-8",
    )
    try:
        if codecs.lookup(charset).name != "utf-8":
            return body.decode(charset, "replace")
    except LookupError:
        return body.decode("latin-1")  # what is looked for is ASCII
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        return body.count(b"\n", 0, error.start) + 1
