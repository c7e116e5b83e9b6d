"""Greets visitors by name. The name of this file makes it answer below /hello/."""

from pad19 import Gemtext, Input, Request, Routes

routes = Routes()


@routes.gemini("/")
async def hello(request: Request) -> Input | Gemtext:
    # The query is None when nobody was asked yet, and "" when the answer was empty.
    if not request.query:
        return Input("What is your name?")
    # Visitors may type anything. Gemtext() keeps it in its line, so that it cannot become a link.
    page = Gemtext().heading(f"Hello, {request.query}!")
    page.text("This page was written for you a moment ago, by routes/hello.py.")
    return page.link("./", "I have another name").link("../", "Home")
