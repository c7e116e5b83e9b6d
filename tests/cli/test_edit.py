"""`pad19 edit`."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.delivering import SAVED, Taking, run
from cli.getting import said
from pad19.cli.edit import edit
from pad19.cli.put import put
from pad19.tls.stream import TLSStream
from support.fake_server import serving
from support.process import serving as pad19

pytestmark = pytest.mark.usefixtures("elsewhere")


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
