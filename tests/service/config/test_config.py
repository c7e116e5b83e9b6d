import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args, get_origin

import pytest
from msgspec import Struct
from msgspec.structs import fields

from pad19.protocol.rate import Rate
from pad19.protocol.status import Status
from pad19.service.config.capsule import Capsule, Gone, Redirect, Rewrite
from pad19.service.config.listen import Listen
from pad19.service.config.load import MAX_FILE, load, resolve
from pad19.service.config.model import DEFAULT_LISTEN, Config, ConfigError, Limits, Log, Sections
from pad19.service.config.read import Rule, is_struct, shown
from support.users import unprivileged


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "content").mkdir()
    return tmp_path


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "pad19.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(folder: Path, text: str | bytes) -> list[str]:
    """What load() has to say about a file, without the file's name."""
    path = write(folder, text)
    with pytest.raises(ConfigError) as refusal:
        load(path)
    found = refusal.value.problems
    assert str(refusal.value) == "\n".join(found)
    assert all(problem.startswith(str(path)) and problem.isprintable() for problem in found)
    return [problem.removeprefix(str(path)).removeprefix(":").removeprefix(" ") for problem in found]


def test_an_empty_file_is_a_configuration(folder: Path) -> None:
    path = write(folder, "")
    config = load(path)
    assert config.source == path
    assert config.server.listen is None
    assert config.server.addresses == DEFAULT_LISTEN
    assert config.server.certs == folder / "certs"
    assert config.capsules == (Capsule(content=folder / "content"),)
    assert config.capsules[0].hosts == ("localhost",)
    assert config.limits == Limits()
    assert config.log == Log()
    assert sorted(path.name for path in folder.iterdir()) == ["content", "pad19.toml"]  # nothing was created


def test_every_key_is_read(folder: Path) -> None:
    (folder / "second").mkdir()
    for name in ("fullchain.pem", "privkey.pem"):
        (folder / name).touch()
    path = write(
        folder,
        """
[server]
listen = ["[::1]:1965", "127.0.0.1:0", "unix:run/pad19.sock"]
certs = "/var/lib/certs"
workers = 1
check_port = false
[limits]
connections = 10
per_address = 3
rate = "5/1m"
handshake_s = 1
request_s = 2.5
stall_s = 3
grace_s = 0
[log]
access = "log/access.log"
format = "json"
addresses = "off"
[[capsule]]
hosts = ["Example.ORG.", "*.example.org", "café.example", "192.0.2.1", "2001:DB8::1"]
content = "./content"
lang = "en,de-CH"
charset = "iso-8859-1"
texts = { 51 = "Nothing at {path}, for $5.", "61" = "No." }
index = []
listing = true
hidden = true
mimetypes = { ".foo" = "text/x-foo; charset=utf-8", ".tar.gz" = "application/gzip" }
certificate = "fullchain.pem"
key = "privkey.pem"
[[capsule.redirect]]
from = "/old/{rest:path}"
to = "/new/{rest}"
permanent = true
[[capsule.redirect]]
from = "/b"
to = "gemini://b.org/"
[[capsule.rewrite]]
from = "/~ada/{page}"
to = "/users/ada/{page}"
[[capsule.gone]]
from = "/attic"
[[capsule.gone]]
from = "/attic/{rest:path}"
text = "Sold, for ${PRICE}."
[[capsule]]
hosts = ["localhost"]
content = "second"
""",
    )
    config = load(path)
    assert config.server.listen == (
        Listen(host="::1", port=1965),
        Listen(host="127.0.0.1", port=0),
        Listen(path=folder / "run/pad19.sock"),
    )
    assert config.server.certs == Path("/var/lib/certs")
    assert (config.server.workers, config.server.check_port) == (1, False)
    assert config.limits == Limits(
        connections=10,
        per_address=3,
        rate=Rate(5, 60),
        handshake_s=1.0,
        request_s=2.5,
        stall_s=3.0,
        grace_s=0.0,
    )
    assert config.log == Log(access=str(folder / "log/access.log"), format="json", addresses="off")
    assert config.capsules[0] == Capsule(
        hosts=("example.org", "*.example.org", "xn--caf-dma.example", "192.0.2.1", "[2001:db8::1]"),
        content=folder / "content",
        lang="en,de-CH",
        charset="iso-8859-1",
        texts={
            Status.NOT_FOUND: "Nothing at {path}, for $5.",
            Status.CERTIFICATE_NOT_AUTHORISED: "No.",
        },
        index=(),
        listing=True,
        hidden=True,
        mimetypes={".foo": "text/x-foo; charset=utf-8", ".tar.gz": "application/gzip"},
        certificate=folder / "fullchain.pem",
        key=folder / "privkey.pem",
        redirects=(
            Redirect(pattern="/old/{rest:path}", target="/new/{rest}", permanent=True),
            Redirect(pattern="/b", target="gemini://b.org/"),
        ),
        rewrites=(Rewrite(pattern="/~ada/{page}", target="/users/ada/{page}"),),
        gone=(Gone(pattern="/attic"), Gone(pattern="/attic/{rest:path}", text="Sold, for ${PRICE}.")),
    )
    assert config.capsules[1].content == folder / "second"
    restored: Config = pickle.loads(pickle.dumps(config))  # noqa: S301 - on its way to a worker
    assert restored == config


def test_a_relative_path_to_the_file_gives_absolute_paths(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "")
    monkeypatch.chdir(folder)
    config = load(Path("pad19.toml"))
    assert config.source == folder / "pad19.toml"
    assert config.capsules[0].content == folder / "content"
    assert config.server.certs == folder / "certs"


SINGLE = [  # text, the one problem
    (
        "[limits]\nhandshake_s = -1",
        "limits.handshake_s is -1, but must be more than 0 seconds (and at most a day): "
        "write for example handshake_s = 10",
    ),
    ("[limits]\nhandshake_s = 0", "limits.handshake_s is 0, but must be more than 0"),
    ("[limits]\nstall_s = inf", "limits.stall_s is inf, but"),
    ("[limits]\nrequest_s = nan", "limits.request_s is nan, but"),
    ("[limits]\nrequest_s = '10'", 'limits.request_s is "10", but'),
    ("[limits]\nrequest_s = 1" + "0" * 400, f"limits.request_s is 1{'0' * 79}..., but"),
    ("[limits]\ngrace_s = -0.1", "limits.grace_s is -0.1, but must be 0 seconds or more"),
    ("[limits]\nconnections = true", "limits.connections is true, but must be a whole number"),
    ("[limits]\nconnections = 1.5", "limits.connections is 1.5, but"),
    ("[limits]\nconnections = 0x1" + "0" * 4500, "limits.connections is 0x1000"),
    ("[limits]\nper_address = 0", "limits.per_address is 0, but"),
    (
        "[limits]\nrate = 60",
        'limits.rate is 60, but must be a number, a slash and a time such as "10s", "5m" or "1h": '
        'write for example rate = "60/10s"',
    ),
    ("[limits]\nrate = ''", 'limits.rate is "", but must be a number, a slash and a time'),
    ("[limits]\nrate = '60/s'", 'limits.rate is "60/s", but must be a number, a slash and a time'),
    ("[limits]\nrate = '0/1s'", 'limits.rate is "0/1s", but must have a number from 1 to 1000000 before'),
    ("[limits]\nrate = '1/25h'", 'limits.rate is "1/25h", but must have a time from 1s to 24h behind'),
    ("[limits]\nrate = '${RATE}'", 'limits.rate is "${RATE}", but must be a number'),
    (
        "[server]\nworkers = -1",
        "server.workers is -1, but must be a whole number from 0 to 64 (0: one for each core)",
    ),
    ("[server]\nworkers = 1_000_000", "server.workers is 1000000, but"),
    ("[server]\nworkers = 65", "server.workers is 65, but must be a whole number from 0 to 64"),
    ("[server]\ncheck_port = 0", "server.check_port is 0, but must be true or false"),
    ("[server]\ncerts = ''", 'server.certs is "", but must be a path'),
    ('[server]\ncerts = "a\\u0000b"', 'server.certs is "a\\u0000b", but must be a path'),
    ("[server]\ncerts.a.b.c.d = 1", "server.certs is { a = { b = ... } }, but must be a path"),
    ("[server]\ncerts" + ".a" * 2000 + " = 1", "server.certs is { a = { a = ... } }"),
    ("[server]\nlisten = []", "server.listen is [], but must be a list of addresses"),
    ("[server]\nlisten = ':1965'", 'server.listen is ":1965", but must be a list of addresses'),
    ("[server]\nlisten = [1965]", "server.listen[1] is 1965, but must be an address and a port"),
    ("[server]\nlisten = [':1', 'a.org:1']", 'server.listen[2] is "a.org:1", but must have an IP'),
    ("[server]\nlisten = [':65536']", 'server.listen[1] is ":65536", but must have a port from 0 to 65535'),
    ("[server]\nlisten = [':1', '0.0.0.0:1']", "server.listen[2] is 0.0.0.0:1, which is listened on"),
    ("[server]\nlisten = ['unix:a', 'unix:a']", "server.listen[2] is unix:"),
    ("[log]\nformat = 'apache'", 'log.format is "apache", but must be "common", "combined" or "json"'),
    ("[log]\naddresses = true", 'log.addresses is true, but must be "full", "truncated" or "off"'),
    ("[log]\naccess = ''", 'log.access is "", but must be "-", a path or "off"'),
    ("[log]\naccess = 'content/log'", "log.access is "),
    ("[[capsule]]\nhosts = []", "capsule[1].hosts is [], but must be a list of hosts"),
    ("[[capsule]]\nhosts = 'a.org'", 'capsule[1].hosts is "a.org", but must be a list of hosts'),
    ("[[capsule]]\nhosts = ['a b']", 'capsule[1].hosts[1] is "a b", but must be a host name or'),
    ("[[capsule]]\nhosts = [1]", "capsule[1].hosts[1] is 1, but must be a host name or"),
    ("[[capsule]]\nhosts = ['a.org', 'A.ORG.']", "capsule[1].hosts[2] is a.org, which is a host of"),
    ("[[capsule]]\n[[capsule]]", "capsule[2].hosts[1] is localhost, which is a host of capsule[1] already"),
    ("[[capsule]]\ncontent = 'none'", "capsule[1].content is "),
    ("[[capsule]]\ncontent = 'pad19.toml'", "capsule[1].content is "),
    ("[[capsule]]\ncontent = 'pad19.toml/x'", "capsule[1].content is "),
    ('[[capsule]]\ncontent = "a\\u001b[31m"', "capsule[1].content is "),
    ("[[capsule]]\nlang = 'english!'", 'capsule[1].lang is "english!", but must be language tags'),
    ("[[capsule]]\nlang = 'en, fr'", "capsule[1].lang is"),
    ('[[capsule]]\nlang = "en\\n"', 'capsule[1].lang is "en\\n", but'),
    ("[[capsule]]\nlang = ''", 'capsule[1].lang is "", but'),
    ("[[capsule]]\ncharset = 'a;b'", 'capsule[1].charset is "a;b", but must be the name of a charset'),
    ('[[capsule]]\ncharset = "utf-8\\n"', "capsule[1].charset is"),
    ("[[capsule]]\nindex = ['a/b']", 'capsule[1].index[1] is "a/b", but must be the name of a file'),
    ("[[capsule]]\nindex = ['']", 'capsule[1].index[1] is "", but'),
    ("[[capsule]]\nindex = ['..']", 'capsule[1].index[1] is "..", but'),
    ("[[capsule]]\nmimetypes = 1", "capsule[1].mimetypes is 1, but must be a table"),
    ("[[capsule]]\nmimetypes = {foo = 'text/a'}", 'capsule[1].mimetypes.foo is "foo", but must be a file'),
    (
        "[[capsule]]\nmimetypes = {'.foo' = 'text'}",
        'capsule[1].mimetypes.".foo" is "text", but must be a MIME',
    ),
    ("[[capsule]]\nmimetypes = {'.foo' = \"text/a\\r\\n\"}", 'capsule[1].mimetypes.".foo" is'),
    ("[[capsule]]\ntexts = ['a']", 'capsule[1].texts is ["a"], but must be a table of statuses and texts'),
    (
        "[[capsule]]\ntexts = {44 = 'Wait'}",
        'capsule[1].texts.44 is "44", but must not be 44, whose text is the number of seconds to wait: '
        'write for example texts = { 51 = "There is nothing at {path}." }',
    ),
    ("[[capsule]]\ntexts = {gone = 'a'}", 'capsule[1].texts.gone is "gone", but must be a status of fail'),
    ("[[capsule]]\ntexts = {20 = 'a'}", 'capsule[1].texts.20 is "20", but must be a status of failures: 40'),
    ("[[capsule]]\ntexts = {' 51' = 'a'}", 'capsule[1].texts." 51" is " 51", but must be a status'),
    ('[[capsule]]\ntexts = {"51\\n" = "a"}', 'capsule[1].texts."51\\n" is "51\\n", but must be a status'),
    ("[[capsule]]\ntexts = {51 = ''}", 'capsule[1].texts.51 is "", but must be a line of text that is not'),
    ('[[capsule]]\ntexts = {51 = "a\\r\\n20 b"}', 'capsule[1].texts.51 is "a\\r\\n20 b", but must be a line'),
    ("[[capsule]]\ntexts = {51 = 51}", "capsule[1].texts.51 is 51, but must be a line of text"),
    ("[[capsule]]\ntexts = {51 = '{url}'}", 'capsule[1].texts.51 is "{url}", but must have {path}, {fi'),
    ("[[capsule]]\ntexts = {51 = '${NAME}'}", 'capsule[1].texts.51 is "${NAME}", but must have {path}, {fi'),
    ("[[capsule]]\ncertificate = 'a'", "capsule[1].key is missing beside certificate"),
    ("[[capsule]]\nkey = 'a'", "capsule[1].certificate is missing beside key"),
    ("[[capsule]]\ncertificate = 1\nkey = 'a'", "capsule[1].certificate is 1, but"),
    ("[[capsule]]\nkey = 'content'\ncertificate='pad19.toml'", "capsule[1].key is "),
    ("[[capsule]]\nkey = 'pad19.toml'\ncertificate='a'", "capsule[1].certificate is "),
    ("[[capsule]]\ncontent = '~/pages'", 'capsule[1].content is "~/pages", but must not begin with ~, which'),
    ("[server]\ncerts = '~'", 'server.certs is "~", but must not begin with ~'),
    ("include = '~/*.toml'", 'include[1] is "~/*.toml", but must not begin with ~'),
    ("[[capsule]]\nhosts = ['-a.org']", 'capsule[1].hosts[1] is "-a.org", but must be a host name'),
    (
        "[[capsule]]\n[[capsule.redirect]]\nto = '/b'",
        'capsule[1].redirect[1].from is missing: write for example from = "/old/{rest:path}"',
    ),
    (
        "[[capsule]]\n[[capsule.redirect]]\nfrom = '/b'",
        'capsule[1].redirect[1].to is missing: write for example to = "/new/{rest}"',
    ),
    (
        "[[capsule]]\n[[capsule.redirect]]\nfrom = 'a'\nto = '/b'",
        'capsule[1].redirect[1].from is "a", but must begin with a slash: write for example from = "/old/',
    ),
    (
        "[[capsule]]\n[[capsule.redirect]]\nfrom = '/{a}/{a}'\nto = '/b'",
        'capsule[1].redirect[1].from is "/{a}/{a}", but must have {a} only once',
    ),
    (
        "[[capsule]]\n[[capsule.redirect]]\nfrom = '/a'\nto = '//b.org/'",
        'capsule[1].redirect[1].to is "//b.org/", but must be a path that begins with a slash, or',
    ),
    (
        "[[capsule]]\n[[capsule.redirect]]\nfrom = '/{a}'\nto = '/{b}/{a}'",
        "capsule[1].redirect[1].to has {b}, which is no capture of capsule[1].redirect[1].from",
    ),
    (
        "[[capsule]]\n[[capsule.rewrite]]\nfrom = '/a'\nto = '/{b}'",
        "capsule[1].rewrite[1].to has {b}, which is no capture of capsule[1].rewrite[1].from",
    ),
    (
        "[[capsule]]\n[[capsule.rewrite]]\nfrom = '/a'\nto = 'gemini://b.org/'",
        'capsule[1].rewrite[1].to is "gemini://b.org/", but must be a path, since a rewrite stays',
    ),
    (
        "[[capsule]]\n[[capsule.redirect]]\nfrom = '/a'\nto = '/b'\ncode = 52",
        "capsule[1].redirect[1].code is no key: remove it, or use one of from, to, permanent, status",
    ),
    (
        "[[capsule]]\n[[capsule.redirect]]\nfrom = '/a'\nto = '/b'\nstatus = 52",
        "capsule[1].redirect[1].status is 52, but must be 30 or 31: write for example status = 31",
    ),
    (
        "[[capsule]]\n[[capsule.redirect]]\nfrom = '/a'\nto = '/b'\nstatus = 30\npermanent = true",
        "capsule[1].redirect[1].status is 30, but permanent is true: remove one of them",
    ),
    (
        "[[capsule]]\n[[capsule.gone]]\nfrom = '/a'\nstatus = '52'",
        'capsule[1].gone[1].status is "52", but must be 40, 41, 50, 51 or 52: write for example status = 41',
    ),
    (
        "[[capsule]]\n[[capsule.redirect]]\nfrom = '/{a}'\nto = '/'\n[[capsule.gone]]\nfrom = '/{b}'",
        'capsule[1].gone[1].from matches the same paths as "/{a}" already: remove one of them',
    ),
    (
        "[[capsule]]\n[[capsule.gone]]\nfrom = '/a'\ntext = \"a\\r\\n\"",
        'capsule[1].gone[1].text is "a\\r\\n", but must be a line',
    ),
    (
        "[[capsule]]\nredirect = [1]",
        "capsule[1].redirect[1] is 1, but must be a table: write [[capsule.redirect]]",
    ),
    (
        "[[capsule]]\n[capsule.redirect]\nfrom = '/a'\nto = '/b'",
        "capsule[1].redirect is written with one bracket: write [[capsule.redirect]], with two brackets",
    ),
    ("include = 1", "include is 1, but must be a path with wildcards, or a list of them"),
    ("include = ''", 'include[1] is "", but must be a path'),
    ("include = ['*.x', '${NONE}']", 'include[2] is "${NONE}", but must name variables that are set'),
    (
        "[server]\ncerts = '${NONE}/certs'",
        'server.certs is "${NONE}/certs", but must name variables that are set, and NONE is not: write for',
    ),
    ("[server]\nlisten = ['${NONE}:1']", 'server.listen[1] is "${NONE}:1", but must name variables'),
    ("[log]\naccess = '${'", 'log.access is "${", but must have variables in the form ${NAME}'),
    ("[[capsule]]\nhosts = ['${NONE}']", 'capsule[1].hosts[1] is "${NONE}", but must name variables'),
    ("[[capsule]]\nlang = '${LANG}'", 'capsule[1].lang is "${LANG}", but must be language tags'),
    ("[server]\ncerts = 'content/certs'", "server.certs is "),
    ("[server]\ncerts = 'content'", "server.certs is "),
    ("[server]\ncerts = 'x/../content/certs'", "server.certs is "),
    ("[limit]", "limit is no key: did you mean limits?"),
    ("[limits]\nhandshake = 1", "limits.handshake is no key: did you mean handshake_s?"),
    ("[limits]\nqqq = 1", "limits.qqq is no key: remove it, or use one of connections, per_address"),
    ('"a\\nb" = 1', '"a\\nb" is no key: remove it'),
    ("source = 'x'", "source is no key"),
    ("capsules = []", "capsules is no key: did you mean capsule?"),
    ("server = 1", "server is 1, but must be a table: write [server]"),
    ("capsule = []", "capsule is [], but must be a [[capsule]] section or several"),
    ("capsule = [1]", "capsule[1] is 1, but must be a table: write [[capsule]]"),
    ("[capsule]\nhosts = ['a']", "capsule is written with one bracket: write [[capsule]], with two"),
    ("[forwarder]\nlisten = ':1'", "forwarder is written with one bracket: write [[forwarder]]"),
    (
        "[metrics]\nlisten = 'localhost:1965'",
        "metrics.listen is localhost:1965, where the capsule is: choose another port",
    ),
    (
        "[[forwarder]]\nlisten = '127.0.0.1:9'\nfrom = ['127.0.0.1']\n[metrics]\nlisten = 'localhost:9'",
        "metrics.listen is localhost:9, where the capsule is: choose another port",
    ),
    ("[metrics]", 'metrics.listen is missing: write for example listen = "localhost:9965"'),
    ("metrics = true", "metrics is true, but must be a table: write [metrics]"),
    ("[metrics]\nlisten = 9965", "metrics.listen is 9965, but must be a loopback address and a port, or"),
    (
        "[metrics]\nlisten = ':9965'",
        'metrics.listen is ":9965", but must be an address of this machine alone',
    ),
    ("[metrics]\nlisten = '[::]:9965'", 'metrics.listen is "[::]:9965", but must be an address of this'),
    ("[metrics]\nlisten = '192.0.2.1:1'", 'metrics.listen is "192.0.2.1:1", but must be an address of this'),
    ("[metrics]\nlisten = 'unix:'", 'metrics.listen is "unix:", but must name a path'),
    ("[metrics]\nport = 1\nlisten = 'localhost:1'", "metrics.port is no key: did you mean listen?"),
    ("[server]\nports = [1]", "server.ports is no key: did you mean listen?"),
    ("[server]\naddress = ':1'", "server.address is no key: did you mean listen?"),
    ("[log]\naddress = 'off'", "log.address is no key: did you mean addresses?"),
    ("[[capsule]]\nroot = 'a'", "capsule[1].root is no key: did you mean content?"),
    ("[[capsule]]\ncert = 'a'", "capsule[1].cert is no key: did you mean certificate?"),
    ("[[capsule]]\ndomain = 'a'", "capsule[1].domain is no key: did you mean hosts?"),
    ("[[capsule]]\nhost = 'a'", "capsule[1].host is no key: did you mean hosts?"),
    (
        "[[capsule]]\nlisten = [':1']",
        "capsule[1].listen is no key here: it belongs into [server] or into [[forwarder]] or into [metrics]",
    ),
    ("[[capsule]]\nport = 1", "capsule[1].port is no key: did you mean listen, which belongs into [server]"),
    ("[server]\nlang = 'en'", "server.lang is no key here: it belongs into [[capsule]]"),
    ("[server]\nhosts = ['a']", "server.hosts is no key here: it belongs into [[capsule]]"),
    ("[server]\nper_address = 1", "server.per_address is no key here: it belongs into [limits]"),
    ("[server]\ninclude = 'a'", "server.include is no key here: it belongs above the first section"),
    ("hosts = ['a']", "hosts is no key here: it belongs into [[capsule]]"),
    ("root = 'a'", "root is no key: did you mean content, which belongs into [[capsule]]?"),
    ("[[capsule]]\n[capsule.limits]", "capsule[1].limits is no key here: it belongs on its own, as [limits]"),
    ("[[redirect]]", "redirect is no key here: it belongs below [[capsule]], as [[capsule.redirect]]"),
    ("a = ", "line 1, column 5 is not TOML (invalid value): mend that line"),
    ("a = 1\na = 2\n", "line 2: a is there already: write it once"),
    ('"\\u001b" = 1\n"\\u001b" = 2\n', 'line 2: "\\u001b" is there already: write it once'),
    ("a = [\n]\na = [\n]\n", "line 4: what ends here is there already: write it once"),
    ("[a.b]\n[c]\n[a.b]", "line 3: there is a section a.b already: put the keys together in one"),
    ('["a\\u001b"]\n["a\\u001b"]', 'line 2: there is a section "a\\u001b" already: put'),
    ("a = True", "line 1, column 5 is not TOML (invalid value): write true and false in small letters"),
    ("a = [False]", "line 1, column 6 is not TOML (invalid value): write true and false in small letters"),
    ("a = \u201cb\u201d", 'line 1, column 5 is not TOML (invalid value): write straight quotes (")'),
    ("a = [\u2018b\u2019]", 'line 1, column 6 is not TOML (invalid value): write straight quotes (")'),
    ("a = b", "line 1, column 5 is not TOML (invalid value): write text in quotes"),
    ("a=/b", "line 1, column 3 is not TOML (invalid value): write text in quotes"),
    ("a = 1\n\nb = [1", "line 3, column 7 is not TOML"),
    ("a = 1" + "0" * 5000, "a number is too long"),
    ("a = " + "[" * 5000, "is nested too deeply"),
    (b"a = 1\nb = '\xff'", "line 2 is not UTF-8"),
    (b"#" * (MAX_FILE + 1), f"is larger than {MAX_FILE} bytes"),
]


@pytest.mark.parametrize(("text", "problem"), SINGLE)
def test_one_mistake_is_one_problem(folder: Path, text: str | bytes, problem: str) -> None:
    found = problems(folder, text)
    assert len(found) == 1, found
    assert found[0].startswith(problem)


def keys(kind: type[Struct] = Sections, above: str = "", place: str = "") -> Iterator[tuple[str, str, str]]:
    """For each key of the model: what has to stand above it, what messages call it, and its name."""
    known = {info.encode_name: info for info in fields(kind)}
    needed = {
        name: f"{name} = {shown(Rule.of(info.type).example)}\n"
        for name, info in known.items()
        if info.required
    }
    for name, info in known.items():
        rule = Rule.of(info.type)
        many = get_origin(rule.kind) is tuple
        inner = Rule.of(get_args(rule.kind)[0] if many else rule.kind)
        is_section = is_struct(inner.kind) and not (inner.reads or rule.reads)
        inside = f"{place}.{name}" if place else name
        if (place and many) or not is_section:
            yield above + "".join(line for other, line in needed.items() if other != name), inside, name
        if is_section:
            heading = re.sub(r"\[1\]", "", inside)
            heading = f"{above}[[{heading}]]\n" if many else f"{above}[{heading}]\n"
            yield from keys(inner.kind, heading, f"{inside}[1]" if many else inside)


PARTNERS = {  # what checks of several keys want beside a key
    "capsule[1].certificate": 'key = "a"',
    "capsule[1].key": 'certificate = "a"',
    "capsule[1].proxy[1].certificate": 'key = "a"',
    "capsule[1].proxy[1].key": 'certificate = "a"',
    "forwarder[1].listen": 'from = ["127.0.0.1"]',
}


@pytest.mark.parametrize(("above", "place", "key"), [pytest.param(*row, id=row[1]) for row in keys()])
def test_every_key_says_what_it_must_be(folder: Path, above: str, place: str, key: str) -> None:
    (problem,) = problems(folder, f"{above}{key} = 1979-05-27")  # a date is right nowhere
    assert problem.startswith(f"{place} is 1979-05-27, but must be ")
    example = problem.rpartition(": write for example ")[2]
    assert example.startswith(f"{key} = ")
    for name in ("fullchain.pem", "privkey.pem", "a"):
        (folder / name).touch()
    for name in ("routes", "cgi-bin"):
        (folder / name).mkdir()
    load(write(folder, f"{above}{example}\n{PARTNERS.get(place, '')}"))  # and the example is right


def test_all_mistakes_are_reported_together(folder: Path) -> None:
    found = problems(
        folder,
        "[server]\nlisten = [':x', 'y']\nchek_port = 1\n[limits]\nstall_s = 0\n"
        "[[capsule]]\nhosts = ['a.org', 'b c']\ncontent = 'no'\n[[capsule]]\nhosts = ['a b', 'x', 'x']\n"
        "[[capsule]]\nhosts = ['c.org']\n[[capsule]]\nhosts = ['b.org', 'c.org']",
    )
    assert [problem.split(" ")[0] for problem in found] == [
        "server.chek_port",
        "server.listen[1]",
        "server.listen[2]",
        "limits.stall_s",
        "capsule[1].hosts[2]",
        "capsule[2].hosts[1]",
        "capsule[4].hosts[2]",
        "capsule[1].content",
    ]


def test_a_folder_of_certificates_behind_a_link_is_not_served(folder: Path) -> None:
    (folder / "certs").symlink_to(folder / "content")
    assert "would publish private keys" in problems(folder, "")[0]


def test_the_file_itself_is_not_served(folder: Path) -> None:
    expected = (
        f"capsule[1].content is {folder}/{{}}, which would publish {{}}: "
        "move the pages into a folder of their own, and name that"
    )
    # Nothing is said of the certificates, for which the same move is enough.
    assert problems(folder, "[[capsule]]\ncontent = './'") == [
        expected.format("", "pad19.toml").replace(f"{folder}/,", f"{folder},")
    ]
    (folder / "content/more.toml").write_text("[[capsule]]\nhosts = ['a.org']\ncontent = '../certs'")
    (folder / "certs").mkdir()
    text = "include = 'content/more.toml'\n[server]\ncerts = 'private'\n[[capsule]]"
    assert problems(folder, text) == [expected.format("content", "more.toml")]


UNREAD = "it cannot be read by this user: allow that, or name another"
CLOSED: list[tuple[str, int, str, str | None]] = [  # what, its mode, what else the capsule says, the answer
    ("outer", 0, "", UNREAD.replace("that", "that for it and the folders above")),
    ("outer/content", 0, "", UNREAD),
    ("outer/content", 0o600, "", UNREAD),
    ("outer/content", 0o100, "", None),
    ("outer/content", 0o100, "listing = true", UNREAD),
    ("outer/content", 0o300, "[capsule.titan]", UNREAD),
    ("outer/content", 0o500, "listing = true", None),
]


def told_of(resolved: Callable[[], Config]) -> tuple[str, ...]:
    try:
        resolved()
    except ConfigError as error:
        return error.problems
    return ()


@pytest.mark.parametrize(("closed", "mode", "more", "reason"), CLOSED)
def test_content_that_this_user_cannot_read(closed: str, mode: int, more: str, reason: str | None) -> None:
    with unprivileged() as folder:
        content = folder / "outer/content"
        content.mkdir(parents=True)
        path = write(folder, f"[[capsule]]\ncontent = 'outer/content'\n{more}")
        (folder / closed).chmod(mode)
        told = told_of(lambda: load(path))
        as_argument = told_of(lambda: resolve(content, certs=folder / "certs"))
        (folder / closed).chmod(0o700)
        assert told == ((f"{path}: capsule[1].content is {content}, but {reason}",) if reason else ())
        if not more:
            assert as_argument == ((f"DIR is {content}, but {reason}",) if reason else ())


def test_a_byte_order_mark_is_no_mistake(folder: Path) -> None:
    assert load(write(folder, b"\xef\xbb\xbf[limits]\nconnections = 3\n")).limits.connections == 3


UNREADABLE = ["missing", "folder", "fifo", "loop", "a\0b", "folder/x/y", "x" * 300]


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_one_problem(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError) as refusal:
        load(tmp_path / name)
    (problem,) = refusal.value.problems
    assert "name a" in problem
    assert problem.isprintable()


def test_a_folder_without_a_file_is_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    config = resolve(tmp_path)
    assert config == Config(
        server=config.server, capsules=(Capsule(content=tmp_path, hosts=("localhost",)),), source=None
    )
    assert config.server.certs == Path("/home/ada/.local/share/pad19/certs")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert resolve(tmp_path).server.certs == Path("/data/pad19/certs")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # to be ignored, says its specification
    assert resolve(tmp_path).server.certs == Path("/home/ada/.local/share/pad19/certs")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"^--certs is .* would publish private keys"):
        resolve(tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["missing", "file"])
def test_what_is_no_folder_is_a_mistake_in_the_argument(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^DIR is ") as refusal:
        resolve(tmp_path / name)
    assert ("or give it with --config" in str(refusal.value)) == (name == "file")


def test_flags_replace_what_the_file_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        folder, "[server]\nworkers = 2\nlisten = ['broken']\n[[capsule]]\nhosts = ['a.org']\nlang = 'en'"
    )
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    config = resolve(
        folder, listen=["[::1]:0", "unix:x"], hosts=["Localhost", "b.org"], certs=Path("certs"), workers=1
    )
    assert config.source == path
    assert config.server.listen == (
        Listen(host="::1", port=0),
        Listen(path=folder / "elsewhere/x"),  # relative to where the command was given
    )
    assert config.server.certs == folder / "elsewhere/certs"
    assert config.server.workers == 1
    assert config.capsules[0].hosts == ("localhost", "b.org")
    assert config.capsules[0].lang == "en"


ROUTES: list[tuple[str, str, bool]] = [  # a file in the folder, its text, whether it is one of routes
    ("routes/hello.py", "from pad19 import Request, Routes\nroutes = Routes()\n", True),
    ("routes/hello.py", '"""Greets."""\n\ntry:\n    import pad19\nfinally:\n    pass\n', True),
    ("routes/blog/__init__.py", "import pad19\n", True),
    ("routes/_helpers.py", "from pad19.protocol import uri\n", True),
    ("routes/gpx.py", "import sys\n# from pad19 import nothing\n", False),
    ("routes/hello.py", "import pad19th_century\n", False),
    ("routes/alps.gmi", "from pad19 import Routes\n", False),
    ("hello.py", "from pad19 import Routes\n", False),
    ("routes/hello.py/index.gmi", "# A folder\n", False),
    ("routes", "import pad19\n", False),
]


@pytest.mark.parametrize(("name", "text", "is_refused"), ROUTES)
def test_code_of_routes_is_not_served_as_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, is_refused: bool
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    file = tmp_path / "capsule" / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    if not is_refused:
        resolve(tmp_path / "capsule")
        return
    with pytest.raises(ConfigError) as error:
        resolve(tmp_path / "capsule")
    [problem] = error.value.problems
    assert problem.startswith(f"{file} has routes, but there is no pad19.toml, ")
    lines = re.findall(r"\[\[capsule\]\]|\w+ = \"\w+\"", problem)
    (tmp_path / "capsule/pad19.toml").write_text("\n".join(lines))
    (tmp_path / "capsule/content").mkdir()
    assert resolve(tmp_path / "capsule").capsules[0].routes == tmp_path / "capsule/routes"


def test_flags_work_without_a_file(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.mkdir()
    config = resolve(content, hosts=["a.org"], certs=tmp_path / "certs", listen=[":0"])
    assert config.capsules == (Capsule(hosts=("a.org",), content=content),)
    assert config.server.certs == tmp_path / "certs"
    assert config.source is None


def test_a_named_file_is_read_instead(folder: Path, tmp_path: Path) -> None:
    path = folder / "other.toml"
    path.write_text("[limits]\nconnections = 7\n")
    write(folder, "broken")
    assert resolve(folder, config=path).limits.connections == 7
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve(folder, config=folder / "missing.toml")


def test_mistakes_in_flags_are_called_after_them(folder: Path) -> None:
    write(folder, "")
    with pytest.raises(ConfigError) as refusal:
        resolve(
            folder,
            listen=["unix:", "a.org:1", ":1", "[::]:1"],
            hosts=["a b", "\udce9"],
            certs=folder / "content",
            workers=-1,
        )
    assert refusal.value.problems[1].endswith(": write for example --listen localhost:1966")
    assert [problem.split(" but")[0] for problem in refusal.value.problems] == [
        '--listen is "unix:",',
        '--listen is "a.org:1",',
        "--workers is -1,",
        '--host is "a b",',
        '--host is "\\udce9",',
        f"--certs is {folder}/content, inside of the content folder {folder}/content, "
        "which would publish private keys: move it out",
    ]
    with pytest.raises(ConfigError, match=r"^--listen is \[::\]:1, which is listened on already"):
        resolve(folder, listen=[":1", "[::]:1"])
    with pytest.raises(ConfigError, match=r"^--host is a\.org, which is a host of"):
        resolve(folder, hosts=["a.org", "a.org"])


OVERRIDDEN = ["[[capsule]]\n[[capsule]]\nhosts = ['a']", "capsule = []"]


@pytest.mark.parametrize("text", OVERRIDDEN)
def test_hosts_by_flag_need_one_capsule(folder: Path, text: str) -> None:
    write(folder, text)
    with pytest.raises(ConfigError, match=r"^--host needs one capsule"):
        resolve(folder, hosts=["b"])


@pytest.mark.parametrize("text", ["server = 1", "capsule = 1", "capsule = [1]"])
def test_flags_do_not_hide_mistakes_of_the_file(folder: Path, text: str) -> None:
    write(folder, text)
    with pytest.raises(ConfigError, match="but must be a "):
        resolve(folder, hosts=["b"], workers=1)


def test_an_unreadable_pad19_toml_is_not_taken_for_a_missing_one(folder: Path) -> None:
    (folder / "pad19.toml").symlink_to("nowhere")
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve(folder)


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match="working directory"):
        resolve(Path())


def test_an_empty_folder_of_certificates(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--certs is empty"):
        resolve(tmp_path, certs=Path())


# Redirects


CIRCLES = [  # redirects as "from to", the numbers of those that lead back
    (["/a /a"], [1]),
    (["/a /b", "/b /a"], [1, 2]),
    (["/a /b", "/b /c", "/c /b"], [2, 3]),
    (["/a gemini://localhost/a"], [1]),
    (["/a gemini://LOCALHOST:1965/a"], [1]),
    (["/a /a?b"], [1]),
    (["/{x} /{x}"], [1]),
    (["/{x} /{x}.gmi"], [1]),
    (["/{x:int} /{x}"], [1]),
    (["/{x:path} /archive/{x}"], [1]),
    (["/old/{x:path} /old/archive/{x}"], [1]),
    (["/a /b"], []),
    (["/a /a/"], []),
    (["/a gemini://b.org/a"], []),
    (["/old/{x:path} /new/{x}", "/new/{x:path} /newest/{x}"], []),
    (["/{x} /pages/{x}"], []),
    (["/{x} /{x}/end", "/x/end /done/"], []),
    (["/{x}/a /{x}/b", "/{x}/b /{x}/c", "/{x}/c /d"], []),
    (["/{a}/{b} /{b}/end", "/end/end /done"], []),  # it comes back once, and then leaves
    (["/a /b%FF"], []),
]


@pytest.mark.parametrize(("redirects", "circular"), CIRCLES)
def test_redirects_that_lead_back(folder: Path, redirects: list[str], circular: list[int]) -> None:
    text = "[[capsule]]\n"
    for redirect in redirects:
        pattern, target = redirect.split()
        text += f"[[capsule.redirect]]\nfrom = '{pattern}'\nto = '{target}'\n"
    if not circular:
        load(write(folder, text))
        return
    expected = "leads back to the same redirect, again and again: name another path"
    assert problems(folder, text) == [f"capsule[1].redirect[{number}].to {expected}" for number in circular]


# Variables


def test_variables_stand_for_what_differs_between_machines(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAD19_HOST", "a.org")
    monkeypatch.setenv("PAD19_DATA", "/data")
    monkeypatch.delenv("PAD19_NONE", raising=False)
    for name in ("${PAD19_HOST}.pem", "$HOME.pem"):
        (folder / name).touch()
    config = load(
        write(
            folder,
            """
[server]
certs = "${PAD19_DATA}/certs"
listen = ["${PAD19_NONE:-127.0.0.1}:1965"]
[log]
access = "${PAD19_NONE:-off}"
[[capsule]]
hosts = ["${PAD19_HOST}", "*.${PAD19_HOST}"]
content = "${PAD19_NONE:-content}"
certificate = "$${PAD19_HOST}.pem"
key = "$HOME.pem"
""",
        )
    )
    assert config.server.certs == Path("/data/certs")
    assert config.server.listen == (Listen(host="127.0.0.1", port=1965),)
    assert config.log.access == "off"
    assert config.capsules[0].hosts == ("a.org", "*.a.org")
    assert config.capsules[0].certificate == folder / "${PAD19_HOST}.pem"
    assert config.capsules[0].key == folder / "$HOME.pem"


def test_flags_are_taken_as_they_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAD19_HOST", "a.org")
    odd = folder / "${PAD19_HOST}"
    odd.mkdir()
    assert resolve(odd).capsules[0].content == odd  # a shell has expanded what it should
    assert resolve(odd, certs=folder / "${").server.certs == folder / "${"
    with pytest.raises(ConfigError, match=r'^--host is "\$\{PAD19_HOST\}", but must be a host name'):
        resolve(odd, hosts=["${PAD19_HOST}"])


# Included files


def site(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_included_files_hold_more_capsules(folder: Path) -> None:
    first = site(folder, "sites/a.toml", "[[capsule]]\nhosts = ['a.org']\n[[capsule]]\nhosts = ['b.org']\n")
    (folder / "sites/content").mkdir()
    second = site(folder, "sites/c.toml", "[[capsule]]\nhosts = ['c.org']\ncontent = '../content'")
    site(folder, "sites/.d.toml.swp", "not TOML")
    site(folder, "sites/empty.toml", "")
    path = write(folder, "include = 'sites/*.toml'\n[[capsule]]\nhosts = ['own.org']")
    config = load(path)
    assert [(capsule.hosts[0], capsule.content) for capsule in config.capsules] == [
        ("own.org", folder / "content"),
        ("a.org", folder / "sites/content"),
        ("b.org", folder / "sites/content"),
        ("c.org", folder / "sites/../content"),
    ]
    assert config.included == (first, second, folder / "sites/empty.toml")
    assert config.include == ("sites/*.toml",)
    restored: Config = pickle.loads(pickle.dumps(config))  # noqa: S301 - on its way to a worker
    assert restored == config


def test_without_a_capsule_of_its_own_there_are_only_the_included(folder: Path) -> None:
    site(folder, "a.toml", "[[capsule]]\nhosts = ['a.org']")
    assert [capsule.hosts for capsule in load(write(folder, "include = ['a.toml']")).capsules] == [("a.org",)]
    # A file that matches twice is read once, and the main file is none of those it includes.
    assert len(load(write(folder, "include = ['*.toml', 'a.toml', 'none/*']")).capsules) == 1
    site(folder, "a.toml", "capsule = []")
    assert load(write(folder, "include = 'a.toml'")).capsules[0].hosts == ("localhost",)


def told(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as refusal:
        load(write(folder, text))
    return [problem.replace(f"{folder}/", "") for problem in refusal.value.problems]


def test_mistakes_name_the_file_where_they_are(folder: Path) -> None:
    (folder / "sites/content").mkdir(parents=True)
    site(
        folder, "sites/a.toml", "[[capsule]]\nhosts = ['a.org']\n[[capsule]]\nhosts = ['main.org']\nlang = 1"
    )
    site(folder, "sites/b.toml", "[[capsule]]\nhosts = ['a.org']\ncontent = 'none'\n[[capsule]]\nkey = 'a'")
    site(
        folder,
        "sites/c.toml",
        "include = 'x'\n[server]\ncerts = 'a'\n[limit]\n[[capsule]]\nhosts = ['c.org']",
    )
    text = "include = 'sites/*'\nlog = 1\n[[capsule]]\nhosts = ['main.org']"
    start = "cannot stand in an included file, which has only [[capsule]] sections: move it to the main one"
    found = told(folder, text.replace("sites/*", "sites/*.toml"))
    assert [problem.partition(": write")[0] for problem in found] == [
        "pad19.toml: log is 1, but must be a table",
        "sites/a.toml: capsule[2].lang is 1, but must be language tags with commas between them",
        f"sites/c.toml: include {start}",
        f"sites/c.toml: server {start}",
        "sites/c.toml: limit is no key: remove it, or use one of capsule",
        "sites/a.toml: capsule[2].hosts[1] is main.org, which is a host of capsule[1] already: "
        "remove one of them",
        "sites/b.toml: capsule[1].hosts[1] is a.org, which is a host of capsule[1] of sites/a.toml already: "
        "remove one of them",
        "sites/b.toml: capsule[1].content is sites/none, but there is no such folder: "
        "create it, or name another",
        "sites/b.toml: capsule[2].certificate is missing beside key",
    ]
    assert told(folder, text)[0].startswith("sites/content cannot be read")  # with what must be mended first
    assert "pad19.toml: log" not in told(folder, text)[0]


NOT_INCLUDED = [
    ("include = 'none.toml'", "none.toml cannot be read (No such file or directory)"),
    ("include = ['none.toml', 'content']", "none.toml cannot be read (No such file or directory)"),
    ("include = 'broken.toml'", "broken.toml: line 1, column 5 is not TOML"),
    ("include = 'pad19.toml/x'", "pad19.toml/x cannot be read (Not a directory)"),
]


@pytest.mark.parametrize(("text", "problem"), NOT_INCLUDED)
def test_what_cannot_be_included(folder: Path, text: str, problem: str) -> None:
    site(folder, "broken.toml", "a = ")
    assert told(folder, text)[0].startswith(problem)


def test_a_pattern_may_match_nothing(folder: Path) -> None:
    assert load(write(folder, "include = ['sites/*.toml', '/none/[ab].toml']")).included == ()


def test_a_host_by_flag_goes_to_the_only_capsule_wherever_it_is(folder: Path) -> None:
    site(folder, "a.toml", "[[capsule]]\nhosts = ['a.org']")
    write(folder, "include = 'a.toml'")
    assert resolve(folder, hosts=["b.org"]).capsules[0].hosts == ("b.org",)
    with pytest.raises(ConfigError, match=r'^--host is "a b", but must be a host name'):
        resolve(folder, hosts=["a b"])
    write(folder, "include = 'a.toml'\n[[capsule]]")
    with pytest.raises(ConfigError, match=r"^--host needs one capsule, but .*pad19.toml has 2"):
        resolve(folder, hosts=["b.org"])


def test_reading_a_configuration_loads_little() -> None:
    program = (
        "import sys\nimport pad19.service.config.load\n"
        "print({'trio', 'OpenSSL', 'cryptography', 'asyncio'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
