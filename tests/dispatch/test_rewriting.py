from dataclasses import replace

import pytest

from pad19.dispatch.rewriting import Alias, Moved, Removed, Rewriting, Rule
from pad19.protocol.client import Client
from pad19.protocol.failure import BadRequest, Failure, Gone, NotFound
from pad19.protocol.pattern import Pattern, Template
from pad19.protocol.request import Request, parse_request
from pad19.protocol.response import Redirect, Response, Success, header
from pad19.protocol.upload import Upload


async def inner(request: Request) -> Response:
    """Answers with what it was asked for."""
    assert "/".join(request.segments) == request.path[1:]
    query = "" if request.query is None else f"?{request.query}"
    return Success(f"{request.path}{query} of {request.uri}".encode())


RULES: list[tuple[str, Rule]] = [
    ("/old/{x:path}", Moved(Template.parse("/new/{x}"))),
    ("/old/kept", Alias(Template.parse("/kept"))),
    ("/old/lost", Removed("Sorry.\r\n20 text/gemini")),
    ("/attic", Removed()),
    ("/away/{x:path}", Moved(Template.parse("gemini://b.test:1966/{x}"), permanent=True)),
    ("/up/{x:path}", Moved(Template.parse("/{x}"))),
    ("/find/{x}", Moved(Template.parse("/search?{x}"))),
    ("/by/{x}", Alias(Template.parse("/pages?{x}"))),
    ("/user/{x}", Alias(Template.parse("/users/{x}/index.gmi"))),
    ("/below/{x:path}", Alias(Template.parse("/a/..{x}"))),
]
HANDLER = Rewriting([(Pattern.parse(pattern), rule) for pattern, rule in RULES], inner)


def ask(path: str) -> Request:
    return parse_request(f"gemini://a.test{path}".encode(), Client())


ANSWERS = [  # path as sent, the answer
    ("/", Success(b"/ of gemini://a.test/")),
    ("/x?y", Success(b"/x?y of gemini://a.test/x?y")),
    ("/old/a/b", Redirect("/new/a/b")),
    ("/old/a?", Redirect("/new/a?")),
    ("/old/a?b%20c/", Redirect("/new/a?b%20c/")),
    ("/old/caf%C3%A9%0D%0A", Redirect("/new/caf%C3%A9%0D%0A")),
    ("/away/a?b", Redirect("gemini://b.test:1966/a?b", permanent=True)),
    ("/up//evil.test/", Redirect("/evil.test/")),
    ("/find/a%26b", Redirect("/search?a%26b")),
    ("/find/a?b", Redirect("/search?a")),  # the target has a query of its own
    ("/old/kept", Success(b"/kept of gemini://a.test/old/kept")),
    ("/old/kept?a%20b", Success(b"/kept?a b of gemini://a.test/old/kept?a%20b")),
    ("/by/a%20b?c", Success(b"/pages?a b of gemini://a.test/by/a%20b?c")),
    ("/user/ada%2F..", Success(b"/users/ada/../index.gmi of gemini://a.test/user/ada%2F..")),
    ("/old/kept/", Redirect("/new/kept/")),
    ("/old/kept%2Fa", Success(b"/old/kept/a of gemini://a.test/old/kept%2Fa")),  # no rest, so no rule
    ("/below/", Success(b"/ of gemini://a.test/below/")),
]


@pytest.mark.parametrize(("path", "answer"), ANSWERS)
async def test_answers(path: str, answer: Response) -> None:
    response = await HANDLER(ask(path))
    assert response == answer
    header(response.status, response.meta)  # it can be sent


FAILURES = [
    ("/old/lost", Gone("Sorry.\r\n20 text/gemini")),
    ("/attic", Gone()),
    ("/old/" + "\u20ac" * 300, BadRequest("the URI is too long once it is rewritten")),  # 9 bytes each
]


@pytest.mark.parametrize(("path", "failure"), FAILURES)
async def test_failures(path: str, failure: Failure) -> None:
    with pytest.raises(type(failure)) as caught:
        await HANDLER(ask(path))
    assert str(caught.value) == str(failure)
    assert header(failure.status, str(failure)).count(b"\r\n") == 1


async def test_above_the_root_is_nothing() -> None:
    up = Rewriting([(Pattern.parse("/{x:path}"), Alias(Template.parse("/..{x}")))], inner)
    with pytest.raises(NotFound):
        await up(ask("/"))


def test_two_rules_for_the_same_paths() -> None:
    rule = Removed()
    with pytest.raises(ValueError, match=r"^/a$"):
        Rewriting([(Pattern.parse("/a"), rule), (Pattern.parse("/a"), rule)], inner)


EDITS = [  # path, where those are sent who edit
    ("/old/a.gmi", Redirect("titan://a.test/new/a.gmi;edit")),
    ("/old/a.gmi?q", Redirect("titan://a.test/new/a.gmi;edit?q")),
    ("/away/a.gmi", Redirect("gemini://b.test:1966/a.gmi", permanent=True)),
]


@pytest.mark.parametrize(("path", "answer"), EDITS)
async def test_who_edits_is_sent_to_where_it_can_be_edited(path: str, answer: Response) -> None:
    request = replace(parse_request(f"titan://a.test{path}".encode(), Client()), upload=Upload(0, edit=True))
    assert await HANDLER(request) == answer


async def test_uploads_are_sent_on_as_visitors_are() -> None:
    away = replace(parse_request(b"titan://a.test/away/a.gmi", Client()), upload=Upload(5))
    # To a gemini URI it would look as if the upload were done.
    assert await HANDLER(away) == Redirect("titan://b.test:1966/a.gmi", permanent=True)
    request = replace(parse_request(b"titan://a.test/old/a.gmi", Client()), upload=Upload(5))
    assert await HANDLER(request) == Redirect("/new/a.gmi")
