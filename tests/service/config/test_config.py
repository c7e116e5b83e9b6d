"""A configuration as a whole: every key, read and refused."""

import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin

import pytest
from msgspec import Struct
from msgspec.structs import fields

from pad19.protocol.rate import Rate
from pad19.protocol.status import Status
from pad19.service.config.capsule import Capsule, Gone, Redirect, Rewrite
from pad19.service.config.listen import Listen
from pad19.service.config.load import load
from pad19.service.config.model import DEFAULT_LISTEN, Config, Limits, Log, Sections
from pad19.service.config.read import Rule, is_struct, shown
from support.configuration import problems, write


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


def keys(kind: type[Struct] = Sections, above: str = "", place: str = "") -> Iterator[tuple[str, str, str]]:
    """For each key of the model: what has to stand above it, what messages call it, and its name."""
    known = {info.encode_name: info for info in fields(kind)}
    needed = {
        name: f"{name} = {shown(Rule.of(info.type).example)}\n"
        for name, info in known.items()
        if info.required or info.encode_name in getattr(kind, "one_of", ())[:1]
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


def test_reading_a_configuration_loads_little() -> None:
    program = (
        "import sys\nimport pad19.service.config.load\n"
        "print({'trio', 'OpenSSL', 'cryptography', 'asyncio'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
