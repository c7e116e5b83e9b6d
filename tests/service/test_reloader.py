import os

import pytest

from pad19.service.config.capsule import Capsule
from pad19.service.config.model import Config, Server
from pad19.service.reloader import MAX_WORKERS, worker_count

COUNTS = [  # as configured, cores that this process may use, how many there are
    (1, 4, 1),
    (3, 1, 3),
    (0, 1, 1),
    (0, 4, 4),
    (0, 1000, MAX_WORKERS),
]


@pytest.mark.parametrize("system_tells", [True, False])
@pytest.mark.parametrize(("configured", "cores", "expected"), COUNTS)
def test_how_many_workers_there_are(
    configured: int, cores: int, expected: int, system_tells: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if system_tells:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {*range(cores)}, raising=False)
    else:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: cores)
    config = Config(capsules=(Capsule(),), server=Server(workers=configured))
    assert worker_count(config) == expected
