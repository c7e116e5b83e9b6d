"""Where a thread hangs that should beat."""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pad19.service import stalls
from pad19.service.fleet import SILENCE
from pad19.service.stalls import PATIENCE, SECOND_LOOK, Stalls
from support.waiting import wait_until

LOOK = 0.01  # seconds


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(stalls, "SECOND_LOOK", LOOK)
    caplog.set_level(logging.INFO)


@contextmanager
def hanging(go_on: threading.Event, *, beats: bool = False) -> Iterator[None]:
    def hang() -> None:
        stalls = Stalls(5 * LOOK)
        while not go_on.wait(LOOK if beats else 10):
            stalls.beat()
        stalls.close()

    thread = threading.Thread(target=hang)
    thread.start()
    try:
        yield
    finally:
        go_on.set()
        thread.join()


def test_there_is_time_to_say_it() -> None:
    assert PATIENCE + 2 * SECOND_LOOK < SILENCE


def test_who_hangs_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    go_on = threading.Event()
    with hanging(go_on):
        wait_until(lambda: len(caplog.messages), 1)
        assert not go_on.wait(20 * LOOK)
    [message] = caplog.messages
    where = rf"{re.escape(__file__)}, line \d+, in hang"
    assert re.fullmatch(
        rf"a worker has served nobody for 0\.05 seconds, since it is at {where}: await what takes long, .*",
        message,
    )


def test_who_beats_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    go_on = threading.Event()
    with hanging(go_on, beats=True):
        assert not go_on.wait(30 * LOOK)
    assert not caplog.messages
