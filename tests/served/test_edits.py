"""Editing over the wire: who gets which text, and whose upload is refused."""

import ssl
from pathlib import Path

import pytest

from pad19.tls.identity import identify_pem
from pad19.tls.making import make_client
from support.process import gemini
from support.server import stdlib_context
from support.titan import K, configuration, put, send, served

pytestmark = pytest.mark.machine

ROUTE = """
from pad19 import Request, Routes
routes = Routes()
@routes.gemini("/{name}", certificate=True)
async def show(request: Request, name: str) -> str:
    return "for certificates only"
"""


@pytest.fixture
def ada(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """A client with a certificate, and its fingerprint."""
    certificate, key = tmp_path / "ada.crt", tmp_path / "ada.key"
    make_client("Ada", certificate, key)
    context = stdlib_context()
    context.load_cert_chain(certificate, key)
    return context, identify_pem(certificate.read_bytes()).fingerprint


def test_two_devices_with_one_certificate(ada: tuple[ssl.SSLContext, str], tmp_path: Path) -> None:
    context, fingerprint = ada
    zone = f"[[capsule.zone]]\npath = '/ada/'\nallow = 'everybody'\nwrite = '{fingerprint}'\n"
    text = configuration(more=zone).replace("[server]", "[server]\nworkers = 2", 1)
    with served(tmp_path, text) as server:
        page = tmp_path / "content/ada/x.gmi"
        page.parent.mkdir()
        page.write_text("v1")
        there = server.address
        afar = "127.0.0.2"
        for source in (None, afar):
            assert send(there, "/ada/x.gmi", ";edit", context=context, source=source).body == b"v1"
        laptop = send(there, "/ada/x.gmi", ";mime=text/plain;size=6", b"laptop", context)
        assert laptop.received == f"30 {gemini(there, '/ada/x.gmi')}\r\n".encode()
        parameters = ";mime=text/plain;size=9"
        telephone = send(there, "/ada/x.gmi", parameters, b"telephone", context, source=afar)
        assert telephone.status == 50
        assert page.read_text() == "laptop"
        assert send(there, "/ada/x.gmi", ";edit", context=context).body == b"laptop"
        both = b"laptop and telephone"
        assert send(there, "/ada/x.gmi", f";mime=text/plain;size={len(both)}", both, context).status == 30
        assert page.read_bytes() == both


def test_an_author_who_opens_a_page_twice(ada: tuple[ssl.SSLContext, str], tmp_path: Path) -> None:
    context, fingerprint = ada
    zone = f"[[capsule.zone]]\npath = '/n.gmi'\nallow = 'everybody'\nwrite = '{fingerprint}'\n"
    with served(tmp_path, configuration(more=zone)) as server:
        for asks, text in ((2, b"1"), (1, b"2"), (0, b"3"), (1, b"4"), (0, b"5")):
            for _ in range(asks):
                assert send(server.address, "/n.gmi", ";edit", context=context).status == 20
            assert send(server.address, "/n.gmi", ";mime=text/plain;size=1", text, context).status == 30
        assert (tmp_path / "content/n.gmi").read_bytes() == b"5"


def test_what_a_route_guards(ada: tuple[ssl.SSLContext, str], tmp_path: Path) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes/notes.py").write_text(ROUTE)
    with served(tmp_path, configuration(more="routes = 'routes'")) as server:
        (tmp_path / "content/notes").mkdir()
        (tmp_path / "content/notes/secret.gmi").write_text("secret")
        assert send(server.address, "/notes/secret.gmi", ";edit").status == 60
        assert send(server.address, "/notes/secret.gmi", ";edit", context=ada[0]).body == b"secret"


def test_what_has_moved(tmp_path: Path) -> None:
    moved = "[[capsule.redirect]]\nfrom = '/old/{rest:path}'\nto = '/{rest}'\npermanent = true\n"
    with served(tmp_path, configuration(more=moved)) as server:
        there = server.address
        target = gemini(there, "/n.gmi").replace("gemini", "titan", 1)
        assert send(there, "/old/n.gmi", ";edit").received == f"31 {target};edit\r\n".encode()
        assert send(there, "/n.gmi", ";edit").status == 20
        (tmp_path / "content/notes").mkdir()
        folder = send(there, "/notes", ";edit")
        assert folder.received == b"59 this is the path of a folder: add the name of a file\r\n"
        assert put(there, "/n.gmi", b"new").status == 30


def test_a_file_that_says_little_of_itself(tmp_path: Path) -> None:
    """As Lagrange sends it: its source (src/gmrequest.c) writes the type as it is."""
    with served(tmp_path, configuration()) as server:
        parameters = f";mime=text/plain; charset=utf-8;size=5{K}"
        assert send(server.address, "/LICENSE", parameters, b"hello").status == 30
        [record] = server.records(1)
        assert record["request"].endswith("/LICENSE;mime=text/plain;%20charset=utf-8;size=5;token=...")
    assert (tmp_path / "content/LICENSE").read_bytes() == b"hello"
