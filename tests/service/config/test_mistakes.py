"""One mistake in a file, and what is said of it."""

from pathlib import Path

import pytest

from pad19.service.config.toml_file import MAX_FILE
from support.configuration import problems

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
    (
        "[limits]\nconnections = 1_000_000_000_000",
        "limits.connections is 1000000000000, but must be at most 10000000: write for example",
    ),
    ("[limits]\nrequest_s = 1e9", "limits.request_s is 1000000000.0, but must be more than 0"),
    ("[cgi]\ncpu_s = 100_000", "cgi.cpu_s is 100000, but must be at most 86400"),
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
    ("include = '**/*.toml'", 'include[1] is "**/*.toml", but must name folders of each depth by themselves'),
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
    ("a = TRUE", "line 1, column 5 is not TOML (invalid value): write true and false in small letters"),
    ("a = yes", "line 1, column 5 is not TOML (invalid value): write true or false"),
    ("a = No", "line 1, column 5 is not TOML (invalid value): write true or false"),
    ("a = nobody", "line 1, column 5 is not TOML (invalid value): write text in quotes"),
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


MENDS = [  # no TOML, what to do about it
    ("a: 1", "write key = value"),
    ("a b = 1", "write key = value"),
    ("a", "write key = value"),
    ("a = ['b' 'c']", "write commas between its values, and ] behind the last"),
    ("a = ['b'\n'c']", "write commas between its values, and ] behind the last"),
    ("a = ['b', c]", "write text in quotes"),
    ("a = ['b'", "write commas between its values, and ] behind the last"),
    ("a = { b = 1 c = 2 }", "write commas between its keys, and } behind the last"),
    ("a = 10MB", "end the line here, or write text in quotes"),
    ("a = 1 b = 2", "end the line here, or write text in quotes"),
    ("a = 'b", "write the quote at its end"),
    ('a = "b', "write the quote at its end"),
    ('a = "b\nc = 1', "write the quote at its end"),
    ("a = off", "write text in quotes"),
]


@pytest.mark.parametrize(("text", "mend"), MENDS)
def test_what_is_no_toml_has_a_mend(folder: Path, text: str, mend: str) -> None:
    (found,) = problems(folder, text)
    assert "is not TOML (" in found
    assert found.endswith(f"): {mend}")
