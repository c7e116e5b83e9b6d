"""Uploads to paths that routes guard, or take themselves."""

from pathlib import Path

import pytest

from pad19.protocol.client import Client
from pad19.protocol.request import Request
from pad19.service.handlers import handler_for
from pad19.service.mounting import Backends
from pad19.testing import identity
from service.uploading import ADA, TITAN, TOKEN, answer, configure, handling, make_folder
from support.uploads import edit, upload

pytestmark = pytest.mark.usefixtures("fresh_imports")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


# Where routes do not load, nobody knows what they would have taken

TAKES = """
from pad19 import Routes, TitanRequest
routes = Routes()
@routes.titan("/x")
async def take(request: TitanRequest) -> str:
    return "taken"
"""
CLOSED = "42 internal error|"
PAGE, BELOW = "/n.gmi", "/a/n.gmi"  # in both cases an old one is there
UNKNOWN = [  # broken file, whether it is for a worker that died, uploads and answers
    ("a", False, [(upload(BELOW, b"new", token=TOKEN), "42 NameError: "), (edit(BELOW), "42 NameError: ")]),
    ("a", True, [(upload(BELOW, b"new", token=TOKEN), CLOSED), (edit(BELOW), CLOSED)]),
    ("a", False, [(upload(PAGE, b"new", token=TOKEN), "30 "), (edit(PAGE), "20 text/gemini|new")]),
    ("a", False, [(upload(BELOW, size=2**30, token=TOKEN), "42 NameError: ")]),
    ("index", False, [(upload(PAGE, b"new", token=TOKEN), "42 NameError: "), (edit(PAGE), "42 NameError: ")]),
    ("index", True, [(upload(PAGE, b"new", token=TOKEN), CLOSED), (edit(PAGE), CLOSED)]),
    ("index", False, [(upload("/b/x", b"new"), "20 text/gemini|taken"), (edit("/b/x"), "50 this can be")]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "stands_in", "answers"), UNKNOWN)
async def test_files_are_not_uploaded_for_routes_that_do_not_load(
    folder: Path, name: str, stands_in: bool, answers: list[tuple[Request, str]]
) -> None:
    (folder / "content/a").mkdir()
    (folder / "content/a/n.gmi").write_text("old")
    (folder / "routes/b.py").write_text(TAKES)
    (folder / f"routes/{name}.py").write_text("oops")
    config = configure(folder, f"[[capsule]]\nroutes = 'routes'\n{TITAN}")
    backends = Backends(config, is_development=not stands_in, stands_in=stands_in)
    handler = handler_for(config.capsules[0], backends)
    async with backends.living():
        for request, start in answers:
            assert (await answer(handler, request)).startswith(start)
    assert (folder / "content/a/n.gmi").read_text() == "old"
    is_stored = any(start.startswith("30") for _, start in answers)
    assert (folder / "content/n.gmi").read_text() == ("new" if is_stored else "old")


def test_that_they_would_take_uploads_is_nobody_s_claim(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "routes/a.py").write_text("oops")
    config = configure(folder, "[[capsule]]\nroutes = 'routes'\n")
    handler_for(config.capsules[0], Backends(config, is_development=True))
    [message] = caplog.messages
    assert "NameError" in message


# Editing what routes guard

GUARDING = """
from pad19 import CertificateNotAuthorised, Input, NotFound, Redirect, Request, Routes

routes = Routes()

@routes.gemini("/certificate/{name}", certificate=True)
async def certificate(request: Request, name: str) -> str:
    return "for any certificate"

@routes.gemini("/ada/{name}", allow={"FINGERPRINT"})
async def ada(request: Request, name: str) -> str:
    return "for Ada"

@routes.gemini("/own/{name}")
def own(request: Request, name: str) -> str:
    raise CertificateNotAuthorised("this is for the owner")

@routes.gemini("/word/{name}")
async def word(request: Request, name: str) -> str | Input:
    return "for who knows the word" if request.query == "sesame" else Input("The word?")

@routes.gemini("/moved/{name}")
async def moved(request: Request, name: str) -> Redirect:
    return Redirect("../open/n.gmi")

@routes.gemini("/none/{name}")
async def none(request: Request, name: str) -> str:
    raise NotFound("no such page")

@routes.gemini("/failing/{name}")
async def failing(request: Request, name: str) -> str:
    raise RuntimeError("a mistake")

@routes.gemini("/open/{name}")
async def show(request: Request, name: str):
    yield "for everybody"

around = Routes()

@around.around
async def guard(request, call_next):
    if request.client.certificate is None:
        raise CertificateNotAuthorised("not by us")
    return await call_next(request)

@around.gemini("/{name}")
async def inside(request: Request, name: str) -> str:
    return "for any certificate"

routes.include(around, "/around")
"""
_READ = "20 text/gemini|secret"
_ROUTED = [  # folder, the answer to a stranger, the answer to Ada
    ("certificate", "60 this page needs a client certificate", _READ),
    ("ada", "60 this page needs a client certificate", _READ),
    ("own", "61 this is for the owner", "61 this is for the owner"),
    ("word", "10 The word?|", "10 The word?|"),
    ("moved", "30 titan://localhost/open/n.gmi;edit|", "30 titan://localhost/open/n.gmi;edit|"),
    ("none", "51 not found", "51 not found"),
    ("around", "61 not by us", _READ),
    ("open", _READ, _READ),
    ("unrouted", _READ, _READ),
]


@pytest.fixture
def guarded(folder: Path) -> Path:
    for name in ("failing", *(name for name, _, _ in _ROUTED)):
        (folder / "content" / name).mkdir()
        (folder / "content" / name / "n.gmi").write_text("secret")
    (folder / "routes/index.py").write_text(GUARDING.replace("FINGERPRINT", ADA.fingerprint))
    return folder


@pytest.mark.parametrize(("name", "stranger", "ada"), _ROUTED)
async def test_what_a_route_guards_cannot_be_edited_by_others(
    name: str, stranger: str, ada: str, guarded: Path
) -> None:
    config = configure(guarded, f"[[capsule]]\nroutes = 'routes'\n{TITAN}")
    async with handling(config) as handler:
        assert await answer(handler, edit(f"/{name}/n.gmi")) == stranger
        assert await answer(handler, edit(f"/{name}/n.gmi", Client(certificate=ADA))) == ada


async def test_what_a_route_asks_for_can_be_answered(guarded: Path) -> None:
    config = configure(guarded, f"[[capsule]]\nroutes = 'routes'\n{TITAN}")
    async with handling(config) as handler:
        assert await answer(handler, edit("/word/n.gmi?sesame")) == _READ
        assert (await answer(handler, edit("/failing/n.gmi"))).startswith("42 internal error")


async def test_zones_and_routes_guard_together(guarded: Path) -> None:
    zones = (
        "[[capsule.zone]]\npath = '/open/'\nallow = 'any'\ntoken = 'a long password'\n"
        f"[[capsule.zone]]\npath = '/own/'\nallow = 'everybody'\nwrite = '{ADA.fingerprint}'\n"
    )
    config = configure(guarded, f"[[capsule]]\nroutes = 'routes'\n{zones}{TITAN}")
    ada, eve = Client(certificate=ADA), Client(certificate=identity("Eve"))
    async with handling(config) as handler:
        assert (await answer(handler, edit("/open/n.gmi"))).startswith("60 this part of the capsule")
        assert await answer(handler, edit("/open/n.gmi", eve)) == _READ
        assert (await answer(handler, edit("/own/n.gmi", eve))).startswith("61 your certificate is not on")
        assert await answer(handler, edit("/own/n.gmi", ada)) == "61 this is for the owner"


TAKING = """
from pad19 import Routes, TitanRequest
routes = Routes()
@routes.titan("/{name}/x", max_size=1000)
async def take(request: TitanRequest, name: str) -> str:
    return f"{len(await request.upload.read())} bytes"
"""
ROUTED = [  # the zone, size, type, answer
    ("small", 10, "image/png", "20 10 bytes"),
    ("small", 11, "image/png", "59 at most 10 bytes may be uploaded here"),
    ("text", 1000, "text/gemini", "20 1000 bytes"),  # the rest is for the route to say, not [capsule.titan]
    ("text", 1001, "text/gemini", "59 at most 1000 bytes may be uploaded here"),
    ("text", 5, "image/png", "59 image/png may not be uploaded here, only text/gemini"),
    ("TEXT", 5, "image/png", "59 image/png may not be uploaded here, only text/gemini"),
    ("text", 0, "image/png", "20 0 bytes"),
    ("free", 1000, "image/png", "20 1000 bytes"),
    ("none", 1000, "image/png", "20 1000 bytes"),
]


@pytest.mark.parametrize(("name", "size", "mime", "expected"), ROUTED)
async def test_what_zones_say_holds_for_routes(
    name: str, size: int, mime: str, expected: str, folder: Path
) -> None:
    (folder / "routes/index.py").write_text(TAKING)
    zones = (
        "[[capsule.zone]]\npath = '/small/'\nwrite = 'everybody'\nmax_size = 10\nquota = 1\n"
        "[[capsule.zone]]\npath = '/text/'\nwrite = 'everybody'\ntypes = 'text/gemini'\n"
        "[[capsule.zone]]\npath = '/free/'\nwrite = 'everybody'\n"
    )
    config = configure(folder, f"[[capsule]]\nroutes = 'routes'\n{zones}{TITAN}max_size = 20\n")
    async with handling(config) as handler:
        said = await answer(handler, upload(f"/{name}/x", b"x" * size, mime=mime))
        assert said.replace("text/gemini|", "") == expected
