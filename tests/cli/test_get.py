"""`pad19 get`: one exchange, and the certificates of both sides."""

import re
import socket
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from cli.getting import PAGE, by_path, remembered, run, said
from pad19.cli.typed_uri import complete
from pad19.cli.visit import Visit
from pad19.tls.client import Connection
from pad19.tls.context import Contexts
from pad19.tls.identity import identify
from pad19.tls.known_hosts import KnownHosts
from pad19.tls.making import make_client
from support.fake_server import Script, answers, floods, serving, stalls, truncates
from support.tls import expired, memory_pair, self_signed

pytestmark = pytest.mark.usefixtures("elsewhere")

# One exchange


def test_a_page() -> None:
    with serving(answers(PAGE)) as server:
        result = run(f"{server.name}/two words#top")
    assert result.exit_code == 0
    assert result.stdout_bytes == PAGE.partition(b"\r\n")[2]
    key = identify(server.pair.certificate).key_fingerprint
    assert result.stderr == f"First visit to {server.name}: its public key is {key}\n20 text/gemini\n"
    assert server.requests == [f"{server.uri}/two%20words"]
    assert server.server_names == ["localhost"]
    assert remembered() == [f"{server.name} {key} 9999-12-31"]


ANSWERS = [  # header, exit status
    (b"20 text/gemini", 0),
    (b"29 text/gemini", 0),
    (b"10 Your name?", 1),
    (b"40", 1),
    (b"44 10", 1),
    (b"51 not found", 1),
    (b"60 who are you?", 1),
    (b"69", 1),
]


@pytest.mark.parametrize(("header", "status"), ANSWERS)
def test_exit_status(header: bytes, status: int) -> None:
    with serving(answers(header + b"\r\nbody")) as server:
        result = run(f"{server.uri}/")
    assert result.exit_code == status
    assert said(result)[0] == header.decode()
    assert result.stdout_bytes == (b"" if status else b"body")


def test_an_answer_is_asked_for_and_nobody_is_there() -> None:
    with serving(answers(b"11 Password?\r\n")) as server:
        result = run(f"{server.uri}/")
    assert result.exit_code == 1
    assert said(result) == [
        "11 Password?",
        "Error: an answer is asked for; append it to the URL, behind a question mark",
    ]


BAD = [  # what the server does, what is said, body
    (answers(b"hello\r\n"), r"gave no valid answer: its header does not begin with a two-digit status", b""),
    (answers(b""), r"gave no valid answer: it closed without a header", b""),
    (truncates(b"20 te"), r"gave no valid answer: it closed within the header", b""),
    (floods(b"x" * 999), r"gave no valid answer: its header is longer than 1029 bytes", b""),
    (stalls(), r"sent no header within 0.3 s", b""),
    (stalls(b"20 te"), r"sent no header within 0.3 s", b""),
    (stalls(b"20 a/b\r\nhalf"), r"sent nothing for 0.3 s: the body may be incomplete", b"half"),
    (truncates(b"20 a/b\r\nhalf"), r"closed without close_notify: the body may be incomplete", b"half"),
    (truncates(b"20 a/b\r\n"), r"closed without close_notify: the body may be incomplete", b""),
]


@pytest.mark.parametrize(("script", "sentence", "body"), BAD)
def test_bad_servers(script: Script, sentence: str, body: bytes) -> None:
    with serving(script) as server:
        result = run(f"{server.uri}/", "--timeout", "0.3")
        assert result.exit_code == 1
        assert said(result)[-1] == f"Error: {server.name} {sentence}"
    assert result.stdout_bytes == body


async def test_a_pause_is_no_stall(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], autojump_clock: MockClock
) -> None:
    pair = self_signed()
    client, server = await memory_pair(contexts=Contexts({"localhost": pair}))  # type: ignore[dict-item]  # a Pair has what is used

    async def connect(*_: object, **__: object) -> Connection:
        await trio.lowlevel.checkpoint()
        return Connection(client, identify(pair.certificate), ("localhost",))

    async def answer() -> None:
        await server.send_all(b"20 text/plain\r\n")
        for _ in range(4):
            await trio.sleep(29)
            await server.send_all(b".")
        await server.finish()

    monkeypatch.setattr("pad19.cli.visit.connect", connect)
    known_hosts = KnownHosts(Path("known_hosts"))
    visit = Visit(
        complete("localhost"), credentials=None, redirects=True, via=None, timeout=30,
        known_hosts=known_hosts, trust=False, verbose=False,
    )  # fmt: skip
    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        await visit.run()
    assert trio.current_time() - begin == 4 * 29
    assert capfdbinary.readouterr().out == b"...."


def test_nobody_shakes_hands(listener: socket.socket) -> None:
    name = f"localhost:{listener.getsockname()[1]}"
    result = run(name, "--timeout", "0.2")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {name} did not accept a TLS connection within 0.2 s\n"


def test_nobody_listens(listener: socket.socket) -> None:
    name = f"localhost:{listener.getsockname()[1]}"
    listener.close()
    result = run(name)
    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: {name} cannot be reached (Connection refused): is the server running?\n",
    )


def test_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    result = run("a.test")
    assert result.exit_code == 1
    assert result.stderr == "Error: a.test has no address that could be found (Name or service not known)\n"


USAGE = [  # arguments, what is said
    ([], "Missing argument 'URL'"),
    (["http://a.test/"], "only gemini URLs can be fetched, not http."),
    (["a.test/" + "x" * 1020], "the URL is longer than 1024 bytes."),
    (["a.test", "--timeout", "0"], "--timeout"),
    (["a.test", "--timeout", "nan"], "it is not a number."),
    (["a.test", "--connect", "a b"], "--connect"),
    (["a.test", "--connect", ""], "write HOST or HOST:PORT"),
    (["a.test", "--connect", "b.test/x"], "write HOST or HOST:PORT"),
    (["a.test", "--connect", "ada@b.test"], "write HOST or HOST:PORT"),
    (["a.test", "--connect", "::1"], "--connect"),
    (["a.test", "--connect", "127.0.0.1:1:1"], "such as 127.0.0.1:1965 or [::1]:1965."),
    (
        ["a.test", "--cert", "missing.crt"],
        "Error: --cert: missing.crt is missing; name the file that has it\n",
    ),
    (["a.test", "--cert", "."], "Error: --cert: . is a folder where a file belongs; name the file, or move"),
    (["a.test", "--cert", "empty.crt"], "Error: --cert: empty.crt is empty;"),
    (["a.test", "--cert", "index.gmi"], "--cert: index.gmi holds no certificate in PEM form; name the file"),
    (["a.test", "--cert", "ada.crt", "--key", "none.key"], "Error: --cert: none.key is missing;"),
    (["a.test", "--key", "empty.crt"], "--key goes with --cert."),
]


@pytest.mark.parametrize(("arguments", "sentence"), USAGE)
def test_wrong_command_lines(arguments: list[str], sentence: str) -> None:
    Path("empty.crt").touch()
    Path("index.gmi").write_text("# Home\n")
    make_client("Ada", Path("ada.crt"), Path("ada.key"))
    result = run(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert remembered() == []


def test_verbose() -> None:
    with serving(answers(PAGE)) as server:
        result = run(f"{server.uri}/", "-v")
    identity = identify(server.pair.certificate)
    expected = [
        r"  connected    to 127\.0\.0\.1 in [0-9.]+ ms",
        r"  handshake    TLSv1\.3 TLS_AES_128_GCM_SHA256 in [0-9.]+ ms",
        rf"  certificate  {identity.fingerprint}",
        rf"  public key   {identity.key_fingerprint}",
        r"  valid        2020-01-01 to 9999-12-31",
        r"  names        localhost",
        r"  header       after [0-9.]+ ms",
        r"20 text/gemini",
        r"  body         12 bytes in [0-9.]+ ms",
    ]
    assert len(said(result)) == len(expected)
    for line, pattern in zip(said(result), expected, strict=True):
        assert re.fullmatch(pattern, line)


# The server's certificate


def test_a_changed_key() -> None:
    with serving(answers(PAGE)) as server:
        assert run(f"{server.uri}/").exit_code == 0
        old = identify(server.pair.certificate).key_fingerprint
        server.pair = self_signed("another")
        new = identify(server.pair.certificate).key_fingerprint
        refused = run(f"{server.uri}/?secret")
        assert refused.exit_code == 1
        assert refused.stdout_bytes == b""
        for part in ("Error: ", old, new, "known_hosts", "--trust"):
            assert part in refused.stderr
        assert len(server.requests) == 1  # the secret was not told
        assert run(f"{server.uri}/", "--trust").exit_code == 0
        again = run(f"{server.uri}/")
    assert (again.exit_code, again.stdout_bytes) == (0, PAGE.partition(b"\r\n")[2])
    assert remembered() == [f"{server.name} {new} 9999-12-31"]


def test_a_file_that_cannot_be_read() -> None:
    with serving(answers(PAGE)) as server:
        result = run(f"{server.uri}/", "--known-hosts", ".")
    assert result.exit_code == 1
    assert said(result) == ["Error: . is not a file; name another one with --known-hosts"]
    assert server.requests == []


def test_another_file() -> None:
    with serving(answers(PAGE)) as server:
        assert run(f"{server.uri}/", "--known-hosts", "mine").exit_code == 0
    assert remembered() == []
    assert Path("mine").read_text().splitlines()[1].startswith(f"{server.name} sha256:")


def test_warnings_do_not_stop_it() -> None:
    with serving(answers(PAGE), pair=expired()) as server:
        result = run(f"{server.uri}/")
    assert result.exit_code == 0
    dates, names, _ = said(result)
    assert re.fullmatch(rf"Warning: {server.name}: this certificate expired on .*", dates)
    assert names == f"Warning: {server.name}: this certificate is for expired"


# Client certificates and --connect


@pytest.mark.parametrize("form", ["two files", "beside", "one file"])
def test_the_client_certificate_stays_with_its_host_and_port(form: str) -> None:
    credentials = make_client("Ada", Path("ada.crt"), Path("ada.key"))
    options = ["--cert", "ada.crt"]
    if form == "two files":
        Path("ada.key").rename("other.key")
        options += ["--key", "other.key"]
    elif form == "one file":
        Path("ada.pem").write_bytes(Path("ada.key").read_bytes() + Path("ada.crt").read_bytes())
        options = ["--cert", "ada.pem"]
        Path("ada.key").unlink()
    with (
        serving(answers(b"60\r\n")) as other,
        serving(by_path(start="30 next", next=f"30 gemini://localhost:{other.port}/")) as server,
    ):
        result = run(f"{server.uri}/start", *options)
    assert server.fingerprints == [credentials.fingerprint] * 2
    assert other.fingerprints == [None]
    assert f"The client certificate is not sent to {other.name}" in said(result)


def test_connect() -> None:
    with serving(answers(b"51\r\n"), pair=self_signed("a.test")) as server:
        result = run("a.test/x", "--connect", f"127.0.0.1:{server.port}")
        assert said(result) == ["51"]
        run(f"a.test:{server.port}/y", "--connect", "127.0.0.1")
    assert server.requests[:2] == ["gemini://a.test/x", f"gemini://a.test:{server.port}/y"]
    assert server.server_names[0] == "a.test"
    assert [line.split()[0] for line in remembered()] == ["a.test:1965", f"a.test:{server.port}"]


def test_an_interrupt_while_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(*_: object, **__: object) -> None:
        async with trio.open_nursery():  # as in trio.open_tcp_stream()
            raise KeyboardInterrupt

    monkeypatch.setattr("pad19.cli.visit.connect", connect)
    result = run("a.test")
    assert (result.exit_code, result.stderr) == (1, "Aborted!\n")


def test_nobody_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    result = run("localhost")
    assert result.exit_code == 2
    assert result.stderr.endswith("Error: You have no home folder; name a file with --known-hosts.\n")
