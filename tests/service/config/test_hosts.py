import pytest

from pad19.service.config.hosts import default_host, read_host

READ = [  # as written, as compared
    ("example.org", "example.org"),
    ("Example.ORG.", "example.org"),
    ("café.example", "xn--caf-dma.example"),
    ("caf%C3%A9.example", "xn--caf-dma.example"),
    ("*.example.org", "*.example.org"),
    ("*.CAFÉ.example", "*.xn--caf-dma.example"),
    ("localhost", "localhost"),
    ("my_host", "my_host"),
    ("192.0.2.1", "192.0.2.1"),
    ("[2001:DB8::1]", "[2001:db8::1]"),
    ("2001:db8:0:0::1", "[2001:db8::1]"),
]


@pytest.mark.parametrize(("text", "host"), READ)
def test_reads(text: str, host: str) -> None:
    assert read_host(text) == host


REFUSED = [
    "",
    ".",
    "*",
    "*.",
    "a b",
    "a..b",
    "*.*.example.org",
    "a.*.example.org",
    "a*.example.org",
    "*.192.0.2.1",
    "*.[::1]",
    "*.::1",
    "1.2.3",
    "256.0.0.1",
    "example.org:1965",
    "192.0.2.1:1965",
    "[::1]:1965",
    "[::1",
    "[v1.x]",
    "[fe80::1%25eth0]",
    "gemini://example.org",
    "example.org/",
    "a" * 64,
    "a." * 127 + "a",
    "a\n",
    "a\0",
    "-a.org",
    "a-.org",
    "a.-b",
    "*.-a.org",
    "\udce9.example",
    "%ff.example",
]


@pytest.mark.parametrize("text", REFUSED)
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller has the words for the owner of the file
        read_host(text)


def test_the_default_is_a_name_if_there_is_one() -> None:
    assert default_host(["192.0.2.1", "[::1]", "a.org", "b.org"]) == "a.org"
    assert default_host(["192.0.2.1", "[::1]"]) == "192.0.2.1"
