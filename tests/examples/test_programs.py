"""The programs in cgi-bin/, run as the server runs them."""

import re
import shutil

import pytest

from pad19.protocol.client import Client, Identity
from pad19.protocol.gemtext import Link, Preformatted, parse
from pad19.protocol.request import parse_request
from pad19.routes.cgi.environment import Gateway
from pad19.routes.cgi.handler import CGI
from pad19.routes.cgi.output import OutputBody
from pad19.testing import identity
from support.scripts import running

from .conftest import CAPSULE

PATH = "/usr/local/bin:/usr/bin:/bin"  # of programs
FOLDER = CAPSULE / "cgi-bin"


def needs(interpreter: str) -> pytest.MarkDecorator:
    missing = shutil.which(interpreter, path=PATH) is None
    return pytest.mark.skipif(missing, reason=f"{interpreter} is not on this machine")


async def get(target: str, certificate: Identity | None = None) -> str:
    """The header, and the body behind it."""
    request = parse_request(f"gemini://localhost/cgi-bin/{target}".encode(), Client(certificate=certificate))
    async with running() as programs:
        response = await CGI("/cgi-bin/", FOLDER, Gateway(CAPSULE / "content"), programs)(request)
        header = f"{int(response.status)} {response.meta}\n"
        if not isinstance(response.body, OutputBody):
            return header
        try:
            return header + b"".join([chunk async for chunk in response.body]).decode()
        finally:
            await response.body.aclose()


def test_they_can_be_run() -> None:
    programs = sorted(FOLDER.iterdir())
    assert [program.name for program in programs] == ["mandelbrot.awk", "roman.py", "whoami.sh"]
    for program in programs:
        assert program.stat().st_mode & 0o111 == 0o111
        assert re.match(r"#!/(usr/)?bin/\w+", program.read_text("utf-8"))


ROMAN = [  # answer, heading
    ("1", "# 1 is I"),
    ("0004", "# 4 is IV"),
    ("%201994%20", "# 1994 is MCMXCIV"),
    ("3999", "# 3999 is MMMCMXCIX"),
    ("888", "# 888 is DCCCLXXXVIII"),
]


@needs("python3")
@pytest.mark.parametrize(("answer", "heading"), ROMAN)
async def test_roman_numerals(answer: str, heading: str) -> None:
    assert (await get(f"roman.py?{answer}")).startswith(f"20 text/gemini\n{heading}\n")


@needs("python3")
@pytest.mark.parametrize(
    "query", ["", "?", "?0", "?4000", "?-1", "?1.5", "?x", "?%D9%A3", "?1%0A=%3E", "?%00"]
)
async def test_roman_numerals_ask_again(query: str) -> None:
    assert await get(f"roman.py{query}") == "10 A number from 1 to 3999?\n"


@needs("sh")
async def test_whoami() -> None:
    assert await get("whoami.sh") == "60 Come with a certificate, and this page tells what it says\n"
    ada = identity("Ada")
    assert await get("whoami.sh", ada) == (
        "20 text/gemini\n# What your certificate says\n\n> Ada\n\n"
        f"* fingerprint: {ada.fingerprint.removeprefix('sha256:')}\n* valid until: 9999-12-31T00:00:00Z\n"
        "\n=> /examples.gmi All examples\n"
    )


NAMES = [  # name, line
    ("=> gemini://evil.test/", "> => gemini://evil.test/"),
    ("a\nb\r\n=> x", "> a b  => x"),
    ("%s$(id)`id`\\n", "> %s$(id)`id`\\n"),
    ("\x1b[2Jé", ">  [2Jé"),
    ("-n *", "> -n *"),
]


@needs("sh")
@pytest.mark.parametrize(("name", "line"), NAMES)
async def test_whoami_keeps_names_in_their_line(name: str, line: str) -> None:
    assert f"\n\n{line}\n\n* " in await get("whoami.sh", identity(name))


@needs("awk")
async def test_mandelbrot() -> None:
    header, _, page = (await get("mandelbrot.awk")).partition("\n")
    assert header == "20 text/gemini"
    lines = parse(page)
    [picture] = [line for line in lines if isinstance(line, Preformatted)]
    assert picture.alt == "The Mandelbrot set around -0.5, 0, drawn with characters"
    rows = picture.text.split("\n")
    assert len(rows) == 28
    assert {len(row) for row in rows} == {64}
    assert rows[14][32] == "@"  # the middle, -0.5, is in it
    assert rows[0][0] == "."  # and the corner is far away
    for line in lines:
        if isinstance(line, Link) and line.uri.startswith("?"):
            assert (await get(f"mandelbrot.awk{line.uri}")).startswith("20 text/gemini\n"), line


@needs("awk")
@pytest.mark.parametrize(
    "query", ["x", "1,2", "1,2,3,4", "0,0,1;x", "1e9,0,1", "%30,0,1", "0,0,1%0A", "0," * 40]
)
async def test_mandelbrot_refuses_other_queries(query: str) -> None:
    assert await get(f"mandelbrot.awk?{query}") == "59 three numbers are needed, as in ?-0.5,0,3.2\n"


@needs("awk")
@pytest.mark.parametrize("query", ["5,0,1", "0,-5,1", "0,0,9", "0,0,0", "0,0,-1", "0,0,0.00000000001"])
async def test_mandelbrot_has_an_end(query: str) -> None:
    assert await get(f"mandelbrot.awk?{query}") == "59 there is nothing to be seen there\n"
