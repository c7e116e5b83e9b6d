"""A server that somebody has started in a terminal."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.capsule_folder import RELOADED, assert_whole, configure, page, received, reload, slow_download
from support.process import Serving, serving

pytestmark = pytest.mark.machine

# Makes a terminal the controlling one. With "nohup" its end is ignored, as nohup(1) has it.
ATTACH = """
import fcntl, os, signal, sys, termios
os.setsid()
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
if sys.argv[2] == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.argv[3], sys.argv[3:])
"""


@contextmanager
def on_terminal(folder: Path, how: str = "") -> Iterator[tuple[Serving, Callable[[], None]]]:
    """A server on a terminal of its own, and what closes that terminal."""
    ours, theirs = os.openpty()
    os.set_inheritable(theirs, True)
    left = [ours]

    def close() -> None:
        os.close(left.pop())

    launcher = [sys.executable, "-c", ATTACH, str(theirs), how]
    try:
        with serving(folder, home=folder, launcher=launcher, descriptors=[theirs]) as server:
            os.close(theirs)
            theirs = -1
            yield server, close
    finally:
        if theirs >= 0:
            os.close(theirs)
        while left:
            close()


def test_a_terminal_that_closes_stops_the_server(folder: Path) -> None:
    with on_terminal(folder) as (server, close), slow_download(server.address) as stream:
        close()
        server.wait_for_err("the terminal was closed: stopping")
        server.wait_for_err("stopping: open connections (1)")
        assert_whole(stream)  # as at any other stop
        assert server.wait() == 0
        assert "reloaded" not in server.err


def test_with_a_terminal_the_signal_reloads(folder: Path) -> None:
    with on_terminal(folder) as (server, _):
        configure(folder, lang="de")
        reload(server)
        assert received(server.address) == page("de")


def test_who_outlives_the_terminal_is_reloaded(folder: Path) -> None:
    with on_terminal(folder, "nohup") as (server, close):
        configure(folder, lang="de")
        close()
        server.wait_for_err(RELOADED)
        assert received(server.address) == page("de")
        configure(folder, lang="fr")
        reload(server)
        assert received(server.address) == page("fr")
        assert server.stop() == 0


def test_ctrl_c_reaches_the_supervisor_alone(folder: Path) -> None:
    with on_terminal(folder) as (server, _), slow_download(server.address) as stream:
        group = os.getpgid(server.pid)
        assert [os.getpgid(pid) for pid in server.workers] != [group]
        os.killpg(group, signal.SIGINT)
        server.wait_for_err("stopping: open connections (1)")
        assert_whole(stream)
        assert server.wait() == 0
