"""A door: visitors ask to be let in, and the owner sees who asked and lets them in.

What they ask for is a part of the capsule that pad19.toml guards with a list:

    [[capsule.zone]]
    path = "/members/"
    allow = "file:members.txt"
    [capsule.settings]
    owners = ["sha256:..."]
    access_list = "members.txt"

The list is looked for beside the content folder, and so is where `pad19 identity` looks after it. Without
access_list, owners are shown the command alone.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import trio

from pad19 import (
    Capsule,
    CertificateNotAuthorised,
    Gemtext,
    Input,
    NotFound,
    PermanentFailure,
    Redirect,
    Request,
    Routes,
    TemporaryFailure,
)
from pad19.people import let_in

EXPIRES = 30 * 86_400  # seconds; then who asked is forgotten
# Nothing in a name may mean something to a shell, since the owner copies it into one.
NAME = re.compile(r"\w[\w .]{0,39}")

routes = Routes()
folder = Path()  # where the list is; known once the server has started


@routes.lifespan
async def find_folder(capsule: Capsule) -> AsyncIterator[None]:
    """Remember where the list is."""
    global folder
    folder = capsule.content.parent
    yield


# What {who:fingerprint} matches, in the routes below; for anything else they are not asked.
@routes.converter("fingerprint")
def to_fingerprint(text: str) -> str:
    """A fingerprint as it stands, or no match."""
    if not re.fullmatch("sha256:[0-9a-f]{64}", text):
        raise ValueError(text)
    return text


@routes.gemini("/")
async def door(request: Request) -> Gemtext:
    """What this is, and how the visitor's own request stands."""
    page = Gemtext().heading("Request access")
    fingerprint = request.client.fingerprint
    if fingerprint:
        page.text("The fingerprint of your certificate:")
        page.preformatted(fingerprint, "fingerprint")
        if name := await request.store.namespace("access").get(fingerprint):
            page.text(f"You have asked to be let in as {name}.")
    else:
        page.text("You come without a certificate. Your client will offer to make one.")
    page.link("ask", "Ask to be let in")
    if is_owner(request):
        page.link("waiting", "Who waits")
    return page.link("../examples.gmi", "All examples")


@routes.gemini("/ask", certificate=True, rate="5/1h")
async def ask(request: Request) -> Input | Redirect:
    """Write down name and fingerprint. Who asks again has another name from then on."""
    name = (request.query or "").strip()
    if not name:
        return Input("By which name does the owner know you?")
    if not NAME.fullmatch(name):
        return Input("By which name? Up to 40 letters, digits, spaces and dots.")
    fingerprint = request.client.fingerprint or ""  # there is one: the route demands a certificate
    await request.store.namespace("access").set(fingerprint, name, expires_in=EXPIRES)
    return Redirect("./")


@routes.gemini("/waiting", certificate=True)
async def waiting(request: Request) -> Gemtext:
    """Who has asked, and what lets them in, for owners."""
    only_for_owners(request)
    store = request.store.namespace("access")
    page = Gemtext().heading("Who waits")
    for fingerprint in await store.keys(limit=100):
        name = await store.get(fingerprint)
        if name is None:  # expired just now
            continue
        page.heading(name, 2)
        page.preformatted(f'pad19 identity add "{name}" {fingerprint}', "command that lets them in")
        if request.settings.get("access_list"):
            page.link(f"in/{fingerprint}", f"Let {name} in")
        page.link(f"done/{fingerprint}", f"Take {name} off this list")
    return page.link("./", "Back")


@routes.gemini("/in/{who:fingerprint}", certificate=True)
async def come_in(request: Request, who: str) -> Input | Redirect:
    """Put somebody on the list, for owners."""
    only_for_owners(request)
    store = request.store.namespace("access")
    name = await store.get(who)
    if name is None:
        raise NotFound("nobody waits with that certificate")
    # The answer is the name, not "yes": whoever waits could have asked again by another one meanwhile.
    if (request.query or "").strip() != name:
        return Input(f"Let {name} in, with {who}? Write the name to do so.")
    listed = request.settings.get("access_list")
    if not listed:
        raise PermanentFailure("capsule.settings.access_list names no list")
    try:
        await trio.to_thread.run_sync(let_in, folder / listed, name, who)
    except ValueError as error:  # such as: by another name
        raise PermanentFailure(str(error)) from error
    except OSError as error:
        raise TemporaryFailure(f"the list cannot be written ({error.strerror})") from error
    await store.delete(who)
    return Redirect("../waiting")


@routes.gemini("/done/{who:fingerprint}", certificate=True)
async def done(request: Request, who: str) -> Redirect:
    """Forget who asked, for owners."""
    only_for_owners(request)
    if not await request.store.namespace("access").delete(who):
        raise NotFound("nobody waits with that certificate")
    return Redirect("../waiting")


def is_owner(request: Request) -> bool:
    """Whether the visitor's certificate, or its public key, is listed: in capitals or not, as in zones."""
    certificate = request.client.certificate
    if certificate is None:
        return False
    owners = {digits(owner) for owner in request.settings.get("owners", ())}
    return bool(owners & {digits(certificate.fingerprint), digits(certificate.key_fingerprint)})


def digits(fingerprint: str) -> str:
    """A fingerprint without what may be left out."""
    return fingerprint.lower().replace(":", "").removeprefix("sha256")


def only_for_owners(request: Request) -> None:
    """Let owners pass, or raise the answer for others.

    Where it is known from the start who may pass, @routes.gemini(..., allow={...}) does the same.
    """
    if not is_owner(request):
        raise CertificateNotAuthorised("this page is for the owner of the capsule")
