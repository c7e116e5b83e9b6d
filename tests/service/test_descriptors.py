import resource
import socket
import subprocess
import sys

import pytest

from pad19.service.descriptors import BESIDES, Spare, make_room
from support.descriptors import no_descriptors


class Limits:
    """A process whose limits are just two numbers."""

    def __init__(self, soft: int, hard: int) -> None:
        self.now = (soft, hard)

    def getrlimit(self, _which: int) -> tuple[int, int]:
        return self.now

    def setrlimit(self, _which: int, limits: tuple[int, int]) -> None:
        self.now = limits


@pytest.mark.parametrize(
    ("soft", "hard", "after", "complains"),
    [
        (1024, 1_000_000, 2 * 4096 + BESIDES, False),
        (1024, resource.RLIM_INFINITY, 2 * 4096 + BESIDES, False),
        (1024, 4096 + BESIDES, 4096 + BESIDES, True),  # not when all of them fetch files at once
        (1_000_000, 1_000_000, 1_000_000, False),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY, False),
        (1024, 2048, 2048, True),
        (1024, 1024, 1024, True),
    ],
)
def test_room_is_made(
    soft: int,
    hard: int,
    after: int,
    complains: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = Limits(soft, hard)
    monkeypatch.setattr(resource, "getrlimit", limits.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", limits.setrlimit)
    make_room(4096)
    assert limits.now == (after, hard)
    assert ("LimitNOFILE=" in caplog.text) == complains


OCCUPY = """
import os, sys
from pad19.service.descriptors import occupy_standard
report = os.dup(2)
for fd in map(int, sys.argv[1]):
    os.close(fd)
occupy_standard()
places = [os.readlink(f"/proc/self/fd/{fd}") for fd in range(3)]
os.write(report, repr([place == os.devnull for place in places]).encode())
for fd in range(3):
    assert os.get_inheritable(fd)
if "1" in sys.argv[1]:
    try:
        os.write(1, b"")
    except OSError as error:
        os.write(report, error.strerror.encode())
"""


@pytest.mark.parametrize("closed", ["", "0", "1", "2", "01", "12", "012"])
def test_nothing_else_takes_the_place_of_standard_descriptors(closed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OCCUPY, closed],
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = repr([str(fd) in closed for fd in range(3)])
    assert done.stderr == expected + ("Bad file descriptor" if "1" in closed else "")


def test_a_client_that_there_is_no_descriptor_for() -> None:
    spare = Spare()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(2):  # it has got its spare one back
            with socket.socket() as client:
                client.settimeout(5)
                with no_descriptors():
                    client.connect(listener.getsockname())
                    with pytest.raises(OSError, match="Too many open files"):
                        listener.accept()
                    spare.turn_away(listener)
                    assert client.recv(1) == b""
    spare.close()
    spare.close()


def test_a_spare_one_that_was_not_to_be_had() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.settimeout(5)
        with no_descriptors():
            spare = Spare()
            client.connect(listener.getsockname())
            spare.turn_away(listener)  # in vain
        spare.turn_away(listener)
        assert client.recv(1) == b""
    spare.close()
