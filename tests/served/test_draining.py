"""Connections that are open when a reload or a stop comes."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from support.capsule_folder import (
    LARGE,
    assert_whole,
    configure,
    is_refused,
    page,
    received,
    reload,
    slow_download,
)
from support.process import connect_socket, read_rest, serving
from support.waiting import wait_for_end, wait_for_workers, wait_until

pytestmark = pytest.mark.machine


@pytest.mark.parametrize("workers", [1, 2])
def test_downloads_outlive_reloads_and_the_stop(folder: Path, workers: int) -> None:
    configure(folder, workers=workers)
    with serving(folder, home=folder) as server, ExitStack() as stack:
        address = server.address
        streams = []
        for lang in ("de", "fr", "it"):
            streams.append(stack.enter_context(slow_download(address)))
            configure(folder, lang=lang, workers=workers)
            reload(server)
            assert received(address) == page(lang)
        streams.append(stack.enter_context(slow_download(address)))
        server.signal(signal.SIGTERM)
        wait_until(lambda: is_refused(address))
        for stream in streams:
            assert_whole(stream)
        assert server.wait() == 0


def test_the_grace_period_ends_after_a_reload_too(folder: Path) -> None:
    configure(folder, rest="[limits]\ngrace_s = 0.2")
    with serving(folder, home=folder) as server, slow_download(server.address) as stream:
        worker = server.worker
        configure(folder, lang="de")
        reload(server)
        wait_for_end([worker])
        assert received(server.address) == page("de")
        rest = read_rest(stream)
        assert not rest.clean
        assert len(rest.received) < LARGE
        record = server.records(1)[0]
        assert (record["reason"], record["status"]) == ("server stopped", 20)


def test_clients_that_wait_in_the_queue_are_served_at_the_stop(folder: Path) -> None:
    with serving(folder, home=folder) as server, ExitStack() as stack:
        os.kill(server.worker, signal.SIGSTOP)
        streams = [stack.enter_context(connect_socket(server.address)) for _ in range(5)]
        for stream in streams:
            stream.sendall(b"\x16")  # so that the kernel has it wait for the worker
        worker = server.worker
        server.signal(signal.SIGTERM)
        os.kill(worker, signal.SIGCONT)
        server.wait_for_err("stopping: open connections (5)")
        for stream in streams:
            stream.close()
        assert server.wait() == 0
        assert len(server.records(5)) == 5


def test_a_stop_while_a_reload_is_under_way_leaves_nothing_behind(folder: Path) -> None:
    path = folder / "new.sock"
    configure(folder, rest="[limits]\ngrace_s = 0.1")
    with serving(folder, home=folder) as server:
        [old] = server.workers
        configure(folder, listen=f"unix:{path}", rest="[limits]\ngrace_s = 0.1")
        server.signal(signal.SIGHUP)
        [pilot] = {*wait_for_workers(server, 2)} - {old}
        os.kill(pilot, signal.SIGSTOP)  # so that it does not become ready
        assert path.exists()
        server.signal(signal.SIGTERM)
        wait_for_end([old])
        with suppress(ProcessLookupError):
            os.kill(pilot, signal.SIGCONT)
        assert server.wait() == 0
        assert not path.exists()
        assert "reloaded" not in server.err
