"""Eight clients ask without a pause while everything changes under them: nobody notices."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.capsule_folder import NOT_RELOADED, RELOADED, configure, write_pair
from support.files import write
from support.load import Load
from support.process import Serving, connect_tls, fingerprint_of, gemini, read_rest, serving
from support.server import stdlib_context
from support.tls import self_signed

pytestmark = pytest.mark.machine

SECONDS = float(os.environ.get("PAD19_LOAD_SECONDS", "60"))  # for all of them together
EVERY = 2.0  # seconds from one change to the next
CLIENTS = 8
LARGE = 300_000  # bytes: many TLS records, and more than one write


class Capsule:
    """A capsule in a folder; each change has a number, and can be told in the answers."""

    def __init__(self, folder: Path, workers: int, *, watch: bool) -> None:
        self._folder = folder
        self._workers = workers
        self._watch = watch
        self._numbers = itertools.count(1)
        self.configuration = 0
        self.certificate = 0
        # Of content: the number before a change, and the one after it.
        self.published = self.visible = 0
        self.certificates: dict[str, int] = {}
        self.change_configuration()
        self.change_certificate()
        self.change_content()

    def _configure(self, number: int, rest: str = "") -> None:
        configure(
            self._folder,
            workers=self._workers,
            watch=self._watch,
            log="access = 'off'",
            lang=f"x-{number}",
            capsule=f"certificate = 'a.crt'\nkey = 'a.key'\n{rest}",
        )

    # Changes that lead to a new generation

    def change_configuration(self) -> None:
        number = next(self._numbers)
        self._configure(number)
        self.configuration = number

    def change_certificate(self) -> None:
        number = next(self._numbers)
        pair = self_signed(padding=number)
        self.certificates[pair.fingerprint] = number
        write_pair(self._folder, pair)
        self.certificate = number

    # Changes that lead to none

    def change_content(self) -> None:
        number = next(self._numbers)
        self.published = number
        write(self._folder, {"content/large.gmi": self.body(number)})
        self.visible = number

    # Changes that lead nowhere, and what mends them

    def break_configuration(self) -> None:
        write(self._folder, {"pad19.toml": "[server\n"})

    def break_content(self) -> None:
        self._configure(0, "content = 'missing'")

    def break_certificate(self) -> None:
        write(self._folder, {"a.key": self_signed("other").key_pem})

    @staticmethod
    def body(number: int) -> bytes:
        line = f"{number:09}\n".encode()
        return line * (LARGE // len(line))


class Visitor:
    """Asks, and looks at everything that is answered."""

    def __init__(self, capsule: Capsule, server: Serving) -> None:
        self._capsule = capsule
        self._address = server.address
        self._request = f"{gemini(server.address, '/large.gmi')}\r\n".encode()
        self._contexts = threading.local()
        self.configurations: set[int] = set()
        self.certificates: set[int] = set()

    def ask(self) -> None:
        before = self._capsule.visible
        if not hasattr(self._contexts, "own"):
            self._contexts.own = stdlib_context()
        with connect_tls(self._address, self._contexts.own) as stream:
            shown = fingerprint_of(stream)
            stream.sendall(self._request)
            answer = read_rest(stream)
        after = self._capsule.published
        assert answer.clean, f"cut off after {len(answer.received)} bytes"
        start, _, number = (answer.meta or "").rpartition("-")
        assert (answer.status, start) == (20, "text/gemini; lang=x")
        version = int(answer.body[:9])
        assert answer.body == Capsule.body(version)
        assert before <= version <= after, "stale"
        self.configurations.add(int(number))
        self.certificates.add(self._capsule.certificates[shown])


def changes(capsule: Capsule) -> Iterator[tuple[Callable[[], None], bool | None]]:
    """In any order, with what must come of it: a new generation, an error, or neither."""
    good = [capsule.change_configuration, capsule.change_certificate]
    broken = {  # and what mends it
        capsule.break_configuration: capsule.change_configuration,
        capsule.break_content: capsule.change_configuration,
        capsule.break_certificate: capsule.change_certificate,
    }
    chance = random.Random(1965)  # noqa: S311 - the same every time
    while True:
        for kind in chance.sample(["good", "content", "broken", "good"], 4):
            if kind == "content":
                yield capsule.change_content, None
            elif kind == "good":
                yield chance.choice(good), True
            else:
                damage = chance.choice([*broken])
                yield damage, False
                yield broken[damage], True


@pytest.mark.timeout(150)
@pytest.mark.parametrize(("workers", "watch"), [(1, False), (2, True)], ids=["signals", "watching"])
def test_reloads_under_load(
    tmp_path: Path, workers: int, watch: bool, record_testsuite_property: Callable[[str, object], None]
) -> None:
    capsule = Capsule(tmp_path, workers, watch=watch)
    reloads = mistakes = 0
    with serving(tmp_path, home=tmp_path) as server:
        visitor = Visitor(capsule, server)
        with Load(CLIENTS, visitor.ask) as load:
            start = time.monotonic()
            load.answered(start, CLIENTS)
            for change, outcome in changes(capsule):
                begin = time.monotonic()
                message = RELOADED if outcome else NOT_RELOADED
                seen = server.err.count(message)
                change()
                if outcome is not None:
                    if not watch:
                        server.signal(signal.SIGHUP)
                    server.wait_for_err(message, seen + 1)
                    reloads += outcome
                    mistakes += not outcome
                load.answered(begin, CLIENTS)
                if not load.run(begin + EVERY - time.monotonic()) or begin - start > SECONDS / 2 - EVERY:
                    break
            load.run(0.5)  # until those who drain have let go
            visitor.configurations.clear()
            visitor.certificates.clear()
            load.answered(time.monotonic(), 2 * CLIENTS)
            requests = len(load.stop())
        assert server.stop() == 0
        said = (server.err.count(RELOADED), server.err.count(NOT_RELOADED))
    assert load.failures == []
    assert visitor.configurations == {capsule.configuration}
    assert visitor.certificates == {capsule.certificate}
    # A watcher may see a certificate whose key is not there yet, and tries again.
    assert said == (reloads, mistakes) or (watch and said >= (reloads, mistakes))
    assert reloads >= SECONDS / 2 / EVERY / 3
    for name, value in {"requests": requests, "reloads": reloads, "mistakes": mistakes}.items():
        record_testsuite_property(f"{name} with {workers} workers", value)
