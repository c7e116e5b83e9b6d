"""Reloading by SIGHUP: whatever is configured is served, and nobody notices."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from support.capsule_folder import (
    NOT_SERVED,
    RELOADED,
    assert_whole,
    configure,
    is_refused,
    make_folder,
    page,
    received,
    reload,
    reload_in_vain,
    slow_download,
    write_pair,
)
from support.process import Address, Serving, connect_socket, fingerprint, serving
from support.tls import self_signed
from support.waiting import wait_for_end, wait_for_workers

pytestmark = pytest.mark.machine


@pytest.mark.parametrize("workers", [1, 2])
def test_a_new_configuration_is_served(folder: Path, workers: int) -> None:
    configure(folder, workers=workers)
    with serving(folder, home=folder) as server:
        first = server.workers
        for lang in ("de", "fr"):
            configure(folder, lang=lang, workers=workers)
            reload(server)
            wait_for_end(first)
            first = wait_for_workers(server, workers)
            assert {received(server.address) for _ in range(2 * workers)} == {page(lang)}
        assert server.err.count("Listening on") == 1
        assert server.stop() == 0
        wait_for_end(first)


def test_reloading_nothing_new(folder: Path) -> None:
    with serving(folder, home=folder) as server:
        port = server.address[1]
        reload(server)
        assert f"{RELOADED}localhost on 127.0.0.1:{port}\n" in server.err
        assert received(server.address) == page()


def test_impatience(folder: Path) -> None:
    with serving(folder, home=folder) as server:
        configure(folder, lang="de")
        for _ in range(20):
            server.signal(signal.SIGHUP)
        server.wait_for_err(RELOADED)
        assert received(server.address) == page("de")
        assert server.stop() == 0
        assert server.err.count(RELOADED) <= 3  # not one for each


def test_certificates_are_read_again(folder: Path) -> None:
    configure(folder, capsule="certificate = 'a.crt'\nkey = 'a.key'")
    old, new = self_signed(), self_signed(padding=1)
    write_pair(folder, old)
    with serving(folder, home=folder) as server, slow_download(server.address) as stream:
        assert fingerprint(server.address) == old.fingerprint
        write_pair(folder, new)
        assert fingerprint(server.address) == old.fingerprint
        reload(server)
        assert fingerprint(server.address) == new.fingerprint
        assert_whole(stream)


def test_hosts_come_and_go(folder: Path) -> None:
    hosts = "hosts = ['localhost', '{}']".format
    configure(folder, capsule=hosts("a.example"))
    with serving(folder, home=folder) as server:
        first = fingerprint(server.address, "a.example")
        configure(folder, capsule=hosts("b.example"), workers=2)
        reload(server)
        assert received(server.address, host="b.example") == page()
        assert received(server.address, host="a.example") == NOT_SERVED
        certificate = x509.load_pem_x509_certificate((folder / "certs/b.example.crt").read_bytes())
        shown = fingerprint(server.address, "b.example")
        assert shown == f"sha256:{certificate.fingerprint(SHA256()).hex()}"
        assert f"{RELOADED}localhost, b.example on" in server.err
        configure(folder, capsule=hosts("a.example"))
        reload(server)
        assert fingerprint(server.address, "a.example") == first  # its certificate has stayed


def places(server: Serving) -> list[Address]:
    """Where it listens since the last reload."""
    *_, last = server.err.splitlines()
    assert last.startswith(RELOADED), last
    return [(host, int(port)) for host, port in re.findall(r"(127[\d.]+):(\d+)", last)]


def test_addresses_come_and_go(folder: Path) -> None:
    path = folder / "pad19.sock"
    with serving(folder, home=folder) as server:
        first = server.address
        with slow_download(first) as stream:
            configure(folder, listen=f"unix:{path}")
            reload(server)
            assert received(path) == page()
            assert is_refused(first)
            assert_whole(stream)
        configure(folder, listen="127.0.0.2:0")
        reload(server)
        [second] = places(server)
        assert second[0] == "127.0.0.2"
        assert received(second) == page()
        assert not path.exists()
        configure(folder, listen=f"0.0.0.0:{second[1]}")  # of which that one is a part
        reload(server)
        for host in ("127.0.0.1", "127.0.0.2"):
            assert received((host, second[1])) == page()
        configure(folder, listen=f"127.0.0.1:{second[1]}")
        reload(server)
        assert received(("127.0.0.1", second[1])) == page()
        assert is_refused(second)
        assert server.stop() == 0


def test_sockets_whose_files_were_removed_are_made_again(folder: Path) -> None:
    configure(folder, listen=f"127.0.0.1:0', 'unix:{folder}/a.sock", rest="[metrics]\nlisten = 'unix:m.sock'")
    with serving(folder, home=folder) as server:
        for _ in range(2):
            for name in ("a.sock", "m.sock"):
                (folder / name).unlink()
            reload(server)
            assert received(folder / "a.sock") == page()
            connect_socket(folder / "m.sock").close()
        assert server.stop() == 0
    assert not [*folder.glob("*.sock")]


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    folder = configure(make_folder(tmp_path / os.fsdecode(b"caf\xe9")), watch=True)
    with serving(folder, home=tmp_path) as server:
        assert received(server.address) == page()
        configure(folder, lang="de", watch=True)
        reload(server)
        assert received(server.address) == page("de")
        (folder / "certs/localhost.key").write_text("")
        [problem] = reload_in_vain(server)
        assert "localhost.key is empty" in problem
        assert server.stop() == 0
