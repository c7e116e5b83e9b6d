"""The units in deploy/: as closed as they claim, and at work in a machine that boots."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pad19.dispatch.record import Record
from pad19.protocol import gemtext
from pad19.protocol.gemtext import Preformatted
from pad19.service.access_log import formatter
from pad19.service.config_load import load
from support import container
from support.container import Container

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
PAGE = ROOT / "capsule/content/hosting/systemd.gmi"


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
    shutil.copytree(DEPLOY / "pad19.service.d", units / "pad19.service.d")
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


def add_targets(root: Path) -> None:
    """Those of systemd, which every unit refers to."""
    folder = root / "usr/lib/systemd/system"
    folder.mkdir(parents=True)
    for target in Path("/usr/lib/systemd/system").glob("*.target"):
        shutil.copy(target, folder, follow_symlinks=False)


@needs("systemd-analyze")
def test_units_are_understood(pair: Path) -> None:
    add_targets(pair)
    said = output("systemd-analyze", "verify", "--man=no", f"--root={pair}", "pad19.service", "pad19.socket")
    assert [line for line in said.splitlines() if "pad19" in line] == []


@needs("systemd-analyze")
def test_a_unit_with_a_mistake_is_not(pair: Path) -> None:
    add_targets(pair)
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


# The manual


def steps() -> Iterator[tuple[str, str]]:
    """The commands of the page, by their description."""
    for line in gemtext.parse(PAGE.read_text("utf-8")):
        if isinstance(line, Preformatted) and line.alt.startswith("shell: "):
            yield line.alt.removeprefix("shell: "), line.text


def examples() -> list[str]:
    """Configurations as they are installed, or shown."""
    lines = gemtext.parse(PAGE.read_text("utf-8"))
    shown = [line for line in lines if isinstance(line, Preformatted)]
    texts = [line.text for line in shown if line.alt == "/etc/pad19/pad19.toml"]
    return [(DEPLOY / "pad19.toml").read_text("utf-8"), *texts]


@pytest.mark.parametrize("text", examples())
def test_configurations_work(text: str, tmp_path: Path) -> None:
    content = tmp_path / "capsule"
    content.mkdir()
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name in ("fullchain.pem", "privkey.pem"):
        (credentials / name).touch()
    file = tmp_path / "pad19.toml"
    text = text.replace("/srv/capsule", str(content))
    file.write_text(text.replace("/run/credentials/pad19.service", str(credentials)))
    assert load(file).capsules[0].content == content


def test_the_readme_has_the_same_commands() -> None:
    written = (DEPLOY / "README.md").read_text("utf-8")
    [block] = re.findall(r"## systemd, on Debian\n.*?```sh\n(.*?)\n```", written, re.DOTALL)
    texts = dict(steps())
    first = list(texts)[: list(texts).index("look") + 1]
    assert block == "\n".join(texts[name] for name in first)


# The machine


GET = "/opt/pad19/bin/pad19 get gemini://localhost/"
# Half a minute each in the unit.
IMPATIENT = "[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\nTimeoutStopSec=1\n"
# A client that takes longer than TimeoutStopSec=, and is there before the stop.
SLOW_CLIENT = """
python3 - > /tmp/answer <<'END' &
import pathlib, socket, ssl, time
context = ssl._create_unverified_context()
plain = socket.create_connection(("127.0.0.1", 1965))
with context.wrap_socket(plain, server_hostname="localhost") as stream:
    pathlib.Path("/tmp/connected").touch()
    time.sleep(4)
    stream.sendall(b"gemini://localhost/\\r\\n")
    while data := stream.recv(1000):
        print(data.decode(), end="")
END
until [ -e /tmp/connected ]; do sleep 0.1; done
systemctl stop pad19.service
wait $!
cat /tmp/answer
"""


def show(machine: Container, name: str, unit: str = "pad19.service") -> str:
    return machine.run(f"systemctl show --value -p {name} {unit}").strip()


def write(machine: Container, path: str, text: str) -> None:
    machine.run(f"mkdir -p $(dirname {path})\ncat > {path} <<'END'\n{text}\nEND")


@pytest.mark.skipif(bool(container.missing()), reason=container.missing())
@pytest.mark.timeout(900)  # seconds: the machine may have to be made first
def test_the_manual_from_nothing_to_a_service_that_survives(tmp_path: Path) -> None:
    left = dict(steps())
    with container.booted(tmp_path) as machine:

        def step(name: str) -> str:
            return machine.run(left.pop(name))

        step("pad19 in /opt/pad19")
        step("the user pad19")
        step("configuration and content")
        step("the units")
        step("now, and whenever the machine starts")

        # It is ready when systemctl returns.
        said = step("look")
        assert 'Status: "Serving localhost on 0.0.0.0:1965, [::]:1965"' in said
        assert "# Hello, Geminispace" in said
        assert machine.run("systemctl is-enabled pad19.service pad19.socket").split() == ["enabled"] * 2
        assert show(machine, "User") == "pad19"

        # The sandbox is real: no address can be reached, and pages can be served nevertheless.
        blocked = "systemd-run --quiet --wait --pipe -p IPAddressDeny=any"
        connect = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 1965), 2)'"
        machine.run(f"{connect}; ! {blocked} {connect} 2>/dev/null")
        assert {*show(machine, "IPAddressDeny").split()} == {"0.0.0.0/0", "::/0"}
        pid = show(machine, "MainPID")
        machine.run(f"! cmp -s /proc/net/dev <(nsenter -t {pid} -n cat /proc/net/dev)")
        assert machine.run(f"nsenter -t {pid} -n cat /proc/net/tcp /proc/net/tcp6 | wc -l").strip() == "2"

        # Pages need no restart.
        machine.run("echo '# Edited' > /srv/capsule/index.gmi")
        assert "# Edited" in machine.run(GET)
        assert show(machine, "MainPID") == pid

        # Messages have priorities, and what is normal has a low one.
        machine.run("echo 'x: 99 no' > /srv/capsule/.meta")
        machine.run(GET)
        machine.run("rm /srv/capsule/.meta")
        [warning] = step("only warnings and errors").splitlines()
        assert re.search(r"pad19\[\d+\]: '?/srv/capsule/\.meta'?: line 1: ", warning), warning

        # Killed: visitors wait in the socket until it is back.
        machine.run(f"kill -KILL {pid}")
        assert "# Edited" in machine.run(GET)
        assert show(machine, "NRestarts") == "1"

        # Hung: the watchdog notices.
        write(machine, "/etc/systemd/system/pad19.service.d/impatient.conf", IMPATIENT)
        machine.run("systemctl daemon-reload")
        step("after a change of the configuration or a certificate")
        pid = show(machine, "MainPID")
        machine.run(f"kill -STOP {pid}")
        assert "# Edited" in machine.run(GET)
        assert show(machine, "MainPID") != pid
        assert "Watchdog timeout" in machine.run("journalctl -u pad19.service")

        # A process that hangs, but is not frozen, says where: this signal is what the watchdog sends first.
        pid = show(machine, "MainPID")
        machine.run(f"sleep 5\nkill -ABRT {pid}")  # which fails if it was killed without a reason
        assert "# Edited" in machine.run(GET)
        assert "most recent call first" in machine.run("journalctl -u pad19.service")

        # The grace period counts, even if systemd was told to wait for less.
        assert "# Edited" in machine.run(SLOW_CLIENT)
        assert (show(machine, "Result"), show(machine, "ExecMainStatus")) == ("success", "0")
        assert "# Edited" in machine.run(GET)

        # Stopped, and started by a visitor.
        step("stop")
        assert (show(machine, "Result"), show(machine, "ExecMainStatus")) == ("success", "0")
        step("only with a visitor")
        assert show(machine, "ActiveState") == "inactive"
        assert "# Edited" in machine.run(GET)
        assert show(machine, "ActiveState") == "active"
        assert show(machine, "Result") == "success"

        # A mistake in the configuration is tried once.
        machine.run("sed -i.good s/hosts/hots/ /etc/pad19/pad19.toml")
        machine.run("! systemctl restart pad19.service")
        assert (show(machine, "ExecMainStatus"), show(machine, "Result")) == ("2", "exit-code")
        assert "hots is no key" in machine.run("journalctl -u pad19.service -p err -o cat")
        machine.run("mv /etc/pad19/pad19.toml.good /etc/pad19/pad19.toml")
        step("after failures")
        assert "# Edited" in machine.run(GET)

        # A log in a file.
        config = machine.run("cat /etc/pad19/pad19.toml")
        write(machine, "/etc/pad19/pad19.toml", f'{config}\n[log]\naccess = "/var/log/pad19/access.log"')
        step("rotation")
        machine.run("systemctl restart pad19.service")
        machine.run(f"{GET}\nsleep 1.2\nlogrotate --force /etc/logrotate.d/pad19\n{GET}\nsleep 0.5")
        lines = machine.run("cd /var/log/pad19\nwc -l access.log.1 access.log\nls -ld . access.log")
        assert re.findall(r"^\s*(\d+) ", lines, re.MULTILINE) == ["1", "1", "2"]
        assert re.findall(r"^(\S{10}).* pad19 pad19 ", lines, re.MULTILINE) == ["drwx------", "-rw-------"]
        step("fail2ban")

        # With a port of its own.
        step("the plain service")
        assert "# Edited" in machine.run(GET)
        assert show(machine, "PrivateNetwork") == "no"
        assert show(machine, "ActiveState", "pad19.socket") == "inactive"
        machine.run("systemctl stop pad19.service")
        assert (show(machine, "Result"), show(machine, "ExecMainStatus")) == ("success", "0")
        assert "Traceback" not in machine.run("journalctl --boot")
    assert left == {}
