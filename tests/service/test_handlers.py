from pathlib import Path
from typing import Literal

import pytest

from pad19.content.static import StaticFiles
from pad19.protocol.client import Client
from pad19.protocol.failure import Failure
from pad19.protocol.failure import Gone as GoneFailure
from pad19.protocol.request import parse_request
from pad19.protocol.response import Redirect as RedirectResponse
from pad19.protocol.response import Reply, Success
from pad19.protocol.status import Status
from pad19.service.config.capsule import Capsule, Redirect, Rewrite
from pad19.service.config.capsule import Gone as GoneRule
from pad19.service.config.model import Config
from pad19.service.handlers import handler_for, rehearse


def test_a_capsule_without_rules_pays_for_none(tmp_path: Path) -> None:
    for lang in (None, "en", "nl"):
        assert isinstance(handler_for(Capsule(content=tmp_path, lang=lang)), StaticFiles)


async def test_rules_stand_in_front_of_files(tmp_path: Path) -> None:
    for name in ("a.gmi", "old.gmi", "attic.gmi"):
        (tmp_path / name).write_text(name)
    handler = handler_for(
        Capsule(
            content=tmp_path,
            lang="en",
            redirects=(Redirect(pattern="/old.gmi", target="/a.gmi", permanent=True),),
            rewrites=(Rewrite(pattern="/{name}", target="/{name}.gmi"),),
            gone=(GoneRule(pattern="/attic.gmi", text="Sold"),),
        )
    )

    assert await handler(parse_request(b"gemini://localhost/a", Client())) == Success(
        b"a.gmi", "text/gemini; lang=en"
    )
    old = parse_request(b"gemini://localhost/old.gmi?x", Client())
    assert await handler(old) == RedirectResponse("/a.gmi?x", permanent=True)
    with pytest.raises(GoneFailure, match=r"^Sold$"):
        await handler(parse_request(b"gemini://localhost/attic.gmi", Client()))


@pytest.mark.parametrize(
    ("permanent", "status", "is_permanent"),
    [(False, None, False), (True, None, True), (False, 30, False), (False, 31, True), (True, 31, True)],
)
async def test_a_redirect_is_permanent_in_two_ways(
    tmp_path: Path, permanent: bool, status: Literal[30, 31] | None, is_permanent: bool
) -> None:
    redirect = Redirect(pattern="/a", target="/b", permanent=permanent, status=status)
    handler = handler_for(Capsule(content=tmp_path, redirects=(redirect,)))
    answer = await handler(parse_request(b"gemini://localhost/a", Client()))
    assert answer == RedirectResponse("/b", permanent=is_permanent)


GONE: list[tuple[Literal[40, 41, 50, 51, 52], str, str]] = [
    (40, "", "temporary failure"),
    (41, "Back on Monday", "Back on Monday"),
    (50, "", "permanent failure"),
    (51, "", "not found"),
    (52, "", "gone"),
]


@pytest.mark.parametrize(("status", "text", "message"), GONE)
async def test_farewells_for_now_and_for_ever(
    tmp_path: Path, status: Literal[40, 41, 50, 51, 52], text: str, message: str
) -> None:
    gone = GoneRule(pattern="/a", text=text, status=status)
    handler = handler_for(Capsule(content=tmp_path, gone=(gone,)))
    with pytest.raises(Failure) as failure:
        await handler(parse_request(b"gemini://localhost/a", Client()))
    assert (failure.value.status, str(failure.value)) == (status, message)


async def test_texts_of_the_capsule_go_before_those_of_its_language(tmp_path: Path) -> None:
    capsule = Capsule(
        content=tmp_path,
        lang="de",
        texts={Status.NOT_FOUND: "Unter {path} liegt nichts."},
        rewrites=(Rewrite(pattern="/{name}", target="/{name}.gmi"),),
        gone=(GoneRule(pattern="/attic"), GoneRule(pattern="/attic.gmi", text="Sold")),
    )
    handler = handler_for(capsule)
    for path, answer in (
        ("/a", Reply(Status.NOT_FOUND, "Unter /a liegt nichts.")),  # as it was asked for
        ("/attic", Reply(Status.GONE, "das gibt es nicht mehr")),
    ):
        assert await handler(parse_request(f"gemini://localhost{path}".encode(), Client())) == answer
    with pytest.raises(GoneFailure, match=r"^Sold$"):
        await handler(parse_request(b"gemini://localhost/attic.gmi", Client()))


def test_the_owner_is_told_in_our_words(tmp_path: Path) -> None:
    capsule = Capsule(content=tmp_path, texts={Status.NOT_FOUND: "Gone fishing"})
    [handler], _ = rehearse(Config(capsules=(capsule,)))
    assert isinstance(handler, StaticFiles)
