"""Starts that fail for want of something that may be there the next time: their exit status says so."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support.capsule_folder import make_folder
from support.disk import fill_up, small_disk
from support.process import COMMAND, PATIENCE, command
from support.users import NOBODY

pytestmark = pytest.mark.machine

LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


def start(*launcher: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Of a server that fails."""
    return subprocess.run(
        [*launcher, *COMMAND, "serve", str(folder)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=os.environ | {"HOME": str(folder)},
    )


@pytest.mark.parametrize("descriptors", range(6, 20))
def test_too_few_descriptors(folder: Path, descriptors: int) -> None:
    """Wherever they run out: for shared memory, for the configuration, for signals, for workers."""
    done = start(sys.executable, "-c", LIMITED, str(descriptors), folder=folder)
    assert done.returncode == 1, done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("pad19: ")
    assert f"({os.strerror(errno.EMFILE)})" in line


def test_no_process_to_be_had() -> None:
    if os.geteuid() != 0 or not shutil.which("prlimit") or not shutil.which("setpriv"):
        pytest.skip("limits of processes are for other users than root, and only root can become one")
    other = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        done = start("prlimit", "--nproc=0", *other, folder=make_folder(Path(name)))
    assert (done.returncode, done.stderr) == (
        1,
        "pad19: a worker cannot be started (Resource temporarily unavailable)\n",
    )


def test_a_worker_that_is_killed_is_no_mistake_in_the_configuration(folder: Path) -> None:
    (folder / "site").mkdir()
    (folder / "site/sitecustomize.py").write_text(
        "import os, sys\nif sys.orig_argv[-2].endswith('worker_process'):\n    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [*COMMAND, "serve", str(folder)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=os.environ | {"HOME": str(folder), "PYTHONPATH": str(folder / "site")},
    )
    assert done.returncode == 1
    assert "was ended by SIGKILL" in done.stderr


def test_no_room_for_a_certificate(folder: Path) -> None:
    certs = folder / "certs"
    certs.mkdir()
    with small_disk(certs):
        fill_up(certs / "full")
        done = command("serve", str(folder), home=folder)
        assert (done.returncode, done.stderr) == (
            1,
            f"pad19: {certs}/localhost.key cannot be written (No space left on device); "
            "make room there, or name another folder\n",
        )
        # With a mistake besides, another start would not help.
        (folder / "pad19.toml").write_text("[log]\naccess = 'none/access.log'\n")
        assert command("serve", str(folder), home=folder).returncode == 2
