import os
import subprocess
import sys

import pytest

from pad19.service import shared_memory
from support.disk import descriptors, small_files


@pytest.fixture(params=["memfd", "file"])
def _system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With memfd_create(2), and without."""
    if request.param == "file":
        monkeypatch.delattr(os, "memfd_create")


@pytest.mark.usefixtures("_system")
@pytest.mark.parametrize("size", [1, 4096, 100_000])
def test_it_is_all_zero_at_first(size: int) -> None:
    fd = shared_memory.create("test", size)
    try:
        assert not os.get_inheritable(fd)
        with shared_memory.attach(fd) as memory:
            assert memory[:] == bytes(size)
    finally:
        os.close(fd)


@pytest.mark.usefixtures("_system")
def test_two_see_the_same() -> None:
    fd = shared_memory.create("test", 4096)
    ours, theirs = shared_memory.attach(fd), shared_memory.attach(fd)
    os.close(fd)
    with ours, theirs:
        ours[4095] = 19
        assert theirs[4095] == 19


@pytest.mark.usefixtures("_system")
def test_another_process_sees_the_same() -> None:
    fd = shared_memory.create("test", 4096)
    program = (
        "import sys; from pad19.service import shared_memory\n"
        "with shared_memory.attach(int(sys.argv[1])) as memory: memory[0] += 1"
    )
    try:
        with shared_memory.attach(fd) as memory:
            memory[0] = 18
            subprocess.run([sys.executable, "-c", program, str(fd)], pass_fds=[fd], check=True)
            assert memory[0] == 19
    finally:
        os.close(fd)


@pytest.mark.usefixtures("_system")
def test_what_cannot_be_had_leaves_nothing_open() -> None:
    before = descriptors()
    with small_files(1024), pytest.raises(OSError, match="File too large"):
        shared_memory.create("test", 4096)
    assert descriptors() == before


@pytest.mark.usefixtures("_system")
def test_it_has_no_name_that_could_stay_behind() -> None:
    fd = shared_memory.create("test", 0)
    try:
        assert os.fstat(fd).st_nlink == 0
    finally:
        os.close(fd)
