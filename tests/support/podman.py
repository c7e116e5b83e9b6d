"""Podman without a registry and without a network: images are built on `container`'s machine."""

from __future__ import annotations

import hashlib
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import container
from .container import checked

PROGRAMS = ("podman", "tar", "unshare", "nsenter")
SECONDS = 300.0  # for one command
RUN = Path("/run/pad19-tests")  # a storage belongs to one such folder for good
# What runs containers does not know a machine with both versions of control groups.
ONLY_VERSION_2 = """
umount --recursive /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
echo ready
exec cat
"""


def missing() -> str:
    """Why there can be no Podman here; "" if there can."""
    if reason := container.missing():
        return reason
    lacking = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


class Podman:
    """Its commands, with a storage of our own."""

    def __init__(self, prefix: list[str], folder: Path, wheels: Path) -> None:
        """``prefix``: in front of each command. ``folder``: for files that do not last."""
        self._prefix = prefix
        self._global = [f"--root={container.cache() / 'podman'}", f"--runroot={RUN}"]
        self._folder = folder
        self._wheels = wheels
        # Podman would raise limits, which takes more rights than root has in some sandboxes.
        limits = (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC))
        hard = {name: min(resource.getrlimit(number)[1], 16384) for name, number in limits}
        self._limits = [f"--ulimit={name}={limit}:{limit}" for name, limit in hard.items()]

    def __call__(self, *arguments: str | Path) -> str:
        """Run a command, which must succeed; what it prints. ``run`` has no network but loopback."""
        first, *rest = map(str, arguments)
        if first == "run":
            rest = ["--network=none", "--cgroups=disabled", *self._limits, *rest]
        return checked([*self._prefix, "podman", *self._global, first, *rest], SECONDS)

    def import_base(self, machine: Path) -> str:
        """The name of an image that is the machine."""
        name = f"localhost/pad19-base:{hashlib.sha256(container.RECIPE.encode()).hexdigest()[:12]}"
        if name not in self("images", "--format={{.Repository}}:{{.Tag}}").split():
            archive = self._folder / "base.tar"
            checked(["tar", "-C", str(machine), "-cf", str(archive), "--one-file-system", "."], SECONDS)
            self("import", archive, name)
            archive.unlink()
        return name

    def build(self, base: str, checkout: Path, *arguments: str) -> str:
        """Build `deploy/Containerfile`; the image's name. ``arguments``: besides those that a test needs."""
        settings = self._folder / "pip.conf"
        settings.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
        name = f"localhost/pad19-test{len([*self._folder.glob('image-*')])}"
        (self._folder / f"image-{name.rpartition('/')[2]}").touch()
        self(
            "build", "--quiet", "--pull=never", "--isolation=chroot", *self._limits,
            f"--build-arg=PYTHON={base}", f"--volume={self._wheels}:/wheels:ro",
            f"--volume={settings}:/etc/pip.conf:ro", f"--tag={name}", *arguments,
            f"--file={checkout / 'deploy/Containerfile'}", checkout,
        )  # fmt: skip
        return name

    def clean(self, base: str) -> None:
        """Remove all containers, volumes and images but the base."""
        self("rm", "--all", "--force", "--volumes", "--time=0")
        self("volume", "prune", "--force")
        images = {*self("images", "--all", "--quiet", "--no-trunc").split()}
        if others := images - {*self("images", "--quiet", "--no-trunc", base).split()}:
            self("rmi", "--force", *others)


@contextmanager
def podman(folder: Path) -> Iterator[tuple[Podman, str]]:
    """Podman, and the name of an image to build on. What is built and run is removed in the end."""
    with container.parts() as (machine, wheels), _namespace() as prefix:
        podman = Podman(prefix, folder, wheels)
        base = podman.import_base(machine)
        podman.clean(base)  # after a run that was interrupted
        try:
            yield podman, base
        finally:
            podman.clean(base)


@contextmanager
def _namespace() -> Iterator[list[str]]:
    """What to put in front of commands, so that the containers they start find what they need."""
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        yield []
        return
    with subprocess.Popen(
        ["unshare", "--mount", "/bin/sh", "-euc", ONLY_VERSION_2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        try:
            assert holder.stdout.readline() == b"ready\n"
            yield ["nsenter", f"--target={holder.pid}", "--mount", "--wd=/"]
        finally:
            holder.stdin.close()
