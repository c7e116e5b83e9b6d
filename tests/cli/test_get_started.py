"""`pad19 get` as it is started: with pipes, files and terminals."""

import codecs
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path
from urllib.parse import unquote

import pytest

from cli.getting import COMMAND, PAGE
from pad19.tls.stream import TLSStream
from support.fake_server import Script, answers, floods, serving, stalls

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_the_command_writes_bytes_to_a_file() -> None:
    content = bytes(range(256)) * 5000
    with serving(answers(b"20 a/b\r\n" + content)) as server, open("out", "wb") as file:
        done = subprocess.run([*COMMAND, server.name], stdout=file, stderr=subprocess.PIPE, check=True)
    assert Path("out").read_bytes() == content
    assert done.stderr.splitlines()[-1] == b"20 a/b"


def test_a_reader_that_has_seen_enough() -> None:
    """The body has no end: what ends it is the pipe, and nobody complains."""
    with serving(floods(b"20 a/b\r\n" + b"x" * 16000)) as server:
        with subprocess.Popen(
            [*COMMAND, server.name], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout
            assert process.stderr
            assert len(process.stdout.read(100_000)) == 100_000
            process.stdout.close()
            assert process.stderr.read().splitlines()[1:] == [b"20 a/b"]
        assert process.returncode == 1


def test_a_full_disk() -> None:
    with serving(answers(PAGE)) as server, open("/dev/full", "wb") as full:
        done = subprocess.run([*COMMAND, server.name], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[2:] == [
        b"Error: standard output cannot be written (No space left on device)"
    ]


def test_a_slow_body_is_shown_at_once() -> None:
    with (
        serving(stalls(b"20 text/plain\r\nfirst")) as server,
        subprocess.Popen(
            [*COMMAND, server.name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process,
    ):
        assert process.stdout
        assert process.stdout.read(5) == b"first"
        process.terminate()


def test_help_does_not_pay_for_openssl() -> None:
    code = "import sys, pad19.cli.get; print(*{'OpenSSL', 'cryptography', 'trio'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


class Terminal:
    """A person at a terminal who starts the command, reads what it says, and types."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.seen = ""
        self._decode = codecs.getincrementaldecoder("utf-8")().decode  # a read may end within a character

    def expect(self, text: str) -> None:
        while text not in self.seen:
            self._read()

    def _read(self) -> None:
        data = os.read(self._ours, 4096)
        if not data:
            raise EOFError(self.seen)
        self.seen += self._decode(data)

    def type(self, text: str) -> None:
        self.seen = ""
        os.write(self._ours, text.encode())

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self._ours)[3] & termios.ECHO)

    def finish(self) -> int:
        """Read to the end; the exit status."""
        try:
            while True:
                self._read()
        except OSError:  # how Linux says that the other side of a terminal is closed
            return self._process.wait()
        finally:
            os.close(self._ours)


def asking(first: bytes) -> Script:
    async def script(stream: TLSStream, request: str) -> None:
        query = request.partition("?")[2]
        text = f"20 text/plain\r\nHello {unquote(query)}\x1b[2J\r\n".encode()
        await stream.finish(first + b" Your name?\r\n" if not query or query == "old" else text)

    return script


def test_a_question_on_a_terminal() -> None:
    with serving(asking(b"10")) as server:
        terminal = Terminal(f"{server.name}/sign?old")
        terminal.expect("10 Your name?\r\n> ")
        terminal.type("Ada & Grace é?\n")
        assert terminal.finish() == 0
    assert server.requests[1] == f"{server.uri}/sign?Ada%20%26%20Grace%20%C3%A9%3F"
    assert terminal.seen == "Ada & Grace é?\r\n20 text/plain\r\nHello Ada & Grace é?␛[2J\r\n"


def test_an_empty_answer_is_an_answer() -> None:
    async def script(stream: TLSStream, request: str) -> None:
        await stream.finish(b"51 none\r\n" if request.endswith("?") else b"10 Your name?\r\n")

    with serving(script) as server:
        terminal = Terminal(f"{server.name}/sign")
        terminal.expect("> ")
        terminal.type("\n")
        assert terminal.finish() == 1
    assert server.requests[1:] == [f"{server.uri}/sign?"]


def test_a_secret_is_not_echoed() -> None:
    with serving(asking(b"11")) as server:
        terminal = Terminal(f"{server.name}/sign")
        terminal.expect("> ")
        assert not terminal.echoes()
        terminal.type("open sesame\n")
        assert terminal.finish() == 0
    assert server.requests[1] == f"{server.uri}/sign?open%20sesame"
    assert terminal.seen.count("sesame") == 1  # in the body


def test_an_answer_that_is_too_long() -> None:
    with serving(asking(b"10")) as server:
        terminal = Terminal(f"{server.name}/sign")
        terminal.expect("> ")
        terminal.type("ä" * 300 + "\n")
        assert terminal.finish() == 1
    assert terminal.seen.endswith("Error: this answer cannot be sent: the URL is longer than 1024 bytes\r\n")
    assert len(server.requests) == 1


@pytest.mark.parametrize("key", ["\x04", "\x03"])
def test_no_answer(key: str) -> None:
    with serving(asking(b"10")) as server:
        terminal = Terminal(f"{server.name}/sign")
        terminal.expect("> ")
        terminal.type(key)
        if key == "\x03":  # without a controlling terminal, the key sends no signal
            terminal._process.send_signal(2)
        assert terminal.finish() == 1
    assert "Aborted!" in terminal.seen
    assert "Traceback" not in terminal.seen


def test_a_picture_on_a_terminal() -> None:
    with serving(answers(b"20 image/png\r\n\x89PNG\x1b[2J")) as server:
        terminal = Terminal(server.name)
        assert terminal.finish() == 1
    assert "20 image/png\r\nError: a body of type image/png is not shown on a terminal" in terminal.seen
    assert "PNG\x1b" not in terminal.seen
