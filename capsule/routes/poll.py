"""A poll: one vote for each certificate, and votes that are never lost, however many come at once."""

from pad19 import Gemtext, NotFound, Redirect, Request, Routes

QUESTION = "What do you read Geminispace with?"
CHOICES = ["A graphical client", "A terminal client", "A phone", "A web proxy", "Something I wrote myself"]

routes = Routes()


@routes.gemini("/")
async def poll(request: Request) -> Gemtext:
    """The question, and how the votes stand."""
    # A namespace is a part of the store that nothing else uses.
    store = request.store.namespace("poll")
    own = await store.get(f"voter {request.client.fingerprint}") if request.client.fingerprint else None
    page = Gemtext().heading(QUESTION)
    for number, choice in enumerate(CHOICES):
        votes = await store.get(f"votes {number}", 0)
        told = f"{choice}: {votes} {'vote' if votes == 1 else 'votes'}"
        if own is None:
            page.link(f"vote/{number}", told)
        else:
            page.item(f"{told}, among them yours" if own == number else told)
    page.text()
    if own is None:
        page.text(
            "Follow the link of your choice. Your client will need a certificate, so that you vote once."
        )
    return page.link("../examples.gmi", "All examples")


# Anybody can make any number of certificates, but not so fast from one address.
@routes.gemini("/vote/{number:int}", certificate=True, rate="5/1h")
async def vote(request: Request, number: int) -> Redirect:
    """Count a vote."""
    if number >= len(CHOICES):
        raise NotFound("there is no such choice")
    store = request.store.namespace("poll")
    # Of all requests with the same key, add() is True for one, even if they come at the same moment
    # and to different workers. increment() counts right for the same reason: a get() and a set()
    # would lose votes that come in between.
    if await store.add(f"voter {request.client.fingerprint}", number):
        await store.increment(f"votes {number}")
    return Redirect("../")
