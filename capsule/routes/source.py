"""The source of the examples, for copying.

What is shown stands in a list, and nothing a visitor sends becomes part of a file's name.
"""

from pathlib import Path

from pad19 import Gemtext, NotFound, Request, Routes

HERE = Path(__file__).parent
# Not all that is in the folder: other routes of a capsule may have secrets in them.
SHOWN = {  # what visitors ask for, and where it is
    "access.py": HERE / "access.py",
    "clock.py": HERE / "clock.py",
    "guestbook.py": HERE / "guestbook.py",
    "poll.py": HERE / "poll.py",
    "search.py": HERE / "search.py",
    "source.py": HERE / "source.py",
    "versions.py": HERE / "wiki" / "versions.py",
    "wiki.py": HERE / "wiki" / "__init__.py",
    "mandelbrot.awk": HERE.parent / "cgi-bin" / "mandelbrot.awk",
    "roman.py": HERE.parent / "cgi-bin" / "roman.py",
    "whoami.sh": HERE.parent / "cgi-bin" / "whoami.sh",
}

routes = Routes()


@routes.gemini("/")
async def index(request: Request) -> Gemtext:
    """Links to all of them."""
    page = Gemtext().heading("Source of the examples")
    for name in SHOWN:
        page.link(name)
    return page.link("../examples.gmi", "All examples")


# No "async": reading may take a moment, and pad19 runs a plain function in a thread.
@routes.gemini("/{name}")
def show(request: Request, name: str) -> Gemtext:
    """One of them, as a block in which no line can become anything else."""
    if name not in SHOWN:
        raise NotFound("there is no such example")
    path = SHOWN[name]
    page = Gemtext().heading(f"{path.parent.name}/{path.name}")
    page.preformatted(path.read_text("utf-8").rstrip("\n"), f"source of {name}")
    return page.link("./", "All files").link("../examples.gmi", "All examples")
