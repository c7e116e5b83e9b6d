"""Writers that are processes of their own, as workers are. A program: ``writers.py MODE FILE NUMBER``.

``together``: write NUMBER times and print the ids that were given out.
``creation``: NUMBER times, let several processes make the same file at once.
``killed``: NUMBER times, start a writer and kill it; print what each of them said it had written.

The writers of the last two are forks, which start a hundred times faster than an interpreter.
"""

import json
import os
import random
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import trio

from pad19.store.sqlite import open_store

CROWD = 4  # processes
CHANCE = random.Random()  # noqa: S311 - nobody gains from guessing it
MOMENT = 0.006  # seconds: a few commits


async def write_together(path: Path, count: int) -> list[int]:
    ids = []
    async with open_store(path) as store:
        for number in range(count):
            ids.append(await store.list("entries", keep=10_000).append([os.getpid(), number]))
            await store.increment("count")
            await store.update("dict", lambda found: found | {"n": found["n"] + 1}, {"n": 0})
            await store.add("winner", os.getpid())
    return ids


async def write_on(path: Path, say: int) -> None:
    """Write until killed; what is in the pipe has been awaited."""
    async with open_store(path) as store:
        while True:
            number = await store.list("entries", keep=50).append("x" * CHANCE.randrange(5000))
            os.write(say, b"%d %d\n" % (number, await store.increment("count")))


def fork(work: Callable[[], object]) -> int:
    if pid := os.fork():
        return pid
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def create_together(folder: Path, rounds: int) -> list[int]:
    """The exit statuses."""
    statuses = []
    for number in range(rounds):
        path = folder / str(number) / "store.sqlite3"
        hear, say = os.pipe()

        def create(path: Path = path, hear: int = hear, say: int = say) -> None:
            os.close(say)
            os.read(hear, 1)  # the end of the file is the starting shot
            trio.run(write_together, path, 1)

        pids = [fork(create) for _ in range(CROWD)]
        os.close(hear)
        os.close(say)
        statuses += [os.waitpid(pid, 0)[1] for pid in pids]
    return statuses


def kill_writers(path: Path, rounds: int) -> list[list[int]]:
    """The last id and count that each writer said it had written."""
    said = []
    for _ in range(rounds):
        hear, say = os.pipe()
        pid = fork(lambda say=say: trio.run(write_on, path, say))  # type: ignore[misc] # a lambda's default
        os.close(say)
        heard = os.read(hear, 4096)
        select.select([], [], [], CHANCE.uniform(0, MOMENT))  # anywhere in the middle of something
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        while data := os.read(hear, 4096):
            heard += data
        os.close(hear)
        said.append([int(number) for number in heard.split(b"\n")[-2].split()])
    return said


def main(mode: str, path: Path, number: int) -> object:
    if mode == "together":
        return trio.run(write_together, path, number)
    return {"creation": create_together, "killed": kill_writers}[mode](path, number)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))  # noqa: T201 - its answer
