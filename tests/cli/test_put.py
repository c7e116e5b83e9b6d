"""`pad19 put` and `pad19 edit`."""

import os
import re
import subprocess
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

import click
import pytest
import trio
from click.testing import CliRunner, Result
from trio.testing import MockClock, lockstep_stream_pair

from pad19.cli.delivery import target_of
from pad19.cli.edit import edit
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
from support.process import serving as pad19
from support.tls import self_signed

SAVED = b"30 gemini://localhost/n.gmi\r\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    for name in ("PAD19_TOKEN", "VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)


def run(command: click.Command, *arguments: str, data: bytes | None = None) -> Result:
    return CliRunner().invoke(command, arguments, input=data, catch_exceptions=False)


def said(result: Result) -> list[str]:
    return [line for line in result.stderr.splitlines() if not line.startswith("First visit")]


class Taking:
    """A script that takes what the line announces, and then says something by the kind of request."""

    def __init__(self, saved: bytes = SAVED, page: bytes = b"20 text/gemini\r\n# Old\n") -> None:
        self.saved = saved
        self.page = page
        self.bodies: list[bytes] = []

    async def __call__(self, stream: TLSStream, request: str) -> None:
        if request.partition("?")[0].endswith(";edit"):
            await stream.finish(self.page)
            return
        size = int(request.partition(";size=")[2].partition(";")[0].partition("?")[0])
        body = b""
        while len(body) < size:
            data = await stream.receive_some()
            if not data:
                break
            body += data
        self.bodies.append(body)
        await stream.finish(self.saved)


# Putting


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


# Editing


@pytest.fixture
def editor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    def choose(script: str) -> None:
        path = tmp_path / "editor"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("VISUAL", str(path))

    return choose


def kept(tmp_path: Path) -> list[bytes]:
    return [path.read_bytes() for path in tmp_path.glob("pad19-*") if path.is_file()]


def test_editing(editor: Callable[[str], None], tmp_path: Path) -> None:
    editor("case $1 in *.txt) ;; *) exit 1;; esac; echo more >> $1")
    script = Taking(page=b"20 text/plain; charset=utf-8\r\nold\n")
    with serving(script) as server:
        result = run(edit, f"{server.name}/n.txt", "--token", "open sesame")
    assert result.exit_code == 0, result.stderr
    assert said(result) == ["20 text/plain; charset=utf-8", "30 gemini://localhost/n.gmi"]
    uri = f"titan://{server.name}/n.txt"
    assert server.requests == [f"{uri};edit", f"{uri};mime=text/plain;size=9;token=open%20sesame"]
    assert script.bodies == [b"old\nmore\n"]
    assert kept(tmp_path) == []


def test_a_new_page(editor: Callable[[str], None], tmp_path: Path) -> None:
    editor("echo new > $1")
    script = Taking(page=b"51 not found\r\n")
    with serving(script) as server:
        assert run(edit, f"{server.name}/n.gmi").exit_code == 0
    assert server.requests[1] == f"titan://{server.name}/n.gmi;mime=text/gemini;size=4"
    assert script.bodies == [b"new\n"]


@pytest.mark.parametrize(
    ("path", "mimetype"),
    [
        ("n.txt?draft", "text/plain"),
        ("page/tea", "text/gemini"),  # what is edited is text
    ],
)
def test_the_type_of_a_new_page(path: str, mimetype: str, editor: Callable[[str], None]) -> None:
    editor("echo new > $1")
    with serving(Taking(page=b"51 not found\r\n")) as server:
        assert run(edit, f"{server.name}/{path}").exit_code == 0
    assert f";mime={mimetype};" in server.requests[1]


def test_nothing_was_changed(editor: Callable[[str], None], tmp_path: Path) -> None:
    editor("touch $1")
    script = Taking()
    with serving(script) as server:
        result = run(edit, f"{server.name}/n.gmi")
    assert result.exit_code == 0
    assert said(result)[-1] == "Nothing was changed."
    assert script.bodies == []
    assert kept(tmp_path) == []


NOT_SAVED = [  # what the editor does, the server's answer, what is said, what is kept
    ("echo more >> $1", b"50 changed meanwhile\r\n", "50 changed meanwhile", b"# Old\nmore\n"),
    ("echo more >> $1", b"bad\r\n", "Error: ", b"# Old\nmore\n"),
    ("echo more >> $1; exit 3", SAVED, "Error: ", b"# Old\nmore\n"),
]


@pytest.mark.parametrize(("does", "answer", "sentence", "text"), NOT_SAVED)
def test_a_text_that_was_not_saved_is_kept(
    does: str, answer: bytes, sentence: str, text: bytes, editor: Callable[[str], None], tmp_path: Path
) -> None:
    editor(does)
    with serving(Taking(answer)) as server:
        result = run(edit, f"{server.name}/n.gmi")
    assert result.exit_code == 1
    assert any(line.startswith(sentence) for line in said(result)), result.stderr
    assert f"Your text is kept in {tmp_path}/pad19-" in result.stderr
    assert kept(tmp_path) == [text]
    [path] = tmp_path.glob("pad19-*")
    assert path.stat().st_mode & 0o777 == 0o600


class Moved(Taking):
    """One that has the page elsewhere."""

    def __init__(self, moves: dict[str, str]) -> None:
        """``moves``: paths to redirects."""
        super().__init__()
        self.moves = moves

    async def __call__(self, stream: TLSStream, request: str) -> None:
        path = f"/{request.split('/', 3)[3]}"
        if path in self.moves:
            await stream.finish(f"{self.moves[path]}\r\n".encode())
        else:
            await super().__call__(stream, request)


@pytest.mark.parametrize("target", ["/new/n.gmi", "titan://HOST/new/n.gmi;edit", "gemini://HOST/new/n.gmi"])
def test_a_page_that_has_moved(target: str, editor: Callable[[str], None], tmp_path: Path) -> None:
    editor("echo more >> $1")
    script = Moved({"/n.gmi;edit": "30 /old/n.gmi"})
    with serving(script) as server:
        script.moves["/old/n.gmi;edit"] = f"31 {target.replace('HOST', server.name)}"
        assert run(edit, f"{server.name}/n.gmi").exit_code == 0
        name = server.name
    assert server.requests[2:] == [
        f"titan://{name}/new/n.gmi;edit",
        f"titan://{name}/new/n.gmi;mime=text/gemini;size=11",
    ]
    assert script.bodies == [b"# Old\nmore\n"]
    assert kept(tmp_path) == []


ELSEWHERE = [  # redirect, what is said
    ("30 titan://b.test/n.gmi;edit", "it has moved: edit titan://b.test/n.gmi"),
    ("30 //localhost:1/n.gmi", "it has moved: edit titan://localhost:1/n.gmi"),
    ("31 https://b.test/n.gmi", "it has moved: edit https://b.test/n.gmi"),
    ("30 /n.gmi", "there are more than 5 redirects in a row"),
]


@pytest.mark.parametrize(("header", "sentence"), ELSEWHERE)
def test_a_page_that_is_not_found_again(header: str, sentence: str, editor: Callable[[str], None]) -> None:
    editor("touch ran")
    with serving(Moved({"/n.gmi;edit": header})) as server:
        result = run(edit, f"{server.name}/n.gmi")
    assert result.exit_code == 1
    assert said(result)[-1] == f"Error: {sentence}"
    assert not Path("ran").exists()


NOTHING_WRITTEN = [  # what the editor does, what is said
    (": > $1", "Error: the text is empty, and that would delete the page"),
    ("exit 3", "Error: "),
]


@pytest.mark.parametrize(("does", "sentence"), NOTHING_WRITTEN)
def test_nothing_is_kept_where_nothing_was_written(
    does: str, sentence: str, editor: Callable[[str], None], tmp_path: Path
) -> None:
    editor(does)
    with serving(Taking()) as server:
        result = run(edit, f"{server.name}/n.gmi")
    assert result.exit_code == 1
    assert said(result)[-1].startswith(sentence)
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "reason"), [("/none/editor", "No such file or directory"), ("vi '", "No closing quotation")]
)
def test_there_is_no_editor(name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", name)
    with serving(Taking()) as server:
        result = run(edit, f"{server.name}/n.gmi")
    assert result.exit_code == 1
    assert said(result)[1:] == [
        f"Error: the editor cannot be started ({reason}); name another one in VISUAL or EDITOR"
    ]
    assert kept(tmp_path) == []


@pytest.mark.parametrize("header", [b"59 no", b"60 a certificate"])
def test_a_page_that_cannot_be_edited(header: bytes, editor: Callable[[str], None], tmp_path: Path) -> None:
    editor(f"touch {tmp_path}/ran")
    with serving(Taking(page=header + b"\r\n")) as server:
        result = run(edit, f"{server.name}/n.gmi")
    assert result.exit_code == 1
    assert said(result) == [header.decode()]
    assert not (tmp_path / "ran").exists()


def test_only_text_is_edited(editor: Callable[[str], None], tmp_path: Path) -> None:
    editor(f"touch {tmp_path}/ran")
    with serving(Taking(page=b"20 image/png\r\nPNG")) as server:
        result = run(edit, f"{server.name}/n.png")
    assert result.exit_code == 1
    assert said(result)[-1] == "Error: this is image/png, which is no text"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("does", ["rm $1", "rm $1; mkdir $1"])
def test_an_editor_that_removes_the_file(does: str, editor: Callable[[str], None], tmp_path: Path) -> None:
    editor(does)
    script = Taking()
    with serving(script) as server:
        result = run(edit, f"{server.name}/n.gmi")
    assert result.exit_code == 1
    [_, error, *kept_in] = said(result)
    assert script.bodies == []
    if "mkdir" in does:
        error, kept_in = kept_in[-1], [error]
        assert error.startswith(f"Error: {tmp_path}/pad19-")
        assert error.endswith(" cannot be read any more (Is a directory)")
    else:
        assert re.fullmatch(
            rf"Error: the editor has removed {tmp_path}/pad19-\S+, so nothing was uploaded; "
            "what deletes a page is `pad19 put --delete`",
            error,
        )
        assert kept_in == []


@pytest.mark.parametrize(
    "typed", ["titan://HOST/n.gmi;edit", " HOST/n.gmi;edit ", "gemini://HOST/n.gmi;edit?q"]
)
def test_a_url_as_clients_write_it(typed: str, editor: Callable[[str], None]) -> None:
    editor("echo more >> $1")
    with serving(Taking()) as server:
        assert run(edit, typed.replace("HOST", server.name)).exit_code == 0
    query = "?q" if "?q" in typed else ""
    assert server.requests == [
        f"titan://{server.name}/n.gmi;edit{query}",
        f"titan://{server.name}/n.gmi;mime=text/gemini;size=11{query}",
    ]


# Together with our own server


@pytest.fixture
def capsule(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "capsule"
    (folder / "content").mkdir(parents=True)
    (folder / "content/n.gmi").write_text("# Old\n")
    (folder / "pad19.toml").write_text(
        "[server]\nlisten = ['127.0.0.1:0']\n[[capsule]]\n"
        "[capsule.titan]\ntoken = 'open sesame'\ndelete = true\n"
    )
    with pad19(folder, home=tmp_path) as server:
        yield f"localhost:{server.address[1]}"


def test_all_of_it(capsule: str, editor: Callable[[str], None], tmp_path: Path) -> None:
    page = tmp_path / "capsule/content/n.gmi"
    sesame = ("--token", "open sesame")
    editor("echo edited >> $1")
    assert run(edit, f"{capsule}/n.gmi", *sesame).exit_code == 0
    assert page.read_text() == "# Old\nedited\n"
    editor(f"echo again >> $1; echo meanwhile > {page}")
    result = run(edit, f"{capsule}/n.gmi", *sesame)
    assert result.exit_code == 1
    assert "50 this has changed since you opened it" in result.stderr
    assert page.read_text() == "meanwhile\n"
    assert kept(tmp_path) == [b"# Old\nedited\nagain\n"]
    [text] = tmp_path.glob("pad19-*.gmi")
    assert run(put, str(text), f"{capsule}/new.gmi", *sesame).exit_code == 0
    assert run(put, str(text), f"{capsule}/new.gmi", "--token", "wrong one").exit_code == 1
    assert (page.parent / "new.gmi").read_text() == "# Old\nedited\nagain\n"
    assert run(put, "--delete", f"{capsule}/new.gmi", *sesame).exit_code == 0
    assert not (page.parent / "new.gmi").exists()
