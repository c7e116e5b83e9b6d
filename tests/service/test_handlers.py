from pathlib import Path

import pytest

from pad19.content.static import StaticFiles
from pad19.protocol.client import Client
from pad19.protocol.failure import Gone as GoneFailure
from pad19.protocol.request import parse_request
from pad19.protocol.response import Redirect as RedirectResponse
from pad19.protocol.response import Success
from pad19.service.config import Capsule, Redirect, Rewrite
from pad19.service.config import Gone as GoneRule
from pad19.service.handlers import handler_for


def test_a_capsule_without_rules_pays_for_none(tmp_path: Path) -> None:
    assert isinstance(handler_for(Capsule(content=tmp_path)), StaticFiles)


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
