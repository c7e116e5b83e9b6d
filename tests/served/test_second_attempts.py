"""What could not be reloaded is tried again when it has been mended, wherever that was."""

from __future__ import annotations

import select
import signal
import socket
from pathlib import Path

import pytest

from pad19.service.attempts import RETRY
from support.capsule_folder import NOT_RELOADED, RELOADED, configure, page, received
from support.disk import read_only
from support.process import Serving, serving

pytestmark = pytest.mark.machine


def quietly(server: Serving) -> None:
    """Some more attempts are made, and nothing is said of them."""
    select.select([], [], [], 2.5 * RETRY)
    assert server.err.count(NOT_RELOADED) == 1


def test_a_folder_that_may_be_written_now(folder: Path) -> None:
    certs = folder / "certs"
    certs.mkdir()
    configure(folder, watch=True)
    with serving(folder, home=folder) as server:
        with read_only(certs):
            configure(folder, watch=True, capsule="hosts = ['localhost', 'a.example']")
            server.wait_for_err(NOT_RELOADED)
            assert "certs/a.example.key cannot be written (Read-only file system)" in server.err
            quietly(server)
        server.wait_for_err(RELOADED)
        assert received(server.address, host="a.example") == page()
        assert server.stop() == 0
        assert server.err.count(RELOADED) == 1


def test_an_address_that_is_free_now(folder: Path) -> None:
    configure(folder, watch=True)
    with serving(folder, home=folder) as server:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = taken.getsockname()
            configure(folder, watch=True, listen=f"127.0.0.1:{address[1]}")
            server.wait_for_err(NOT_RELOADED)
            quietly(server)
        server.wait_for_err(RELOADED)
        assert received(address) == page()
        assert server.stop() == 0
        assert server.err.count(RELOADED) == 1


def test_what_is_put_back_is_not_tried_any_more(folder: Path) -> None:
    configure(folder, watch=True)
    with serving(folder, home=folder) as server:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            configure(folder, watch=True, listen=f"127.0.0.1:{taken.getsockname()[1]}")
            server.wait_for_err(NOT_RELOADED)
            configure(folder, watch=True)
            server.wait_for_err(RELOADED)
        quietly(server)
        assert server.err.count(RELOADED) == 1


def test_who_does_not_want_it_is_left_alone(folder: Path) -> None:
    configure(folder)
    with serving(folder, home=folder) as server:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            configure(folder, listen=f"127.0.0.1:{taken.getsockname()[1]}")
            server.signal(signal.SIGHUP)
            server.wait_for_err(NOT_RELOADED)
        quietly(server)
        assert RELOADED not in server.err
