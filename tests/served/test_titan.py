"""Uploads as clients make them, to files and to routes."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from pad19.tls.identity import identify_pem
from pad19.tls.making import make_client
from support.capsule_folder import reload
from support.clients import run_client
from support.process import Serving, fetch, gemini
from support.titan import OLD, TOKEN, K, configuration, put, send, served
from support.uploads import files_below, versions_of

pytestmark = pytest.mark.machine


# Clients


def test_the_form_of_lagrange(uploads: Serving, tmp_path: Path) -> None:
    """What it sends (src/gmrequest.c): ``mime`` first, and the token percent-encoded and last."""
    there = uploads.address
    page = gemini(there, "/n.gmi")
    answer = send(there, "/n.gmi", f";mime=text/plain;size=14{K}", "# Café\n\nHello".encode())
    assert answer.received == f"30 {page}\r\n".encode()
    assert answer.clean
    assert fetch(there, page).received == "20 text/gemini\r\n# Café\n\nHello".encode()
    # "Edit page with Titan": the text, and what becomes of it without ";edit".
    assert send(there, "/n.gmi", ";edit").received == "20 text/gemini\r\n# Café\n\nHello".encode()
    assert send(there, "/n.gmi", f";mime=text/plain;size=7{K}", b"# Hello").status == 30
    assert fetch(there, page).body == b"# Hello"
    (tmp_path / "content/n.gmi").write_text("# Changed meanwhile")
    answer = send(there, "/n.gmi", f";mime=text/plain;size=7{K}", b"# Hello")
    assert answer.status == 50
    assert answer.meta
    assert answer.meta.startswith("this has changed since you opened it, and stays as it is: ")
    assert fetch(there, page).body == b"# Changed meanwhile"
    assert send(there, "/n.gmi", ";edit").body == b"# Changed meanwhile"
    assert send(there, "/n.gmi", f";mime=text/gemini;size=0{K}").status == 20
    assert fetch(there, page).status == 51
    content = files_below(tmp_path / "content")
    assert content == {}
    assert len(versions_of(tmp_path / "content", "n.gmi")) == 3
    assert "sesame" not in uploads.out + uploads.err


NAUYACA = """
import asyncio, json, sys
from pathlib import Path
from nauyaca.client.session import GeminiClient
uri, folder, token, *certificate = sys.argv[1:]
options = dict(zip(("client_cert", "client_key"), certificate))
async def main():
    async with GeminiClient(tofu_db_path=Path(folder, "tofu.db"), **options) as client:
        answers = [
            await client.upload(uri, "# First", token=token or None),
            await client.upload(uri, "# Second", "text/plain", token=token or None),
            await client.get(uri),
            await client.upload(uri, b"PNG", "image/png", token=token or None),
            await client.delete(uri, token=token or None),
            await client.get(uri),
        ]
    print(json.dumps([[answer.status, answer.meta, answer.body] for answer in answers]))
asyncio.run(main())
"""


@pytest.mark.skipif(find_spec("nauyaca") is None, reason="nauyaca is not installed")
@pytest.mark.parametrize("by", ["token", "certificate"])
def test_a_client_of_other_hands(by: str, tmp_path: Path) -> None:
    certificate, key = tmp_path / "ada.crt", tmp_path / "ada.key"
    make_client("Ada", certificate, key)
    ada = identify_pem(certificate.read_bytes()).fingerprint
    zone = f"[[capsule.zone]]\npath = '/ada/'\nallow = 'everybody'\nwrite = '{ada}'\n"
    text = configuration("delete = true\nfolders = true", zone)
    token = "swordfish"  # it encodes none
    with served(tmp_path, text.replace(TOKEN, token)) as server:
        uri = gemini(server.address, "/ada/a.gmi" if by == "certificate" else "/a.gmi")
        arguments = ["", certificate, key] if by == "certificate" else [token]
        first, second, page, png, deleted, gone = run_client(NAUYACA, tmp_path, uri, tmp_path, *arguments)
        assert "swordfish" not in server.out
    assert first[:2] == second[:2] == [30, uri]
    assert page == [20, "text/gemini", "# Second"]
    assert png[:2] == [59, "image/png may not be uploaded here, only text/*"]
    assert deleted[0] == 20
    assert gone[0] == 51


# Edits


def test_an_edit_is_remembered_by_all_workers_and_after_a_reload(tmp_path: Path) -> None:
    text = configuration().replace("[server]", "[server]\nworkers = 3", 1)
    with served(tmp_path, text) as server:
        assert send(server.address, "/n.gmi", ";edit").body == OLD
        (tmp_path / "content/n.gmi").write_text("changed")
        reload(server)
        for _ in range(6):
            assert put(server.address, "/n.gmi", b"mine").status == 50
    assert (tmp_path / "content/n.gmi").read_text() == "changed"


# Routes


def test_a_route_takes_uploads(tmp_path: Path) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes/notes.py").write_text(
        "from pad19 import Request, Routes\n"
        "routes = Routes()\n"
        "@routes.titan('/{name}', max_size=100_000)\n"
        "async def save(request: Request, name: str) -> str:\n"
        "    count = 0\n"
        "    async for chunk in request.upload:\n"
        "        count += len(chunk)\n"
        "    return f'{name}: {count} of {request.upload.size}, {request.upload.mime}'\n"
    )
    with served(tmp_path, configuration(more="routes = 'routes'")) as server:
        body = b"x" * 100_000
        answer = send(server.address, "/notes/tea", f";size={len(body)};mime=text/plain", body)
        assert answer.body == b"tea: 100000 of 100000, text/plain"
        assert send(server.address, "/notes/tea", ";size=100001", body).status == 59
        assert send(server.address, "/notes/tea", ";edit").status == 50


def test_a_route_is_not_asked_where_titan_is_off(tmp_path: Path) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes/index.py").write_text(
        "from pad19 import Request, Routes\nroutes = Routes()\n"
        "@routes.titan('/{name}')\nasync def save(request: Request, name: str) -> str: return name\n"
    )
    text = re.sub(r"\[capsule\.titan\]\n.*\n", "", configuration(more="routes = 'routes'"))
    with served(tmp_path, text) as server:
        assert send(server.address, "/a", ";size=1", b"x").received == b"53 titan is not served here\r\n"
        assert "uploads to its routes are refused" in server.err
