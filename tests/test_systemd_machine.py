"""The units in deploy/ at work, in a machine that boots."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from support import container
from support.container import Container
from support.manual import ROOT, shell_steps
from support.systemd_page import PAGE, example, lines_that_name

pytestmark = [
    pytest.mark.machine,
    pytest.mark.timeout(900),  # seconds: a machine may have to be made first
]

GET = "/opt/pad19/bin/pad19 get gemini://localhost/"
VISITOR = "python3 /root/visitor.py"
HELLO = "20 text/gemini\r\n# Hello, Geminispace\n"
# Half a minute each in the unit.
IMPATIENT = "[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\nTimeoutStopSec=1\n"
PROMPT = 1.0  # seconds until there is an answer again
PROGRAM = ("pad19 in /opt/pad19", "the user pad19")
SERVICE = ("configuration and content", "the units", "now, and whenever the machine starts")
MOVING = (
    "bring along a capsule from /home/ada/capsule",
    "look for mistakes, and start",
    "look at a capsule with a name",
)
AS_BEFORE = """
systemctl stop 'pad19*'
rm -rf /etc/systemd/system/pad19* /etc/pad19 /srv/capsule /var/lib/pad19 /var/log/pad19 /root/.local
systemctl daemon-reload
systemctl reset-failed
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """One that has the program and its user."""
    if reason := container.missing():
        pytest.skip(reason)
    with container.booted(tmp_path_factory.mktemp("machine")) as machine:
        for name in PROGRAM:
            machine.run(shell_steps(PAGE)[name])
        write(machine, "/root/visitor.py", (ROOT / "tests/support/visitor.py").read_text())
        yield machine


@pytest.fixture
def service(machine: Container) -> Iterator[Container]:
    """The machine with the service, as if it had just been installed."""
    machine.run(AS_BEFORE)
    for name in SERVICE:
        machine.run(shell_steps(PAGE)[name])
    yield machine
    assert "Traceback" not in machine.run("journalctl --boot")


def show(machine: Container, name: str, unit: str = "pad19.service") -> str:
    return machine.run(f"systemctl show --value -p {name} {unit}").strip()


def result(machine: Container) -> tuple[str, str]:
    return show(machine, "Result"), show(machine, "ExecMainStatus")


def write(machine: Container, path: str, text: str) -> None:
    machine.run(f"mkdir -p $(dirname {path})\ncat > {path} <<'END'\n{text}\nEND")


def configure(machine: Container, text: str) -> None:
    """Put something at the end of the configuration."""
    machine.run(f"cat >> /etc/pad19/pad19.toml <<'END'\n{text}\nEND")


def journal(machine: Container, arguments: str = "") -> str:
    return machine.run(f"journalctl -u pad19.service -o cat {arguments}")


def wait_until(machine: Container, condition: str) -> None:
    machine.run(f"until {condition}; do sleep 0.05; done")


def processes(machine: Container) -> set[str]:
    """Those of the service."""
    return {*machine.run("cat /sys/fs/cgroup/system.slice/pad19.service/cgroup.procs").split()}


def test_the_manual_from_nothing_to_a_service(service: Container) -> None:
    left = {name: text for name, text in shell_steps(PAGE).items() if name not in {*PROGRAM, *SERVICE}}

    def step(name: str) -> str:
        return service.run(left.pop(name))

    # It is ready when systemctl returns.
    said = step("look")
    assert 'Status: "Serving localhost on 0.0.0.0:1965, [::]:1965"' in said
    assert "# Hello, Geminispace" in said
    assert service.run("systemctl is-enabled pad19.service pad19.socket").split() == ["enabled"] * 2
    assert show(service, "User") == "pad19"

    # The sandbox is real: no address can be reached, and pages can be served nevertheless.
    blocked = "systemd-run --quiet --wait --pipe -p IPAddressDeny=any"
    connect = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 1965), 2)'"
    service.run(f"{connect}; ! {blocked} {connect} 2>/dev/null")
    assert {*show(service, "IPAddressDeny").split()} == {"0.0.0.0/0", "::/0"}
    pid = show(service, "MainPID")
    service.run(f"! cmp -s /proc/net/dev <(nsenter -t {pid} -n cat /proc/net/dev)")
    assert service.run(f"nsenter -t {pid} -n cat /proc/net/tcp /proc/net/tcp6 | wc -l").strip() == "2"

    # Pages need nothing.
    service.run("echo '# Edited' > /srv/capsule/index.gmi")
    assert "# Edited" in service.run(GET)
    assert "reloaded" not in journal(service)

    # Messages have priorities, and what is normal has a low one.
    service.run("echo 'x: 99 no' > /srv/capsule/.meta")
    service.run(GET)
    service.run("rm /srv/capsule/.meta")
    [warning] = step("only warnings and errors").splitlines()
    assert re.search(r"pad19\[\d+\]: '?/srv/capsule/\.meta'?: line 1: ", warning), warning

    # A reload, and a restart.
    configure(service, 'lang = "en"')
    step("after a change of the configuration or a certificate")
    assert "lang=en" in service.run(f"{GET} 2>&1")
    assert "reloaded: Serving localhost" in step("was it taken over?")
    assert show(service, "MainPID") == pid
    assert re.search(r"^reloads +1 done, 0 failed$", step("how it is"), re.MULTILINE)
    step("how it is, to the journal")
    said = service.run("until journalctl -u pad19.service -o cat | grep '^reloads '; do sleep 0.1; done")
    assert "1 done, 0 failed" in said
    step("upgrade")
    assert "lang=en" in service.run(f"{GET} 2>&1")
    assert show(service, "MainPID") != pid
    back = left.pop("back to an earlier version").partition("\n")
    assert back[0] == "git checkout COMMIT"  # there is but the one version in the container
    service.run(back[2])
    assert "lang=en" in service.run(f"{GET} 2>&1")

    # Stopped, and started by a visitor.
    step("stop")
    assert result(service) == ("success", "0")
    step("only with a visitor")
    assert show(service, "ActiveState") == "inactive"
    assert "# Edited" in service.run(GET)
    assert show(service, "ActiveState") == "active"

    # A mistake in the configuration is tried once.
    service.run("sed -i.good s/hosts/hots/ /etc/pad19/pad19.toml")
    service.run("! systemctl restart pad19.service")
    assert result(service) == ("exit-code", "2")
    assert "hots is no key" in journal(service, "-p err")
    service.run("mv /etc/pad19/pad19.toml.good /etc/pad19/pad19.toml")
    step("after failures")
    assert "# Edited" in service.run(GET)

    # A log in a file.
    configure(service, '[log]\naccess = "/var/log/pad19/access.log"')
    step("rotation")
    service.run("systemctl restart pad19.service")
    service.run(f"{GET}\nsleep 1.2\nlogrotate --force /etc/logrotate.d/pad19\n{GET}\nsleep 0.5")
    lines = service.run("cd /var/log/pad19\nwc -l access.log.1 access.log\nls -ld . access.log")
    assert re.findall(r"^\s*(\d+) ", lines, re.MULTILINE) == ["1", "1", "2"]
    assert re.findall(r"^(\S{10}).* pad19 pad19 ", lines, re.MULTILINE) == ["drwx------", "-rw-------"]
    step("fail2ban")

    # With a port of its own.
    step("the plain service")
    assert "# Edited" in service.run(GET)
    assert show(service, "PrivateNetwork") == "no"
    assert show(service, "ActiveState", "pad19.socket") == "inactive"
    service.run("systemctl stop pad19.service")
    assert result(service) == ("success", "0")

    # What the other tests follow, and what this systemd is too old for.
    elsewhere = {"renew a certificate", "one more socket", "let pad19 read a key of certbot", *MOVING}
    assert left.keys() == elsewhere | {"on systemd 253 or later"}


def test_a_capsule_that_was_there_moves_in(service: Container) -> None:
    service.run("""
mkdir -p /home/ada
cd /home/ada
/opt/pad19/bin/pad19 init capsule --host example.org --title 'From home'
cd capsule
/opt/pad19/bin/pad19 cert new example.org
mkdir state
touch state/known_hosts
chmod -R go= /home/ada
""")
    bring, start, look = (shell_steps(PAGE)[name] for name in MOVING)
    service.run(bring)
    write(service, "/etc/pad19/pad19.toml", example("/etc/pad19/pad19.toml: of such a capsule"))
    service.run(start)
    assert "# From home" in service.run(look)
    assert "# Hello, Ada!" in service.run(f"{look.strip()}hello/?Ada")
    assert show(service, "PrivateNetwork") == "yes"
    fingerprints = [
        service.run(f"/opt/pad19/bin/pad19 cert show {folder}/example.org.crt | grep sha256")
        for folder in ("/home/ada/capsule/certs", "/var/lib/pad19/certs")
    ]
    assert fingerprints[0] == fingerprints[1]
    shown = service.run(f"{look.replace(' get ', ' get -v ')} 2>&1")
    assert all(line.split()[-1] in shown for line in fingerprints[0].splitlines())
    assert "pad19 pad19" in service.run("ls -l /var/lib/pad19/state/known_hosts")


def test_nobody_notices_a_reload(service: Container) -> None:
    supervisor = show(service, "MainPID")
    service.run(f"{VISITOR} load /tmp/load >/tmp/load.out 2>&1 &")
    wait_until(service, "[ -e /tmp/load.begun ]")
    for lang in ("de", "fr", "it"):
        service.run("sed -i '/^lang/d' /etc/pad19/pad19.toml")
        configure(service, f'lang = "{lang}"')
        service.run("systemctl reload pad19.service")
        # It returns when the change is served.
        assert f"lang={lang}\n" in service.run(f"{GET} 2>&1")

    # These are noticed by themselves: a certificate, more workers, a mistake.
    before = journal(service).count("reloaded: ")
    service.run(shell_steps(PAGE)["renew a certificate"].replace("example.org", "localhost"))
    wait_until(service, f'[ "$(journalctl -u pad19 -o cat | grep -c "^reloaded: ")" -gt {before} ]')
    service.run("sed -i 's/^\\[server\\]/&\\nworkers = 2/' /etc/pad19/pad19.toml")
    wait_until(service, "[ $(wc -l < /sys/fs/cgroup/system.slice/pad19.service/cgroup.procs) = 3 ]")
    configure(service, "hots = []")
    wait_until(service, "journalctl -u pad19 -o cat | grep '^not reloaded: '")
    assert "(the last reload failed)" in show(service, "StatusText")
    assert "lang=it\n" in service.run(f"{GET} 2>&1")

    seen: Counter[str] = Counter(json.loads(service.run(f"{VISITOR} wait_for /tmp/load")))
    pages = {HELLO.replace("\r", f"{lang}\r") for lang in ("", "; lang=de", "; lang=fr", "; lang=it")}
    assert seen.keys() == pages
    assert seen.total() > 100
    assert show(service, "MainPID") == supervisor
    assert show(service, "NRestarts") == "0"


def test_what_crashes_or_hangs_is_replaced(service: Container) -> None:
    # A worker. This machine has other things to do as well: the best of three counts.
    supervisor = show(service, "MainPID")
    took = [float(service.run(f"{VISITOR} crash {supervisor}")) for _ in range(3)]
    assert min(took) < PROMPT
    assert journal(service, "-p err").count("was ended by SIGKILL") == len(took)
    assert show(service, "MainPID") == supervisor

    # The supervisor: nobody is left behind, and visitors wait in the socket until it is back.
    family = processes(service)
    assert supervisor in family
    service.run(f"kill -KILL {supervisor}")
    assert "# Hello" in service.run(GET)
    assert show(service, "NRestarts") == "1"
    assert not processes(service) & family
    assert len(processes(service)) == len(family) == 2

    # It hangs: the watchdog notices, and its workers serve until then.
    write(service, "/etc/systemd/system/pad19.service.d/impatient.conf", IMPATIENT)
    service.run("systemctl daemon-reload\nsystemctl restart pad19.service")
    supervisor, family = show(service, "MainPID"), processes(service)
    service.run(f"kill -STOP {supervisor}")
    assert "# Hello" in service.run(GET)
    wait_until(service, "[ $(systemctl show --value -p NRestarts pad19.service) = 1 ]")
    assert "# Hello" in service.run(GET)
    assert "Watchdog timeout" in service.run("journalctl -u pad19.service")
    assert not processes(service) & family

    # One that hangs, but is not frozen, says where: this signal is what the watchdog sends first.
    supervisor = show(service, "MainPID")
    service.run(f"sleep 5\nkill -ABRT {supervisor}")  # which fails if it was killed without a reason
    assert "# Hello" in service.run(GET)
    assert "most recent call first" in journal(service)

    # The grace period counts, even if systemd was told to wait for less.
    service.run(f"{VISITOR} slow /tmp/connected > /tmp/answer 2>&1 &")
    wait_until(service, "[ -e /tmp/connected ]")
    service.run("systemctl stop pad19.service")
    assert result(service) == ("success", "0")
    assert "# Hello" in service.run("cat /tmp/answer")


def test_several_sockets(service: Container) -> None:
    write(
        service,
        "/etc/systemd/system/pad19.socket.d/more.conf",
        "[Socket]\nListenStream=127.0.0.1:1966\nListenStream=/run/pad19-plain.sock\n",
    )
    unit = example("/etc/systemd/system/pad19-forwarder.socket")
    write(
        service,
        "/etc/systemd/system/pad19-forwarder.socket",
        unit.replace("SocketMode", "FileDescriptorName=a name\nSocketMode"),
    )
    configure(service, '[[forwarder]]\nlisten = "unix:/run/pad19-forwarder.sock"')
    service.run("groupadd --force haproxy")
    service.run("systemctl stop pad19.socket pad19.service")
    service.run("systemctl daemon-reload\nsystemctl start pad19.socket")
    service.run(shell_steps(PAGE)["one more socket"])
    places = {"0.0.0.0:1965", "[::]:1965", "127.0.0.1:1966"}
    places |= {"unix:/run/pad19-plain.sock", "unix:/run/pad19-forwarder.sock"}
    assert {*show(service, "StatusText").partition(" on ")[2].split(", ")} == places
    assert service.run("stat -c '%A %U %G' /run/pad19-forwarder.sock").split() == [
        "srw-rw----",
        "root",
        "haproxy",
    ]

    get = "/opt/pad19/bin/pad19 get"
    for uri in ("gemini://localhost/", "gemini://localhost:1966/", "--connect [::1] gemini://localhost/"):
        assert "# Hello" in service.run(f"{get} {uri}"), uri
    service.run(f"{VISITOR} forwarded /run/pad19-forwarder.sock | grep '# Hello'")
    # From cold, and by any of them.
    service.run("systemctl stop pad19.service")
    service.run(f"{VISITOR} forwarded /run/pad19-forwarder.sock | grep '# Hello'")
    wait_until(service, "[ $(journalctl -u pad19 -o cat | grep -c '^192.0.2.0 - - ') = 2 ]")
    # They outlive the service, and a reload.
    configure(service, "[limits]\ngrace_s = 5")
    service.run("systemctl reload pad19.service")
    service.run(f"{VISITOR} forwarded /run/pad19-forwarder.sock | grep '# Hello'")
    assert {*show(service, "StatusText").partition(" on ")[2].split(", ")} == places
    service.run("systemctl disable --now pad19-forwarder.socket pad19.service")


def test_a_certificate_of_certbot_is_noticed(service: Container) -> None:
    """Folders, modes and links as certbot makes them."""
    new = "/opt/pad19/bin/pad19 cert new --client example.org --out"
    service.run(f"""
umask 022
mkdir -p /etc/letsencrypt
cd /etc/letsencrypt
mkdir -m 700 live archive
mkdir live/example.org archive/example.org
for n in 1 2; do
    {new} pair
    mv pair.crt archive/example.org/fullchain$n.pem
    mv pair.key archive/example.org/privkey$n.pem
done
for name in fullchain privkey; do
    ln -s ../../archive/example.org/${{name}}1.pem live/example.org/$name.pem
done
""")
    service.run(shell_steps(PAGE)["let pad19 read a key of certbot"])
    configure(service, lines_that_name("/etc/letsencrypt"))
    shown = f"{GET.replace(' get ', ' get --trust -v ')} 2>&1 | sed -n 's/^  certificate *//p'"
    wait_until(service, "journalctl -u pad19 -o cat | grep '^reloaded: '")
    first = service.run(shown)
    service.run("""
cd /etc/letsencrypt/live/example.org
for name in fullchain privkey; do
    rm $name.pem
    ln -s ../../archive/example.org/${name}2.pem $name.pem
done
""")
    wait_until(service, f'[ "$({shown})" != "{first.strip()}" ]')
