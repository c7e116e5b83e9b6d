"""`pad19 get`: where redirects lead, and what is not carried there."""

import socket

import pytest

from cli.getting import PAGE, by_path, remembered, run, said
from pad19.tls.stream import TLSStream
from support.fake_server import answers, serving

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_redirects_are_followed() -> None:
    with serving(answers(PAGE)) as other:
        table = {
            "start": "30 next?new",
            "next": f"31 gemini://localhost:{other.port}",
        }
        with serving(by_path(**table)) as server:
            result = run(f"{server.uri}/a/start?old")
    assert result.exit_code == 0
    assert said(result) == ["30 next?new", f"31 gemini://localhost:{other.port}", "20 text/gemini"]
    assert server.requests == [f"{server.uri}/a/start?old", f"{server.uri}/a/next?new"]
    assert other.requests == [f"{other.uri}/"]
    assert len(remembered()) == 2


@pytest.mark.parametrize("target", ["/end", "#end", "end#top", "./end", "?"])
def test_the_old_query_is_not_carried_over(target: str) -> None:
    async def script(stream: TLSStream, request: str) -> None:
        await stream.finish(f"30 {target}\r\n".encode() if "old" in request else b"51\r\n")

    with serving(script) as server:
        run(f"{server.uri}/start?old")
    assert len(server.requests) == 2
    assert "old" not in server.requests[1]
    assert "#" not in server.requests[1]


def test_five_redirects_are_enough_and_six_are_not() -> None:
    with serving(by_path(**{f"r{n}": f"30 r{n + 1}" for n in range(9)}, r9="51 end")) as server:
        enough = run(f"{server.uri}/r4")
        endless = run(f"{server.uri}/r0")
    assert said(enough)[-1] == "51 end"
    assert len(said(enough)) == 6
    assert endless.exit_code == 1
    assert said(endless)[-1] == "Error: there are more than 5 redirects in a row"
    assert server.requests[6:] == [f"{server.uri}/r{n}" for n in range(6)]


def test_no_redirect() -> None:
    with serving(answers(b"30 /next\r\n")) as server:
        result = run(f"{server.uri}/", "--no-redirect")
    assert (result.exit_code, said(result), len(server.requests)) == (1, ["30 /next"], 1)


NOT_FOLLOWED = [  # target, what is said
    ("https://a.test/", "the redirect leads to another scheme, https: not followed"),
    ("titan://localhost/", "the redirect leads to another scheme, titan: not followed"),
    ("mailto:ada@a.test", "the redirect leads to another scheme, mailto: not followed"),
    ("gemini:x", "the redirect cannot be followed: the host is missing"),
    (
        "//ada@a.test/",
        "the redirect cannot be followed: there is no user in a Gemini URL: "
        "leave out what is in front of the @",
    ),
    ("two words", "the redirect cannot be followed: ' ' is not allowed in a URI"),
    ("/" + "x" * 1010, "the redirect cannot be followed: the URL is longer than 1024 bytes"),
]


@pytest.mark.parametrize(("target", "sentence"), NOT_FOLLOWED)
def test_redirects_that_are_not_followed(target: str, sentence: str) -> None:
    with serving(answers(f"30 {target}\r\n".encode())) as server:
        result = run(f"{server.uri}/")
    assert result.exit_code == 1
    assert said(result) == [f"30 {target}", f"Error: {sentence}"]
    assert len(server.requests) == 1


def test_only_the_own_host_is_elsewhere(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    with serving(answers(f"30 gemini://127.0.0.1:{port}/\r\n".encode())) as server:
        result = run("a.test", "--connect", f"127.0.0.1:{server.port}")
    assert (
        said(result)[-1]
        == f"Error: 127.0.0.1:{port} cannot be reached (Connection refused): is the server running?"
    )
    assert len(server.requests) == 1
