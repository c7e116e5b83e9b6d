"""A machine whose clock on the wall is wrong, or jumps."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest

from support.capsule_folder import configure, page, received, reload
from support.process import CHUNK, PATIENCE, command, connect_tls, fingerprint, gemini, read_rest, serving

pytestmark = pytest.mark.machine

# The C library's clock on the wall, moved by the seconds that a file holds. All other clocks are left alone.
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long offset(void) {
    long seconds = 0;
    FILE *file = fopen(getenv("PAD19_TEST_CLOCK"), "re");
    if (file && fscanf(file, "%ld", &seconds) != 1) seconds = 0;
    if (file) fclose(file);
    return seconds;
}

int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(which, now);
    if (!status && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += offset();
    return status;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    int status = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return status;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}
"""
DAY = 86_400  # seconds


class WallClock:
    """What a server takes for the time."""

    def __init__(self, folder: Path) -> None:
        library = folder / "clock.so"
        (folder / "clock.c").write_text(CLOCK)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, folder / "clock.c", "-ldl"], check=True)
        self._file = folder / "clock"
        self.environment = {"LD_PRELOAD": str(library), "PAD19_TEST_CLOCK": str(self._file)}
        self.move(0)

    def move(self, seconds: int) -> None:
        """By so many seconds from the real time."""
        new = self._file.with_name("clock.new")
        new.write_text(str(seconds))
        new.replace(self._file)
        self._now = time.time() + seconds

    def is_near(self, moment: str) -> bool:
        """Whether it was about then that it was moved the last time (ISO 8601)."""
        return abs(datetime.fromisoformat(moment).timestamp() - self._now) < 2 * PATIENCE


@pytest.fixture
def clock(folder: Path) -> WallClock:
    if not shutil.which("cc"):
        pytest.skip("a clock that can be moved takes a C compiler")
    return WallClock(folder)


def test_a_clock_that_begins_in_1970(folder: Path, clock: WallClock) -> None:
    configure(folder, rest="[limits]\nrate = '4/1h'")
    clock.move(-int(time.time()))
    with serving(folder, home=folder, environment=clock.environment) as server:
        assert "made just now, valid until 2069-12-31" in server.err
        shown = fingerprint(server.address)
        assert received(server.address) == page()
        clock.move(0)  # the network is there, and somebody knows the time
        assert received(server.address) == page()
        (folder / "content/index.gmi").write_text("# Pad 20\n")
        assert received(server.address) == page().replace(b"19", b"20")
        assert re.fullmatch(rb"44 \d+\r\n", received(server.address))
        reload(server)
        assert fingerprint(server.address) == shown
        records = server.records(5)
        assert records[1]["time"].startswith("1970-01-01T00:00:")
        assert clock.is_near(records[2]["time"])
        assert server.stop() == 0


@pytest.mark.parametrize("jump", [-400 * DAY, -3600, 3600, 400 * DAY])
def test_a_clock_that_jumps(folder: Path, clock: WallClock, jump: int) -> None:
    limit = 1.0  # seconds
    configure(folder, rest=f"[limits]\nrequest_s = {limit}\nrate = '5/1h'")
    with serving(folder, home=folder, environment=clock.environment) as server:
        assert received(server.address) == page()
        worker = server.worker
        with connect_tls(server.address) as slow, connect_tls(server.address) as silent:
            begin = time.monotonic()
            clock.move(jump)
            slow.sendall(f"{gemini(server.address)}\r\n".encode())
            assert slow.recv(CHUNK) == page()
            assert read_rest(silent).received == b""
            assert limit * 0.9 < time.monotonic() - begin < limit + PATIENCE / 2
        assert received(server.address) == page()
        (folder / "content/index.gmi").write_text("# Pad 20\n")
        assert received(server.address) == page().replace(b"19", b"20")
        # It is an hour since nobody's first visit.
        assert re.fullmatch(rb"44 \d+\r\n", received(server.address))
        records = server.records(6)
        assert all(0 <= record["duration_ms"] < 1000 * PATIENCE for record in records)
        assert records[2]["reason"] == "request timeout"
        assert clock.is_near(records[3]["time"])
        assert server.workers == [worker]
        status = command("status", str(folder), home=folder).stdout
        assert re.match(r"pad19 \S+, up \d+(\.\d)? s,", status)
        assert server.stop() == 0
