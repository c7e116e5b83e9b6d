import gc
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from pad19.service.config.capsule import Capsule
from pad19.service.config.check import check
from pad19.service.config.listen import Listen
from pad19.service.config.model import Config, ConfigError, Limits, Log, Server
from pad19.service.logs.writer import open_log
from pad19.service.mounting import Backends
from pad19.service.sockets import Bound, bind
from pad19.service.worker import Site, serve
from pad19.tls.certificate_folder import files
from pad19.tls.making import make
from support.server import Answer, ask, connect, read_all, stdlib_context

pytestmark = pytest.mark.usefixtures("restored_process")

LARGE = 16 * 1024 * 1024  # bytes: more than the kernel's buffers take
HEADER = b"20 application/octet-stream\r\n"
PAGE = b"20 text/gemini\r\n# Pad 19\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("content", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.gmi").write_text("# Pad 19\n")
    with (tmp_path / "content/large.bin").open("wb") as file:
        file.truncate(LARGE)
    return tmp_path


def configured(
    folder: Path,
    *capsules: Capsule,
    limits: Limits | None = None,
    listen: Sequence[str] = ("127.0.0.1:0",),
    check_port: bool = True,
) -> Config:
    config = Config(
        server=Server(listen=tuple(map(Listen.parse, listen)), certs=folder / "certs", check_port=check_port),
        limits=limits or Limits(),
        log=Log(access=str(folder / "access.log")),
        capsules=capsules or (Capsule(content=folder / "content"),),
    )
    assert not [*check(config)]
    return config


class Running:
    """A worker in this process, and what it has done."""

    def __init__(self, config: Config, sockets: tuple[Bound, ...]) -> None:
        self.config = config
        self.sockets = sockets
        self.stop = trio.Event()
        self.stop_now = trio.Event()
        self.ready = trio.Event()
        self.ended = trio.Event()

    @property
    def address(self) -> tuple[str, int]:
        listen = self.sockets[0].listen
        return listen.host, listen.port

    @property
    def log(self) -> list[str]:
        """The access log; complete when the worker has ended."""
        return logged(self.config)

    async def ask(self, path: str, port: int | None = None) -> Answer:
        return await ask(self.address, f"gemini://localhost:{port or self.address[1]}{path}\r\n".encode())

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[trio.SSLStream[trio.SocketStream]]:
        stream = await connect(self.address)
        try:
            yield stream
        finally:
            await trio.aclose_forcefully(stream)

    @asynccontextmanager
    async def download(self) -> AsyncIterator[trio.SSLStream[trio.SocketStream]]:
        """A download that has begun, and whose client reads no more."""
        async with self.connect() as stream:
            await stream.send_all(f"gemini://localhost:{self.address[1]}/large.bin\r\n".encode())
            assert await stream.receive_some(len(HEADER)) == HEADER
            yield stream


def logged(config: Config) -> list[str]:
    return Path(config.log.access).read_text().splitlines()


@asynccontextmanager
async def worker(config: Config) -> AsyncIterator[Running]:
    """Runs until the block is left, which must then be within the grace period."""
    running = Running(config, bind(config))
    site = Site.build(config)
    log = open_log(config.log.access)

    async def run() -> None:
        await serve(
            config, site, running.sockets, log, running.stop, running.stop_now, ready=running.ready.set
        )
        running.ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await running.ready.wait()
        yield running
        running.stop.set()


# What is served


def test_a_site_has_all_hosts(folder: Path) -> None:
    second = Capsule(content=folder / "second", hosts=("b.example",))
    config = configured(
        folder, Capsule(content=folder / "content", hosts=("a.example", "*.a.example")), second
    )
    make("a.example", folder / "certs")
    site = Site.build(config)
    assert [*site.handlers] == [*site.credentials] == ["a.example", "*.a.example", "b.example"]
    assert site.handlers["a.example"] is site.handlers["*.a.example"] is not site.handlers["b.example"]
    assert site.made == {"*.a.example", "b.example"}
    assert Site.build(config).made == frozenset()


MISSING = [  # files that are gone, whether their host is known, whether another pair is made
    (".crt .key", True, False),
    (".crt .key", False, True),
    (".crt", True, True),  # with the same key
]


@pytest.mark.parametrize(("gone", "is_known", "is_made"), MISSING)
def test_a_key_that_visitors_know_is_not_made_anew(
    folder: Path, gone: str, is_known: bool, is_made: bool
) -> None:
    config = configured(folder, Capsule(content=folder / "content", hosts=("a.example", "b.example")))
    Site.build(config)
    certificate, key = files("a.example", folder / "certs")
    for suffix in gone.split():
        certificate.with_suffix(suffix).unlink()
    known = {str(certificate), str(key)} if is_known else set()
    if is_made:
        assert Site.build(config, known=known).made == {"a.example"}
        return
    with pytest.raises(ConfigError) as caught:
        Site.build(config, known=known)
    assert caught.value.problems == (
        f"{certificate} and a.example.key are missing: put them back, or restart pad19 to make others",
    )
    assert not certificate.exists()


def test_a_certificate_of_its_own(folder: Path) -> None:
    made = make("a.example", folder / "mine")
    certificate, key = files("a.example", folder / "mine")
    capsule = Capsule(
        content=folder / "content", hosts=("a.example", "*.a.example"), certificate=certificate, key=key
    )
    site = Site.build(configured(folder, capsule))
    assert {entry.fingerprint for entry in site.credentials.values()} == {made.fingerprint}
    assert site.made == frozenset()
    assert not (folder / "certs").exists()


def test_addresses_are_shown_with_the_certificate_of_the_first_name(folder: Path) -> None:
    made = make("c.example", folder / "mine")
    certificate, key = files("c.example", folder / "mine")
    capsules = (
        Capsule(content=folder / "content", hosts=("192.0.2.1", "a.example", "[2001:db8::1]")),
        Capsule(content=folder / "second", hosts=("192.0.2.2",), certificate=certificate, key=key),
    )
    site = Site.build(configured(folder, *capsules))
    assert [*site.handlers] == ["192.0.2.1", "a.example", "[2001:db8::1]", "192.0.2.2"]
    assert next(iter(site.credentials)) == "a.example"
    assert site.credentials["192.0.2.1"] is site.credentials["[2001:db8::1]"] is site.credentials["a.example"]
    assert site.credentials["192.0.2.2"].fingerprint == made.fingerprint
    assert site.made == {"192.0.2.1", "a.example", "[2001:db8::1]"}
    assert sorted(path.name for path in (folder / "certs").iterdir()) == ["a.example.crt", "a.example.key"]


def test_without_a_name_the_first_address_has_a_certificate(folder: Path) -> None:
    capsule = Capsule(content=folder / "content", hosts=("192.0.2.1", "192.0.2.2"))
    site = Site.build(configured(folder, capsule))
    assert site.made == {"192.0.2.1", "192.0.2.2"}
    assert len([*(folder / "certs").iterdir()]) == 2
    assert site.credentials["192.0.2.1"] is site.credentials["192.0.2.2"]


def test_all_certificates_that_cannot_be_used_are_told(folder: Path) -> None:
    for host in ("a.example", "b.example"):
        make(host, folder / "certs").key_path.write_text("")
    for name in ("x", "y"):
        (folder / name).touch()
    shared = Capsule(
        hosts=("d.example", "e.example"),
        content=folder / "second",
        certificate=folder / "x",
        key=folder / "y",
    )
    hosts = ("a.example", "c.example", "b.example")
    with pytest.raises(ConfigError) as refusal:
        Site.build(configured(folder, Capsule(content=folder / "content", hosts=hosts), shared))
    assert [problem.split(" ")[0] for problem in refusal.value.problems] == [
        str(folder / "certs/a.example.key"),
        str(folder / "certs/b.example.key"),
        str(folder / "x"),  # once, though two hosts share it
    ]


def test_what_is_odd_about_a_certificate_is_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    make("a.example", folder / "mine")
    certificate, key = files("a.example", folder / "mine")
    capsule = Capsule(content=folder / "content", hosts=("b.example",), certificate=certificate, key=key)
    Site.build(configured(folder, capsule))
    assert [(entry.levelno, entry.getMessage()) for entry in caplog.records] == [
        (logging.WARNING, f"{certificate} is for a.example, not for b.example; clients may refuse it")
    ]


@pytest.mark.parametrize("warns", [True, False])
def test_routes_that_no_capsule_names_are_a_warning(
    folder: Path, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "routes").mkdir()
    (folder / "routes/guestbook.py").write_text("from pad19 import Routes\nroutes = Routes()\n")
    config = replace(configured(folder), source=folder / "pad19.toml")
    Site.build(config, Backends(config, warns=warns))  # by each worker, but one of them speaks
    said = [f"{folder}/routes/guestbook.py has routes, which are not asked, since no capsule names them"]
    assert [message.partition(":")[0] for message in caplog.messages] == (said if warns else [])


async def test_what_a_capsule_says_is_done(folder: Path) -> None:
    content = folder / "content"
    (content / "sub").mkdir()
    (content / "sub/start.foo").write_text("foo")
    (content / ".hidden").write_text("hidden")
    (content / "list").mkdir()
    capsule = Capsule(
        content=content,
        lang="de",
        charset="iso-8859-1",
        index=("start.foo",),
        listing=True,
        hidden=True,
        mimetypes={".foo": "text/x-foo"},
    )
    async with worker(configured(folder, capsule)) as running:
        index = await running.ask("/sub/")
        assert (index.status, index.meta, index.body) == (20, "text/x-foo; charset=iso-8859-1", b"foo")
        assert (await running.ask("/index.gmi")).meta == "text/gemini; charset=iso-8859-1; lang=de"
        assert (await running.ask("/list/")).status == 20
        assert (await running.ask("/.hidden")).body == b"hidden"


async def test_the_port_of_the_uri_is_the_one_connected_to(folder: Path) -> None:
    async with worker(configured(folder)) as running:
        assert (await running.ask("/")).received == PAGE
        assert (await running.ask("/", port=1965)).status == 53
    async with worker(configured(folder, check_port=False)) as running:
        assert (await running.ask("/", port=1965)).received == PAGE


async def test_a_unix_socket_has_no_port(folder: Path) -> None:
    path = folder / "a.sock"
    async with worker(configured(folder, listen=[f"unix:{path}"])) as running:
        stream = trio.SSLStream(await trio.open_unix_socket(path), stdlib_context())
        await stream.send_all(b"gemini://localhost:7/\r\n")
        assert (await read_all(stream)).received == PAGE
        await trio.aclose_forcefully(stream)
    assert not path.exists()
    assert running.log[0].startswith("unix - - [")


# Limits


async def test_connections_past_the_limit_are_told(folder: Path) -> None:
    for limits in (Limits(connections=1), Limits(per_address=1)):
        async with worker(configured(folder, limits=limits)) as running, running.connect():
            assert (await running.ask("/")).status == 41


async def test_deadlines(folder: Path) -> None:
    limits = Limits(handshake_s=0.2, request_s=0.1, stall_s=0.3)
    async with worker(configured(folder, limits=limits)) as running:
        async with await trio.open_tcp_stream(*running.address) as silent:
            await silent.send_all(b"\x16")  # the beginning of a handshake
            assert await silent.receive_some() == b""
        async with running.connect() as mute:
            assert not (await read_all(mute)).clean
        async with running.download():
            running.stop.set()
            with trio.fail_after(5):
                await running.ended.wait()
    assert [line.rpartition(' "')[2] for line in running.log] == [
        'handshake timeout"',
        'request timeout"',
        'client left: client read nothing for 0.3 s"',
    ]


# Stopping


async def refused(address: tuple[str, int]) -> bool:
    try:
        await (await trio.open_tcp_stream(*address)).aclose()
    except OSError:
        return True
    return False


async def test_what_runs_may_finish(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with worker(configured(folder)) as running, running.download() as stream:
        with caplog.at_level(logging.INFO):
            running.stop.set()
            await trio.testing.wait_all_tasks_blocked()
        assert [entry.getMessage() for entry in caplog.records] == [
            "stopping: open connections (1) have 30 s to finish"
        ]
        assert await refused(running.address)
        assert not running.ended.is_set()
        answer = await read_all(stream)
        assert answer.clean
        assert len(answer.received) == LARGE
        await running.ended.wait()
    assert [line.rpartition('"')[2] for line in running.log] == [f" 20 {LARGE}"]


@pytest.mark.parametrize("grace", [0, 0.1])
async def test_the_grace_period_ends(folder: Path, grace: float) -> None:
    limits = Limits(grace_s=grace)
    async with worker(configured(folder, limits=limits)) as running, running.download() as stream:
        start = trio.current_time()
        running.stop.set()
        await running.ended.wait()
        assert grace <= trio.current_time() - start < 5
        assert not (await read_all(stream)).clean
    assert [line.split('"')[3] for line in running.log] == ["server stopped"]


async def test_stopping_now(folder: Path) -> None:
    path = folder / "a.sock"
    config = configured(folder, listen=["127.0.0.1:0", f"unix:{path}"])
    for order in [("stop", "stop_now"), ("stop_now",), ("stop_now", "stop")]:
        async with worker(config) as running, running.download() as stream:
            for name in order:
                getattr(running, name).set()
            with trio.fail_after(5):
                await running.ended.wait()
            assert not (await read_all(stream)).clean
        assert await refused(running.address)
        assert not path.exists()
    assert [line.split('"')[3] for line in running.log] == ["server stopped"] * 3


async def test_whatever_happens_nothing_stays_open(folder: Path) -> None:
    path = folder / "a.sock"
    config = configured(folder, listen=["127.0.0.1:0", f"unix:{path}"])
    sockets = bind(config)
    site = Site.build(config)
    log = open_log(config.log.access)

    def fail() -> None:
        log.write("the last line")
        raise RuntimeError("on purpose")

    with pytest.RaisesGroup(RuntimeError, allow_unwrapped=True, flatten_subgroups=True):
        await serve(config, site, sockets, log, trio.Event(), ready=fail)
    assert [bound.socket.fileno() for bound in sockets] == [-1, -1]
    assert not path.exists()
    assert logged(config) == ["the last line"]


async def test_the_collector_is_calmer(folder: Path) -> None:
    before = gc.get_threshold()
    async with worker(configured(folder)):
        assert gc.get_threshold()[0] > before[0]
        assert gc.get_freeze_count() > 0
