"""The examples on the manual's page about systemd."""

from support.manual import ROOT, preformatted

DEPLOY = ROOT / "deploy"
PAGE = "hosting/systemd.gmi"


def examples() -> list[str]:
    """Configurations as they are installed, or shown."""
    texts = [text for name, text in preformatted(PAGE) if name == "/etc/pad19/pad19.toml"]
    return [(DEPLOY / "pad19.toml").read_text("utf-8"), *texts]


def lines_that_name(folder: str) -> str:
    """The lines of those configurations with a file in that folder."""
    return "\n".join(line for text in examples() for line in text.splitlines() if f'"{folder}' in line)


def example(name: str) -> str:
    """A file that the page shows."""
    [text] = [text for found, text in preformatted(PAGE) if found == name]
    return text
