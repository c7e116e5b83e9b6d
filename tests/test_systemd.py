"""What deploy/ has for systemd and its neighbours: closed as it claims, and as the manual shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pad19.dispatch.record import Record
from pad19.service.config.load import load
from pad19.service.logs.access_log import formatter
from support.manual import shell_steps
from support.systemd_page import DEPLOY, PAGE, examples

pytestmark = pytest.mark.machine


def needs(*programs: str) -> pytest.MarkDecorator:
    lacking = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(lacking), reason=f"not installed: {', '.join(lacking)}")


def output(*command: str | Path) -> str:
    done = subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


# Units


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """The root of a machine that has the service, installed as the manual says."""
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    shutil.copy(DEPLOY / "pad19.service", units)
    program = tmp_path / "opt/pad19/bin/pad19"
    program.parent.mkdir(parents=True)
    program.touch(0o755)
    return tmp_path


@pytest.fixture
def pair(plain: Path) -> Path:
    """The same with the socket."""
    units = plain / "etc/systemd/system"
    shutil.copy(DEPLOY / "pad19.socket", units)
    (units / "pad19.service.d").mkdir()
    shutil.copy(DEPLOY / "pad19.service.d/socket.conf", units / "pad19.service.d")
    return plain


def exposure(root: Path) -> float:
    """0 is best, 10 is worst."""
    said = output(
        "systemd-analyze", "security", "--offline=true", "--no-pager", f"--root={root}", "pad19.service"
    )
    found = re.search(r"Overall exposure level for pad19\.service: ([\d.]+)", said)
    assert found, said
    return float(found[1])


@needs("systemd-analyze")
def test_the_plain_service_is_closed(plain: Path) -> None:
    assert exposure(plain) <= 1.2


@needs("systemd-analyze")
def test_with_the_socket_it_is_closed_further(pair: Path) -> None:
    assert exposure(pair) <= 0.2


def add_system(root: Path) -> None:
    """What every machine has, and units refer to: systemd's targets, and a shell."""
    (root / "bin").mkdir()
    (root / "bin/sh").touch(0o755)
    folder = root / "usr/lib/systemd/system"
    folder.mkdir(parents=True)
    for target in Path("/usr/lib/systemd/system").glob("*.target"):
        shutil.copy(target, folder, follow_symlinks=False)


@needs("systemd-analyze")
def test_units_are_understood(pair: Path) -> None:
    add_system(pair)
    said = output("systemd-analyze", "verify", "--man=no", f"--root={pair}", "pad19.service", "pad19.socket")
    assert [line for line in said.splitlines() if "pad19" in line] == []


@needs("systemd-analyze")
def test_a_unit_with_a_mistake_is_not(pair: Path) -> None:
    add_system(pair)
    unit = pair / "etc/systemd/system/pad19.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSecs=30"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={pair}", "pad19.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "WatchdogSecs" in done.stderr


# Samples


BANNED = [
    Record("192.0.2.3", 0.0, 0.1, request="GET / HTTP/1.1", status=59, reason="the URI has no scheme"),
    Record("2001:db8::1", 0.0, 0.1, request="gemini://a.test/", status=53, reason="this host is not served"),
    Record("192.0.2.4", 0.0, 0.1, status=41, reason="too many connections from your address at once"),
    Record("192.0.2.5", 0.0, 0.1, reason="handshake failed: wrong version number"),
    Record("192.0.2.6", 0.0, 0.1, reason="handshake timeout"),
    Record("192.0.2.7", 0.0, 0.1, reason="request timeout"),
]
SPARED = [
    Record("192.0.2.10", 0.0, 0.1, request="gemini://a.test/", status=20, bytes_sent=59),
    Record("192.0.2.11", 0.0, 0.1, request="gemini://a.test/x", status=51),
    # What tries to look like a line that is banned, of somebody else.
    Record("192.0.2.12", 0.0, 0.1, request='x" 59 0 "', status=51),
    Record("192.0.2.13", 0.0, 0.1, request='x\n192.0.2.99 - - [] "" 59 0', status=51),
    Record("192.0.2.14", 0.0, 0.1, reason="closed before CRLF"),
    Record("192.0.2.15", 0.0, 0.1, request="gemini://a.test/", status=20, reason='client left: " 59 0'),
]


@needs("fail2ban-regex")
def test_fail2ban_finds_what_it_should(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    write = formatter("common", "full")
    log.write_text("".join(f"{write(record)}\n" for record in [*BANNED, *SPARED]))
    said = output("fail2ban-regex", "--print-all-matched", log, DEPLOY / "fail2ban/filter.d/pad19.conf")
    matched = said.partition("Matched line(s):")[2].partition("`-")[0]
    assert re.findall(r"^\|  (\S+) - - \[", matched, re.MULTILINE) == [record.address for record in BANNED]
    assert f"{len(BANNED) + len(SPARED)} lines, 0 ignored, {len(BANNED)} matched" in said


def test_the_jail_uses_the_filter_that_there_is() -> None:
    jail = (DEPLOY / "fail2ban/jail.d/pad19.conf").read_text()
    [name] = re.findall(r"^filter = (\S+)$", jail, re.MULTILINE)
    assert (DEPLOY / f"fail2ban/filter.d/{name}.conf").exists()


@pytest.mark.parametrize("text", examples())
def test_configurations_work(text: str, tmp_path: Path) -> None:
    content = tmp_path / "capsule"
    content.mkdir()
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name in ("fullchain.pem", "privkey.pem"):
        (credentials / name).touch()
    file = tmp_path / "pad19.toml"
    for folder in ("/run/credentials/pad19.service", "/etc/letsencrypt/live/example.org"):
        text = text.replace(folder, str(credentials))
    file.write_text(text.replace("/srv/capsule", str(content)))
    assert load(file).capsules[0].content == content


def test_the_readme_has_the_same_commands() -> None:
    written = (DEPLOY / "README.md").read_text("utf-8")
    [block] = re.findall(r"## systemd, on Debian\n.*?```sh\n(.*?)\n```", written, re.DOTALL)
    texts = shell_steps(PAGE)
    first = list(texts)[: list(texts).index("look") + 1]
    assert block == "\n".join(texts[name] for name in first)
