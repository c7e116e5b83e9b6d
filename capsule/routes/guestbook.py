"""A guestbook: visitors prompted for a line, known by their certificates, remembered in the store."""

import re

from pad19 import CertificateNotAuthorised, Gemtext, Input, NotFound, Redirect, Request, Routes

KEEP = 1000  # entries; the oldest ones make room
PAGE = 20  # entries
LONGEST_NAME = 40  # characters
LONGEST_TEXT = 300
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")  # among them those that act on terminals

routes = Routes()


@routes.gemini("/")
async def book(request: Request) -> Gemtext:
    """The newest entries; "?2" is the second page of them."""
    asked = request.query or "1"
    if not re.fullmatch(r"[1-9][0-9]{0,5}", asked):
        raise NotFound("there is no such page")
    entries = await request.store.list("guestbook").page(int(asked), size=PAGE)
    page = Gemtext().heading("Guestbook").link("sign", "Sign it").text()
    for entry in entries.items:
        # What visitors wrote becomes headings and quotations, whatever is in it: Gemtext sees to that.
        page.heading(entry.value["name"], 2)
        page.quote(entry.value["text"])
        page.text(f"{entry.created:%Y-%m-%d}")
        # The certificate tells whose entry it is. Names do not: anybody can have any name.
        if entry.value["fingerprint"] == request.client.fingerprint:
            page.link(f"remove/{entry.id}", "Remove this")
        page.text()
    if not entries.items:
        page.text("Nobody has written here.").text()
    if entries.next:
        page.link(f"?{entries.next}", "Older entries")
    if entries.previous:
        page.link(f"?{entries.previous}", "Newer entries")
    return page.link("../examples.gmi", "All examples")


# certificate=True: who comes without one is answered with 60, and the client offers to make one.
# rate: an address can ask this often, and is answered with 44 and the time to wait after that.
@routes.gemini("/sign", certificate=True, rate="6/1m")
async def sign(request: Request) -> Input | Redirect:
    """Ask for a text and write it down."""
    identity = request.client.certificate
    if identity is None:  # not after certificate=True, but a type checker cannot know that
        raise NotFound
    # The query is None as long as nobody was asked, and "" when the answer was empty.
    text = CONTROLS.sub(" ", request.query or "").strip()
    if not text:
        return Input("What do you want to write?")
    if len(text) > LONGEST_TEXT:
        return Input(f"That was too long. What do you want to write, in {LONGEST_TEXT} characters?")
    name = CONTROLS.sub(" ", identity.common_name or "").strip()[:LONGEST_NAME]
    await request.store.list("guestbook", keep=KEEP).append(
        {"name": name or "Somebody", "text": text, "fingerprint": identity.fingerprint}
    )
    # Not the page itself: whoever reloads that would sign once more.
    return Redirect("./")


@routes.gemini("/remove/{number:int}", certificate=True)
async def remove(request: Request, number: int) -> Redirect:
    """Remove an entry, for whoever wrote it."""
    entries = request.store.list("guestbook")
    entry = await entries.get(number)
    if entry is None:
        raise NotFound("there is no such entry")
    if entry.value["fingerprint"] != request.client.fingerprint:
        raise CertificateNotAuthorised("somebody else wrote that")
    await entries.delete(number)
    return Redirect("../")
