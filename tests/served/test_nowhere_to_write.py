"""A server that cannot write: its certificates, or anything at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.capsule_folder import configure, page, received, reload, reload_in_vain
from support.disk import read_only, unmount
from support.namespaces import isolated
from support.process import command, fingerprint, serving
from support.waiting import kill_worker

pytestmark = pytest.mark.machine


def test_certificates_that_cannot_be_written(folder: Path) -> None:
    certs = folder / "certs"
    certs.mkdir()
    with read_only(certs):
        done = command("serve", str(folder), home=folder)
        assert done.returncode == 2
        assert re.fullmatch(
            r"pad19: /\S+/certs/localhost\.key cannot be written \(Read-only file system\); "
            r"mount it to be written to \(for systemd: ReadWritePaths=\), or name another folder\n",
            done.stderr,
        )
    with serving(folder, home=folder) as server:
        shown = fingerprint(server.address)
    with read_only(certs), serving(folder, home=folder) as server:
        assert fingerprint(server.address) == shown
        configure(folder, capsule="hosts = ['localhost', 'a.example']")
        [problem] = reload_in_vain(server)
        assert "certs/a.example.key cannot be written (Read-only file system)" in problem
        assert received(server.address) == page()
        kill_worker(server)
        assert received(server.address) == page()
        unmount(certs)
        reload(server)
        assert received(server.address, host="a.example") == page()
        assert fingerprint(server.address) == shown
        assert server.stop() == 0


def test_a_machine_with_no_place_to_write(folder: Path) -> None:
    points = {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()}
    places = ["/", *sorted(points & {"/tmp", "/var/tmp", "/run", "/dev/shm"})]  # noqa: S108 - that is where others write
    launcher = isolated("\n".join(f"mount -o remount,bind,ro {place}" for place in places), "--mount")
    environment = {"TMPDIR": str(folder), "RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": ""}
    with serving(folder, home=folder):
        pass  # it makes a certificate
    with serving(folder, home=folder, launcher=launcher, environment=environment) as server:
        with pytest.raises(OSError, match="Read-only"):
            Path(f"/proc/{server.pid}/root{folder}/file").touch()
        server.wait_for_err("`pad19 status` will not work: there is no folder that sockets can be made in")
        assert received(server.address) == page()
        reload(server)
        kill_worker(server)
        assert received(server.address) == page()
        assert server.stop() == 0
