import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from pad19.service.check import machine as machine
from pad19.service.check.machine import Readiness, check_machine
from pad19.service.config.capsule import Capsule, Titan
from pad19.service.config.listen import Listen
from pad19.service.config.model import Config, Forwarder, Log, Metrics, Server
from pad19.service.config.values import Token
from pad19.service.logs.writer import open_log
from pad19.service.sockets import bind
from pad19.service.telemetry.metrics import MetricsServer
from pad19.service.worker import Site, serve
from pad19.tls.making import make
from support.users import unprivileged

MADE = "a certificate for localhost will be made at the first start"
ANY = Listen(host="127.0.0.1", port=0)


def config(
    folder: Path,
    *listen: Listen,
    capsule: Capsule | None = None,
    log: str = "off",
    forwarders: tuple[Forwarder, ...] = (),
) -> Config:
    (folder / "content").mkdir(exist_ok=True)
    return Config(
        server=Server(listen=listen or (ANY,), certs=folder / "certs"),
        capsules=(capsule or Capsule(content=folder / "content"),),
        log=Log(access=log),
        forwarders=forwarders,
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listen]:
    """An address that another program has, which says nothing."""
    monkeypatch.setattr(machine, "PATIENCE", 0.1)  # seconds
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield Listen(host="127.0.0.1", port=sock.getsockname()[1])


async def test_a_first_start_makes_a_certificate_later(tmp_path: Path) -> None:
    settings = config(tmp_path, log=str(tmp_path / "access.log"))
    assert await check_machine(settings) == Readiness(notes=[MADE])
    assert names(tmp_path) == ["content"]  # nothing was made


async def test_addresses_need_no_certificate_of_their_own(tmp_path: Path) -> None:
    capsule = Capsule(content=tmp_path / "content", hosts=("192.0.2.1", "localhost"))
    assert await check_machine(config(tmp_path, capsule=capsule)) == Readiness(notes=[MADE])


async def test_certificates_that_are_there(tmp_path: Path) -> None:
    make("localhost", tmp_path / "certs")
    assert await check_machine(config(tmp_path)) == Readiness()
    (tmp_path / "certs/localhost.key").unlink()
    ready = await check_machine(config(tmp_path))
    assert ready.problems[0].startswith(f"{tmp_path}/certs/localhost.key is missing;")
    assert not ready.notes


async def test_a_certificate_for_other_hosts(tmp_path: Path) -> None:
    made = make("a.test", tmp_path / "certs")
    capsule = Capsule(
        hosts=("a.test", "b.test"),
        content=tmp_path / "content",
        certificate=made.certificate_path,
        key=made.key_path,
    )
    ready = await check_machine(config(tmp_path, capsule=capsule))
    assert ready == Readiness(
        warnings=[f"{made.certificate_path} is for a.test, not for b.test; clients may refuse it"]
    )
    (tmp_path / "none").mkdir()
    shutil.move(made.key_path, tmp_path / "none/key")
    ready = await check_machine(config(tmp_path, capsule=capsule))
    assert len(ready.problems) == 1  # once, not for each host


async def test_routes_that_no_capsule_names(tmp_path: Path) -> None:
    make("localhost", tmp_path / "certs")
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes/a.py").write_text("import pad19\n")
    [warning] = (await check_machine(replace(config(tmp_path), source=tmp_path / "pad19.toml"))).warnings
    assert warning.startswith(f"{tmp_path}/routes/a.py has routes, which are not asked")


async def test_a_port_that_another_program_has(tmp_path: Path, taken: Listen) -> None:
    make("localhost", tmp_path / "certs")
    with trio.fail_after(20):
        ready = await check_machine(config(tmp_path, ANY, taken))
    assert ready == Readiness(
        problems=[
            f'server.listen: "{taken}" cannot be listened on: another program has it; '
            "stop that one, or choose another, for example with --listen localhost:1966"
        ]
    )


async def test_a_port_for_forwarders(tmp_path: Path, taken: Listen) -> None:
    make("localhost", tmp_path / "certs")
    forwarders = (Forwarder(listen=taken), Forwarder(listen=Listen(path=tmp_path / "none/sock")))
    ready = await check_machine(config(tmp_path, forwarders=forwarders))
    assert [problem.partition(" cannot")[0] for problem in ready.problems] == [
        f'forwarder.listen: "{taken}"',
        f'"unix:{tmp_path}/none/sock"',
    ]


@pytest.mark.usefixtures("restored_process")
async def test_a_port_that_is_ours_already(tmp_path: Path) -> None:
    settings = config(tmp_path)
    site = await trio.to_thread.run_sync(Site.build, settings)
    sockets = bind(settings)
    stop, running = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        log = open_log("off")
        nursery.start_soon(lambda: serve(settings, site, sockets, log, stop, ready=running.set))
        await running.wait()
        listen = sockets[0].listen
        ready = await check_machine(config(tmp_path, listen))
        stop.set()
    assert ready == Readiness(notes=[f"pad19 runs already, on {listen}, with one of these certificates"])


async def test_the_port_is_free_afterwards(tmp_path: Path, taken: Listen) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        free = Listen(host="127.0.0.1", port=sock.getsockname()[1])
    for _ in range(2):
        assert await check_machine(config(tmp_path, free)) == Readiness(notes=[MADE])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", free.port))


# Metrics


async def test_a_port_for_metrics_that_another_program_has(tmp_path: Path, taken: Listen) -> None:
    settings = replace(config(tmp_path), metrics=Metrics(listen=taken))
    with trio.fail_after(20):
        assert (await check_machine(settings)).problems == [
            f'metrics.listen: "{taken}" cannot be listened on: '
            "another program has it; stop that one, or choose another"
        ]


async def test_a_port_for_metrics_that_is_free(tmp_path: Path) -> None:
    settings = replace(config(tmp_path), metrics=Metrics(listen=ANY))
    assert await check_machine(settings) == Readiness(notes=[MADE])


async def test_metrics_without_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "pad19.service.telemetry.metrics_text", raising=False)
    for listen in (ANY, Listen(path=tmp_path / "sock")):
        [problem] = (await check_machine(replace(config(tmp_path), metrics=Metrics(listen=listen)))).problems
        assert problem.startswith("metrics needs a package more")


async def test_a_socket_for_metrics(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    settings = replace(config(tmp_path), metrics=Metrics(listen=Listen(path=path)))
    assert await check_machine(settings) == Readiness(notes=[MADE])
    assert names(tmp_path) == ["content"]
    path = tmp_path / "none/sock"
    settings = replace(config(tmp_path), metrics=Metrics(listen=Listen(path=path)))
    assert (await check_machine(settings)).problems == [
        f'"unix:{path}" cannot be listened on: the folder must exist and be writable for pad19'
    ]


@pytest.mark.usefixtures("restored_process")
async def test_metrics_of_a_server_that_runs(tmp_path: Path, taken: Listen) -> None:
    settings = config(tmp_path)
    site = await trio.to_thread.run_sync(Site.build, settings)
    sockets = bind(settings)
    stop, running = trio.Event(), trio.Event()
    server = MetricsServer(ANY, lambda: pytest.fail("nobody looks at them"))
    server.start()
    async with trio.open_nursery() as nursery:
        log = open_log("off")
        nursery.start_soon(lambda: serve(settings, site, sockets, log, stop, ready=running.set))
        await running.wait()
        ours = config(tmp_path, sockets[0].listen)
        other = await check_machine(replace(config(tmp_path), metrics=Metrics(listen=server.addresses[0])))
        same = await check_machine(replace(ours, metrics=Metrics(listen=server.addresses[0])))
        strange = await check_machine(replace(ours, metrics=Metrics(listen=taken)))
        stop.set()
    server.stop()
    assert same.problems == []
    for ready in (other, strange):
        assert [problem.partition(":")[0] for problem in ready.problems] == ["metrics.listen"]


async def test_sockets_with_a_path(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    listen = Listen(path=path)
    assert await check_machine(config(tmp_path, listen)) == Readiness(notes=[MADE])
    assert names(tmp_path) == ["content"]
    path.touch()
    [problem] = (await check_machine(config(tmp_path, listen))).problems
    assert problem.startswith(f'"unix:{path}" cannot be listened on: a file is in its place')
    path.unlink()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        assert await check_machine(config(tmp_path, listen)) == Readiness(notes=[MADE])
    assert path.is_socket()


LOGS = [  # the file, why not
    ("content", "that is a folder: name a file"),
    ("none/access.log", "its folder does not exist: create that, or name another"),
    ("closed/access.log", "its folder cannot be written: mend that, or name another"),
    ("closed.log", "it cannot be written: mend that, or name another"),
    ("access.log", None),
    ("open.log", None),
]


@pytest.mark.parametrize(("name", "reason"), LOGS)
async def test_the_log(name: str, reason: str | None) -> None:
    with unprivileged() as folder:
        (folder / "closed").mkdir(mode=0o500)
        (folder / "closed.log").touch(mode=0o400)
        (folder / "open.log").touch()
        ready = await check_machine(config(folder, log=str(folder / name)))
        assert ready.problems == ([f"log.access is {folder / name}, but {reason}"] if reason else [])


async def test_a_log_that_needs_a_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    ready = await check_machine(config(tmp_path, log=str(tmp_path / "log")))
    assert ready.notes == [MADE, f"log.access is a FIFO, {tmp_path}/log, which needs a reader"]


async def test_a_folder_for_the_locks_of_uploads(tmp_path: Path) -> None:
    titan = Titan(token=(Token("text", "open sesame"),))
    capsule = Capsule(content=tmp_path / "content", titan=titan)
    settings = config(tmp_path, capsule=capsule)
    state = tmp_path / "state"
    state.touch()
    settings = replace(settings, server=replace(settings.server, state=state))
    assert (await check_machine(settings)).problems == [
        f"server.state is {state}, which uploads need, but {state} is no folder: name another"
    ]
    state.unlink()
    assert await check_machine(settings) == Readiness(notes=[MADE])
    assert names(tmp_path) == ["content"]


async def test_a_folder_for_certificates_that_cannot_be_made() -> None:
    with unprivileged() as folder:
        (folder / "content").mkdir()
        folder.chmod(0o500)
        [problem] = (await check_machine(config(folder))).problems
        assert problem == (
            f"server.certs is {folder}/certs, but {folder} cannot be written: mend that, or name another"
        )
        folder.chmod(0o700)
        (folder / "certs").touch()
        [problem] = (await check_machine(config(folder))).problems
        assert problem == f"server.certs is {folder}/certs, but {folder}/certs is no folder: name another"
