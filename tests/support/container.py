"""A Debian machine without a network, in a container: made once, booted with its own systemd."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ("systemd-nspawn", "debootstrap", "nsenter", "setpriv")
SUITE = "bookworm"
PYTHON = "3.11"  # of that suite
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,logrotate"
# What makes it; another recipe makes another machine.
RECIPE = f"debootstrap --variant=minbase --include={PACKAGES} {SUITE}\n"
MAKING = 600.0  # seconds, with a slow mirror
BOOT = 60.0  # seconds until its systemd is ready
COMMAND = 120.0  # seconds for one command in it
HALT = 20.0  # seconds


def missing() -> str:
    """Why there can be no container here; "" if there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "booting a container needs root on Linux"
    lacking = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


def cache() -> Path:
    """Where machine and wheels stay between runs."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return Path(given if given.startswith("/") else "/var/cache") / "pad19-tests"


@contextmanager
def parts() -> Iterator[tuple[Path, Path]]:
    """The folders of the machine and of the wheels.

    For one run at a time: two of these containers would share a control group.
    """
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield _machine(folder), _wheels(folder)


def _machine(cache: Path) -> Path:
    """The folder of the machine, made anew if it is missing or not whole."""
    machine = cache / SUITE
    if _is_whole(machine):
        return machine
    shutil.rmtree(machine, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="making-") as name:
        making = Path(name, SUITE)
        packages = cache / "packages"
        packages.mkdir(exist_ok=True)
        command = [*RECIPE.split()[:-1], f"--cache-dir={packages}", SUITE, str(making)]
        checked(command, MAKING)
        (making / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        (making / "recipe").write_text(RECIPE)
        making.rename(machine)
    return machine


def _is_whole(machine: Path) -> bool:
    try:
        if (machine / "recipe").read_text() != RECIPE:
            return False
        for command in (["python3", "-c", "import ensurepip, venv"], ["systemctl", "--version"]):
            checked(["chroot", str(machine), *command], COMMAND)
    except (OSError, subprocess.SubprocessError, AssertionError):
        return False
    return True


def _wheels(cache: Path) -> Path:
    """All that `pip install .` needs in the machine, except for this project."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = "\n".join([*table["build-system"]["requires"], *table["project"]["dependencies"]])
    wheels = cache / "wheels"
    stamp = wheels / "wanted"
    if stamp.exists() and stamp.read_text() == wanted:
        return wheels
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir()
    # Each is a glibc that the machine's is not older than.
    platforms = [f"manylinux{glibc}_{platform.machine()}" for glibc in ("2014", "_2_28", "_2_34")]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--only-binary=:all:",
        "--dest",
        str(wheels),
    ]
    command += [
        "--python-version",
        PYTHON,
        *(f"--platform={name}" for name in platforms),
        *wanted.split("\n"),
    ]
    checked(command, MAKING)
    stamp.write_text(wanted)
    return wheels


def checked(command: list[str], seconds: float, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
        env=env,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout


class Container:
    """A machine that runs. The project lies in /root/pad19, as a checkout would."""

    def __init__(self, leader: int) -> None:
        self._leader = leader  # its first process, by the number that it has here

    def run(self, script: str, seconds: float = COMMAND) -> str:
        """Have root's shell run commands, which must succeed; what they print."""
        namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid"]
        shell = ["/bin/bash", "-euc", f"cd /root/pad19\n{script}"]
        env = {
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SYSTEMD_PAGER": "",
            # pip finds in a folder what it would find in the index.
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": "/wheels",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        return checked(["nsenter", f"--target={self._leader}", *namespaces, *shell], seconds, env)


@contextmanager
def booted(folder: Path) -> Iterator[Container]:
    """A machine from its boot to its end; nothing that happens in it lasts. ``folder``: for our own files."""
    with contextlib.ExitStack() as stack:
        machine, wheels = stack.enter_context(parts())
        notify = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        notify.bind(str(folder / "notify"))
        notify.settimeout(BOOT)
        console = stack.enter_context((folder / "console").open("w+b"))
        process = stack.enter_context(
            subprocess.Popen(
                [
                    # Whatever becomes of us, it ends with us.
                    "setpriv", "--pdeathsig", "KILL",
                    "systemd-nspawn", "--quiet", "--boot", f"--directory={machine}", "--volatile=overlay",
                    "--machine=pad19-test", "--private-network",
                    # There is no systemd around it that could have a say.
                    "--register=no", "--keep-unit", "--notify-ready=yes",
                    # What IPAddressDeny= is made of.
                    "--capability=CAP_BPF,CAP_NET_ADMIN", "--system-call-filter=bpf",
                    f"--bind-ro={wheels}:/wheels", f"--bind={checkout(folder)}:/root/pad19",
                    "--console=pipe", "--link-journal=no", "--resolv-conf=off", "--timezone=off",
                ],
                env={
                    "PATH": os.environ["PATH"],
                    "NOTIFY_SOCKET": str(folder / "notify"),
                    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",  # control groups as in today's Debian
                },
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        )  # fmt: skip
        stack.callback(_end, process)
        leader = _wait_for_boot(notify, folder / "console")
        yield Container(leader)


def checkout(folder: Path) -> Path:
    """The project without what is not part of it."""
    target = folder / "checkout"
    for name in ("server", "capsule", "deploy"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)
    return target


def _wait_for_boot(notify: socket.socket, console: Path) -> int:
    leader = 0
    try:
        while True:
            for line in notify.recv(4096).decode().splitlines():
                name, _, value = line.partition("=")
                if name == "X_NSPAWN_LEADER_PID":
                    leader = int(value)
                if name == "READY" and leader:
                    return leader
    except TimeoutError:
        pytest.fail(f"the container did not boot:\n{console.read_text('utf-8', 'replace')[-4000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)  # it shuts the machine down
    try:
        process.wait(HALT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
