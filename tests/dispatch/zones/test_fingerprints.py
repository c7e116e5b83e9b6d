import pytest

from pad19.dispatch.zones.fingerprints import Entry, is_name, normalize, parse_line, parse_lines

HEX = "0123456789abcdef" * 4
FINGERPRINT = f"sha256:{HEX}"
COLONS = ":".join(HEX[at : at + 2] for at in range(0, 64, 2))


@pytest.mark.parametrize(
    "text", [FINGERPRINT, HEX, HEX.upper(), f"SHA256:{HEX.upper()}", COLONS, f"sha256:{COLONS.upper()}"]
)
def test_forms(text: str) -> None:
    assert normalize(text) == FINGERPRINT


@pytest.mark.parametrize(
    "text",
    [
        "", "sha256:", HEX[:-1], f"{HEX}0", f"sha1:{HEX}", f"sha256:sha256:{HEX}", f"{HEX}\n", f" {HEX}",
        f"{COLONS}:", f":{COLONS}", f"{HEX[:-1]}g", "sha256:ceab…", f"{HEX[:2]}:{HEX[2:]}", f"{HEX[:-1]}٣",
    ],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a fingerprint, sha256: and 64 hex digits$"):
        normalize(text)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("ada", True), ("Ada Lovelace", True), ("Zoë", True), ("a", True), ("x" * 63, True),
        ("x" * 64, False), ("", False), (" a", False), ("a ", False), ("a:b", False), ("a#b", False),
        ("a\tb", False),
        ("a\nb", False), ("a\n", False), ("\x9b1m", False),
    ],
)  # fmt: skip
def test_names(text: str, is_one: bool) -> None:
    assert is_name(text) is is_one


LINES = [  # a line, what it says, or the beginning of what is wrong
    ("", None),
    ("   \t", None),
    ("# Ada", None),
    (f"#{FINGERPRINT} Ada", None),
    (FINGERPRINT, Entry(FINGERPRINT, "")),
    (f"{FINGERPRINT} Ada", Entry(FINGERPRINT, "Ada")),
    (f"  {COLONS.upper()}\t Ada  Lovelace \r", Entry(FINGERPRINT, "Ada  Lovelace")),
    (f"{FINGERPRINT} Ada # her telephone", Entry(FINGERPRINT, "Ada")),
    (f"{FINGERPRINT}# nobody", Entry(FINGERPRINT, "")),
    ("Ada", "must be a fingerprint"),
    (f"Ada {FINGERPRINT}", "must be a fingerprint"),
    (f"{FINGERPRINT[:-1]} Ada", "must be a fingerprint"),
    (f"{FINGERPRINT} a:b", "must have a name"),
    (f"{FINGERPRINT} {'x' * 64}", "must have a name"),
]


@pytest.mark.parametrize(("line", "said"), LINES)
def test_lines(line: str, said: Entry | str | None) -> None:
    if not isinstance(said, str):
        assert parse_line(line) == said
        return
    with pytest.raises(ValueError, match=f"^{said}"):
        parse_line(line)


def test_a_line_is_written_as_it_is_read() -> None:
    for entry in (Entry(FINGERPRINT, ""), Entry(FINGERPRINT, "Ada Lovelace")):
        assert parse_line(str(entry)) == entry


def test_a_broken_line_spoils_no_other() -> None:
    ada, bob = f"{FINGERPRINT} Ada".encode(), f"{FINGERPRINT} Bob".encode()
    lines = [*parse_lines(b"\xef\xbb\xbf" + ada + b"\n\n# x\n\xff\nnonsense\r\n" + bob)]
    assert [number for number, _ in lines] == [1, 4, 5, 6]
    assert [said for _, said in lines] == [
        Entry(FINGERPRINT, "Ada"),
        "is not UTF-8",
        "must be a fingerprint, sha256: and 64 hex digits",
        Entry(FINGERPRINT, "Bob"),
    ]
