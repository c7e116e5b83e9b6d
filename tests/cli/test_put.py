"""`pad19 put`."""

import os
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, lockstep_stream_pair

from cli.delivering import SAVED, Taking, run
from cli.getting import said
from pad19.cli.delivery import target_of
from pad19.cli.put import put
from pad19.cli.visit import Visit
from pad19.tls.client import Connection
from pad19.tls.context import client_context, server_context
from pad19.tls.identity import identify
from pad19.tls.known_hosts import KnownHosts
from pad19.tls.making import make_client
from pad19.tls.stream import TLSStream
from support.fake_server import Script, answers, serving, stalls, truncates
from support.process import COMMAND, PATIENCE
from support.tls import self_signed

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_a_file() -> None:
    Path("tea.gmi").write_bytes(b"# Tea\n")
    script = Taking()
    with serving(script) as server:
        result = run(put, "tea.gmi", f"localhost:{server.port}/notes/tea.gmi")
    assert result.exit_code == 0
    assert said(result) == ["30 gemini://localhost/n.gmi"]
    assert result.stdout == ""
    assert server.requests == [f"titan://localhost:{server.port}/notes/tea.gmi;mime=text/gemini;size=6"]
    assert script.bodies == [b"# Tea\n"]


LINES = [  # file, URL, more arguments, what is requested
    ("a.png", "titan://HOST/a", [], "titan://HOST/a;mime=image/png;size=5"),
    ("a.png", "gemini://HOST/a?q", [], "titan://HOST/a;mime=image/png;size=5?q"),
    ("a.png", "TITAN://HOST/two words", [], "titan://HOST/two%20words;mime=image/png;size=5"),
    ("a.png", "HOST/a", ["--mime", "text/x; a=b"], "titan://HOST/a;mime=text/x%3B%20a%3Db;size=5"),
    ("a.png", "HOST/a", ["--token", "a;b c"], "titan://HOST/a;mime=image/png;size=5;token=a%3Bb%20c"),
    ("-", "HOST/a.txt", [], "titan://HOST/a.txt;mime=text/plain;size=5"),
    ("-", "HOST/a", ["--mime", "text/gemini"], "titan://HOST/a;mime=text/gemini;size=5"),
]


@pytest.mark.parametrize(("file", "url", "arguments", "line"), LINES)
def test_request_lines(file: str, url: str, arguments: list[str], line: str) -> None:
    Path("a.png").write_bytes(b"12345")
    script = Taking()
    with serving(script) as server:
        result = run(put, file, url.replace("HOST", server.name), *arguments, data=b"12345")
    assert result.exit_code == 0, result.stderr
    assert server.requests == [line.replace("HOST", server.name)]
    assert script.bodies == [b"12345"]


def test_a_token_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAD19_TOKEN", "open sesame")
    with serving(Taking()) as server:
        assert run(put, "-", f"{server.name}/a.gmi", data=b"x").exit_code == 0
    assert server.requests[0].endswith(";token=open%20sesame")


def test_a_large_file() -> None:
    body = os.urandom(3_000_000)
    Path("large.bin").write_bytes(body)
    script = Taking()
    with serving(script) as server:
        assert run(put, "large.bin", f"{server.name}/large.bin").exit_code == 0
    assert script.bodies == [body]


def test_a_pipe(tmp_path: Path) -> None:
    script = Taking()
    with serving(script) as server:
        done = subprocess.run(
            [*COMMAND, "put", "-", f"{server.name}/a.gmi"],
            input=b"from a pipe",
            env={"HOME": str(tmp_path)},
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 0
    assert script.bodies == [b"from a pipe"]


def test_standard_input_that_is_closed(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *COMMAND, "put", "-", "localhost/a.gmi"],
        env={"HOME": str(tmp_path)},
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == b"Error: standard input is closed; name a file\n"


def test_deleting() -> None:
    with serving(Taking(b"20 text/gemini\r\n# Deleted\n")) as server:
        result = run(put, "--delete", f"{server.name}/a.gmi", "--token", "open sesame")
    assert result.exit_code == 0
    assert result.stdout == "# Deleted\n"
    assert server.requests == [f"titan://{server.name}/a.gmi;size=0;token=open%20sesame"]


ANSWERS = [  # header, exit status
    (b"20 text/gemini", 0),
    (b"30 gemini://localhost/", 0),
    (b"31 gemini://localhost/", 0),
    (b"10 A token?", 1),
    (b"40 full", 1),
    (b"50 no", 1),
    (b"59 no", 1),
    (b"60 a certificate", 1),
]


MOVED = [  # redirect, where the upload belongs
    ("30 /w/b.gmi", "titan://HOST/w/b.gmi"),
    ("31 b.gmi?x", "titan://HOST/n/b.gmi?x"),
    ("30 //b.test/x", "titan://b.test/x"),
    ("30 titan://HOST/w/b.gmi;edit", "titan://HOST/w/b.gmi"),
    ("30 https://b.test/x", "https://b.test/x"),
]


@pytest.mark.parametrize(("header", "there"), MOVED)
@pytest.mark.parametrize("does", ["upload to", "delete"])
def test_what_has_moved_was_not_stored(header: str, there: str, does: str) -> None:
    Path("a.gmi").write_text("x")
    script = Taking()
    with serving(script) as server:
        header, there = (text.replace("HOST", server.name) for text in (header, there))
        script.saved = f"{header}\r\n".encode()
        what = ["a.gmi"] if does == "upload to" else ["--delete"]
        result = run(put, *what, f"{server.name}/n/a.gmi?old", "--token", "open sesame")
    assert result.exit_code == 1
    assert said(result) == [header, f"Error: it has moved: {does} {there}"]


def test_a_redirect_to_nowhere() -> None:
    with serving(Taking(b"30 gemini://[/\r\n")) as server:
        result = run(put, "-", f"{server.name}/a.gmi", data=b"x")
    assert result.exit_code == 1
    assert said(result)[-1].startswith("Error: the redirect cannot be followed: ")


@pytest.mark.parametrize(("header", "status"), ANSWERS)
@pytest.mark.parametrize("early", [False, True])
def test_exit_status(header: bytes, status: int, early: bool) -> None:
    Path("a.gmi").write_bytes(b"x" * 100_000)
    with serving(answers(header + b"\r\n") if early else Taking(header + b"\r\n")) as server:
        result = run(put, "a.gmi", f"{server.name}/a.gmi")
    assert result.exit_code == status
    assert said(result)[0] == header.decode()


WRONG = [  # arguments, exit status, what is said
    (["a.gmi"], 2, "name a FILE and a URL."),
    (["a.gmi", "b.gmi", "localhost/"], 2, "name a FILE and a URL."),
    (["--delete", "a.gmi", "localhost/"], 2, "--delete takes a URL alone."),
    ([], 2, "Missing argument"),
    (["a.gmi", "http://localhost/"], 2, "only to titan and gemini URLs can be uploaded, not http"),
    (["a.gmi", "titan:localhost/x"], 2, "write titan:// in front of the host, or nothing."),
    (["a.gmi", "Titan//localhost/x"], 2, "write titan:// in front of the host, or nothing."),
    (["a.gmi", "gemini//localhost/x"], 2, "write gemini:// in front of the host, or nothing"),
    (["a.gmi", "titan://me@localhost/"], 2, "there is no user in a Gemini URL"),
    (
        ["a.gmi", f"localhost/{'x' * 995}"],
        1,
        "the URL, with all that belongs to it, is longer than 1024 bytes",
    ),
    (["none.gmi", "localhost/"], 1, "none.gmi cannot be read (No such file or directory)"),
    (["localhost/none.gmi", "a.gmi"], 2, "the FILE comes first, and then the URL."),
    (["none.gmi", f"localhost/{'x' * 900}"], 1, "none.gmi cannot be read (No such file or directory)"),
    (["folder", "localhost/"], 1, "folder cannot be read (Is a directory)"),
    (["empty.gmi", "localhost/"], 1, "there is nothing in it, which would delete the page"),
    (["a.gmi", "localhost/", "--key", "a.gmi"], 2, "--key goes with --cert."),
    (["a.gmi", "localhost/", "--timeout", "nan"], 2, "it is not a number."),
]


@pytest.mark.parametrize(("arguments", "status", "sentence"), WRONG)
def test_what_is_wrong_is_said(arguments: list[str], status: int, sentence: str) -> None:
    Path("a.gmi").write_text("x")
    Path("empty.gmi").touch()
    Path("folder").mkdir()
    result = run(put, *arguments)
    assert result.exit_code == status
    assert sentence in result.stderr


BAD = [
    (answers(b"hello\r\n"), "gave no valid answer: its header does not begin with a two-digit status"),
    (answers(b""), "gave no valid answer: it closed without a header"),
    (truncates(b""), "gave no valid answer: it closed without a header"),
    (stalls(), "sent no header within 0.3 s"),
]


@pytest.mark.parametrize(("script", "sentence"), BAD)
@pytest.mark.parametrize("size", [1, 3_000_000])
def test_bad_servers(script: Script, sentence: str, size: int) -> None:
    Path("a.gmi").write_bytes(b"x" * size)
    with serving(script) as server:
        result = run(put, "a.gmi", f"{server.name}/a.gmi", "--timeout", "0.3")
        assert result.exit_code == 1
        last = said(result)[-1]
    assert last in {f"Error: {server.name} {sentence}"} or "broke off the connection" in last


async def test_a_slow_server_has_time_for_each_piece(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """The line, four pieces and the answer take 29 seconds each, and the timeout is 30."""
    pair = self_signed()
    ours, theirs = lockstep_stream_pair()  # what is sent waits until it is read
    client = TLSStream(ours, client_context(), server_side=False, server_name="localhost")
    server = TLSStream(theirs, server_context(pair))  # type: ignore[arg-type]  # a Pair has what is used
    taken: list[bytes] = []

    async def connect(*_: object, **__: object) -> Connection:
        await client.do_handshake()
        return Connection(client, identify(pair.certificate), ("localhost",))

    async def take() -> None:
        await server.do_handshake()
        for _ in range(5):
            await trio.sleep(29)
            taken.append(await server.receive_some())
        await trio.sleep(29)
        await server.finish(SAVED)

    async def pieces() -> AsyncGenerator[bytes, None]:
        for piece in (b"a", b"b", b"c", b"d"):
            yield piece

    monkeypatch.setattr("pad19.cli.visit.connect", connect)
    visit = Visit(
        target_of("localhost/a.gmi"), credentials=None, redirects=False, via=None, timeout=30,
        known_hosts=KnownHosts(Path("known_hosts")), trust=False, verbose=False,
    )  # fmt: skip
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        header = await visit.exchange("titan://localhost/a.gmi;size=4", pieces())
    assert header.status == 30
    assert taken == [b"titan://localhost/a.gmi;size=4\r\n", b"a", b"b", b"c", b"d"]
    assert trio.current_time() == 6 * 29


def test_a_file_that_shrinks(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.gmi").write_bytes(b"x" * 100)
    real = os.fstat

    def larger(fd: int) -> os.stat_result:
        status = real(fd)
        return os.stat_result((*status[:6], status.st_size * 2, *status[7:10]))

    monkeypatch.setattr(os, "fstat", larger)
    with serving(Taking()) as server:
        result = run(put, "a.gmi", f"{server.name}/a.gmi")
    assert result.exit_code == 1
    assert said(result) == ["Error: the file became shorter while it was sent"]


def test_a_certificate() -> None:
    make_client("Ada", Path("ada.crt"), Path("ada.key"))
    with serving(Taking()) as server:
        assert run(put, "-", f"{server.name}/a.gmi", "--cert", "ada.crt", data=b"x").exit_code == 0
    assert server.fingerprints[0]


@pytest.mark.parametrize(
    ("typed", "target"),
    [
        ("example.org", "titan://example.org/"),
        ("example.org/a b", "titan://example.org/a%20b"),
        ("titan://example.org:1966/a", "titan://example.org:1966/a"),
        (" gemini://example.org/a?q ", "titan://example.org/a?q"),
        ("example.org/a#top", "titan://example.org/a"),
    ],
)
def test_targets(typed: str, target: str) -> None:
    assert str(target_of(typed)) == target
