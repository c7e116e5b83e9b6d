"""A supervisor whose workers are puppets. What it does with real ones is seen with whole servers."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

import pytest

from pad19.service import fleet, signals, supervisor
from pad19.service.config.capsule import Capsule
from pad19.service.config.listen import Listen
from pad19.service.config.model import Config, Server
from pad19.service.handover import Closed, Ready, Report, Shown
from pad19.service.logs import messages
from pad19.service.supervisor import Supervisor
from support.manager import manager_at
from support.waiting import is_readable

PATIENCE = 10.0  # seconds until something that must happen counts as missing
READY = Ready((Shown("localhost", "sha256:00", "sha256:01", 0.0, is_new=False),), {})


class Puppet:
    """A worker that is ready at once, takes no more connections at once, and ends when it is told."""

    pid = -1

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._reports: SimpleQueue[Report] = SimpleQueue()
        self._status: int | None = None
        self._report(READY)

    def _report(self, report: Report) -> None:
        self._reports.put(report)
        self._theirs.send(b"x")

    def fileno(self) -> int:
        return self._ours.fileno()

    def reports(self) -> Iterator[Report]:
        with suppress(BlockingIOError):
            self._ours.recv(1024)
        while not self._reports.empty():
            yield self._reports.get()

    def poll(self) -> int | None:
        return self._status

    def drain(self) -> None:
        self._report(Closed())

    def end(self) -> None:
        self._status = 0
        with suppress(OSError):  # it has ended before, and is buried
            self._theirs.send(b"x")

    kill = end

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


class Stage:
    """A supervisor in the main thread, as signals want it, and what a test sees of it from another."""

    def __init__(self, manager: socket.socket) -> None:
        self.manager = manager
        self.puppets: list[Puppet] = []
        self.config = configuration()
        self.read = 0  # times
        self.said: SimpleQueue[str] = SimpleQueue()

    def load(self) -> Config:
        self.read += 1
        return self.config

    def play(self, act: Callable[[], None]) -> None:
        """Run the supervisor, and stop it after the act."""
        with ThreadPoolExecutor(1) as executor:
            over = executor.submit(self._play, act)
            Supervisor(self.load).run()
            over.result()

    def _play(self, act: Callable[[], None]) -> None:
        try:
            act()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            while self.told() != "STOPPING=1":
                pass
            for puppet in self.puppets:
                puppet.end()

    def told(self) -> str:
        """The next thing that systemd is told."""
        return self.manager.recv(8192).decode().split("\n")[0]

    def nothing_told(self) -> bool:
        return not is_readable(self.manager)

    def reload(self) -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    def go_round(self) -> None:
        """Wait until everything that was there has been seen, and what follows from it is done."""
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGUSR2)
            while "generation" not in self.said.get(timeout=PATIENCE):
                pass


def configuration(workers: int = 1) -> Config:
    server = Server(listen=(Listen(host="127.0.0.1"),), workers=workers, watch=False)
    return Config(capsules=(Capsule(),), server=server)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    # It ignores them afterwards, since a process would end.
    before = {number: signal.getsignal(number) for number in signals.CAUGHT}
    with manager_at(str(tmp_path / "notify")) as manager:
        stage = Stage(manager)

        class Enrolled(Puppet):
            def __init__(self, *_: object, **__: object) -> None:
                super().__init__()
                stage.puppets.append(self)

        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
        monkeypatch.setattr(supervisor, "WorkerProcess", Enrolled)
        monkeypatch.setattr(messages, "say", stage.said.put)
        yield stage
    for number, handler in before.items():
        signal.signal(number, handler)


ROOMS = [  # workers alive at once, workers of the next configuration, times it is read, what systemd is told
    (3, 1, 0, []),
    (5, 2, 1, ["RELOADING=1"]),  # it takes a look to know that these are more
]


@pytest.mark.parametrize(("slots", "workers", "looks", "said"), ROOMS)
def test_a_reload_waits_in_peace_for_old_workers_to_end(
    slots: int, workers: int, looks: int, said: list[str], stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "SLOTS", slots)

    def act() -> None:
        assert stage.told() == "READY=1"
        stage.reload()
        assert [stage.told(), stage.told()] == ["RELOADING=1", "READY=1"]
        assert stage.read == 2
        stage.config = configuration(workers)
        stage.reload()
        stage.go_round()
        stage.go_round()
        assert stage.read == 2 + looks
        assert [stage.told() for _ in said] == said
        assert stage.nothing_told()
        stage.puppets[0].end()
        assert [stage.told(), stage.told()] == ["RELOADING=1", "READY=1"]
        assert stage.read == 3 + looks
        assert len(stage.puppets) == 2 + workers

    stage.play(act)
