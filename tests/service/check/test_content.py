import os
from pathlib import Path

import pytest

from pad19.service.check.content import check_content
from pad19.service.config.capsule import Capsule, Gone, Redirect, Rewrite
from pad19.service.config.model import Config
from pad19.service.handlers import rehearse
from support.disk import descriptors
from support.files import write
from support.scripts import SH, write_script
from support.users import unprivileged


async def report(folder: Path, *capsules: Capsule, notes: bool = False) -> list[str]:
    """What is found, as one line each."""
    config = Config(capsules=capsules or (Capsule(content=folder),), source=folder / "pad19.toml")
    found = await check_content(config, rehearse(config)[0])
    return [
        f"{Path(finding.path).relative_to(folder)}:{finding.line}: {finding.text}"
        for finding in found.findings
        if notes or not finding.is_note
    ]


async def test_a_clean_capsule(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "index.gmi": "=> a.gmi\n=> /a.gmi?query\n=> sub/\n=> sub\n=> caf%C3%A9.gmi\n=> café.gmi\n=> ./\n"
            "=> gemini://localhost/a.gmi\n=> gemini://LOCALHOST:1965/\n=> //localhost/a.gmi\n=> #top\n"
            "=> https://example.org/none\n=> mailto:ada@example.org\n=> gemini://example.org/none\n"
            "=> gemini://localhost:1/none\n=> titan://localhost/none\n=> data.bin\n=> large.gmi\n"
            "=> ../../a.gmi\n=> moved.gmi\n=> gone.gmi\n=> asks.gmi\n=> .well-known/x.txt\n",
            "a.gmi": "# A\n",
            "café.gmi": "",
            "sub/index.gmi": "=> ../a.gmi\n=> b.gmi\n=> .\n=> ..\n",
            "sub/b.gmi": "",
            "large.gmi": "=> a.gmi\n" + "x" * 100_000,
            "data.bin": b"\xff\n=> none\n",
            ".hidden/a.gmi": "=>",
            ".well-known/x.txt": "",
            ".meta": "moved.gmi: 31 a.gmi\ngone.gmi: 52 It left\nasks.gmi: 10 Who?",
        },
    )
    assert await report(tmp_path, notes=True) == []


async def test_programs_are_looked_at_once(tmp_path: Path) -> None:
    write(tmp_path, {"cgi-bin/a.sh": "echo", "content/index.gmi": ""})
    (tmp_path / "cgi-bin/a.sh").chmod(0o755)
    one = Capsule(
        content=tmp_path / "content", cgi={"/a/": tmp_path / "cgi-bin", "/b/": tmp_path / "cgi-bin"}
    )
    [found] = await report(tmp_path, one)
    assert found.startswith("cgi-bin/a.sh:1: it has no #! line")


BROKEN = [  # a link in sub/page.gmi, what is told of it
    ("none.gmi", '"none.gmi" leads to /sub/none.gmi: 51 not found'),
    ("../none", '"../none" leads to /none: 51 not found'),
    ("/empty/", '"/empty/" leads to /empty/: 51 not found'),
    ("/empty", '"/empty" leads to /empty/: 51 not found'),
    ("/a.gmi/", '"/a.gmi/" leads to /a.gmi/: 51 not found'),
    ("/A.gmi", '"/A.gmi" leads to /A.gmi: 51 not found'),
    ("/.hidden", '"/.hidden" leads to /.hidden: 51 not found'),
    ("/.meta", '"/.meta" leads to /.meta: 51 not found'),
    ("gemini://localhost/x?y", '"gemini://localhost/x?y" leads to /x: 51 not found'),
    ("//localhost/x", '"//localhost/x" leads to /x: 51 not found'),
    ("/a%2Fb", '"/a%2Fb" leads to /a%2Fb: 51 not found'),
    ("/moved", '"/moved" leads to /none: 51 not found'),
    ("/circle", '"/circle" leads to more than 5 redirects in a row'),
    ("a b.gmi", '"a" leads to /sub/a: 51 not found'),
    ("", "the link has no URI"),
    ("%", "the link is no URI: '%' is no percent-encoding"),
]


@pytest.mark.parametrize(("link", "told"), BROKEN)
async def test_broken_links(tmp_path: Path, link: str, told: str) -> None:
    meta = "moved: 30 none\ncircle: 30 circle"
    write(tmp_path, {"sub/page.gmi": f"# Page\n=> {link}\n", "a.gmi": "", ".hidden": "", ".meta": meta})
    (tmp_path / "empty").mkdir()
    assert await report(tmp_path) == [f"sub/page.gmi:2: {told}"]


async def test_capsules_link_to_each_other(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a/index.gmi": "=> gemini://b.test/b.gmi\n=> gemini://x.b.test/b.gmi\n=> gemini://b.test/a.gmi\n",
            "a/a.gmi": "=> gemini://x.y.b.test/\n=> b.gmi\n",
            "b/b.gmi": "=> gemini://a.test/\n=> /b.gmi\n=> /index.gmi\n",
        },
    )
    first = Capsule(hosts=("a.test",), content=tmp_path / "a")
    second = Capsule(hosts=("*.b.test", "b.test"), content=tmp_path / "b")
    assert await report(tmp_path, first, second) == [
        'a/a.gmi:2: "b.gmi" leads to /b.gmi: 51 not found',
        'a/index.gmi:3: "gemini://b.test/a.gmi" leads to /a.gmi: 51 not found',
        'b/b.gmi:3: "/index.gmi" leads to /index.gmi: 51 not found',
    ]


async def test_rules_of_the_configuration_apply(tmp_path: Path) -> None:
    links = ["/old/a.gmi", "/old/b.gmi", "/alias", "/broken", "/gone/x"]
    write(tmp_path, {"a.gmi": "".join(f"=> {link}\n" for link in links)})
    capsule = Capsule(
        content=tmp_path,
        redirects=(
            Redirect(pattern="/old/{rest:path}", target="/{rest}"),
            Redirect(pattern="/broken", target="/none"),
            Redirect(pattern="/away", target="gemini://b.test/none"),
        ),
        rewrites=(Rewrite(pattern="/alias", target="/a.gmi"), Rewrite(pattern="/{x}/y", target="/nothing")),
        gone=(Gone(pattern="/gone/{rest:path}"),),
    )
    assert await report(tmp_path, capsule) == [
        'a.gmi:2: "/old/b.gmi" leads to /b.gmi: 51 not found',
        'a.gmi:4: "/broken" leads to /none: 51 not found',
        'pad19.toml:0: for "/broken": "/none" leads to /none: 51 not found',
        'pad19.toml:0: for "/{x}/y": "/nothing" leads to /nothing: 51 not found',
    ]


async def test_types_and_charsets_are_those_that_are_sent(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "latin.gmi": b"# caf\xe9\n=> none\n",
            "utf.gmi": b"# a\n\n# caf\xe9\n=> none\n",
            "odd.gmi": b"caf\xe9\n=> none\n",
            "page.txt": "=> none\n",
            "page": "=> none\n",
            ".meta": "latin.gmi: ;charset=iso-8859-1\nodd.gmi: ;charset=x-none\npage: text/gemini\n",
        },
    )
    none = '"none" leads to /none: 51 not found'
    expected = [f"{name}: {none}" for name in ("latin.gmi:2", "odd.gmi:2", "page:1")]
    assert await report(tmp_path) == [*expected, "utf.gmi:3: the text is not UTF-8"]


async def test_mistakes_in_sidecar_files(tmp_path: Path) -> None:
    write(tmp_path, {"a/.meta": "a: 29\n\nb\n", ".meta": b"# \xff\nc: 20 x\n"})
    (tmp_path / "b").mkdir()
    (tmp_path / "b/.meta").symlink_to("none")
    assert await report(tmp_path) == [
        ".meta:1: the text is not UTF-8",
        ".meta:2: 'x' is not a MIME type",
        "a/.meta:1: 29 is no status: write for example 52",
        "a/.meta:3: 'b' is not 'pattern: directive'",
        "b/.meta:0: it is ignored: No such file or directory",
    ]


async def test_names_and_kinds_that_nobody_can_ask_for(tmp_path: Path) -> None:
    write(tmp_path, {"out/secret.gmi": "=>", "in/index.gmi": "=>"})
    root = tmp_path / "in"
    (root / os.fsdecode(b"caf\xe9.gmi")).touch()
    (root / "a\nb.gmi").touch()
    deep = root / ("\u20ac" * 60) / ("\u20ac" * 60)
    deep.mkdir(parents=True)
    (deep / "x.gmi").touch()
    os.mkfifo(root / "fifo")
    (root / "link").symlink_to("none")
    (root / "out").symlink_to("../out")
    (root / "inside").symlink_to(".")
    found = await report(tmp_path, Capsule(content=root))
    assert [line.partition("/")[2] for line in found] == [
        "a\nb.gmi:0: the name holds a character that nobody can see: rename it",
        os.fsdecode(b"caf\xe9.gmi:0: the name is not UTF-8, so nobody can ask for it: rename it"),
        "fifo:0: it is neither a file nor a folder, so nobody gets it",
        "index.gmi:1: the link has no URI",
        "link:0: the link leads to nothing",
        "out:0: the link leads out of the content folder, so nobody gets it",
        f"{deep.relative_to(root)}:0: the name makes a URI of more than 1024 bytes, "
        "so nobody can ask for it: shorten it",
    ]


async def test_what_this_user_cannot_read() -> None:
    with unprivileged() as folder:
        write(folder, {"closed.gmi": "", "closed/a.gmi": "", "open.gmi": "=> closed.gmi\n"})
        (folder / "closed.gmi").chmod(0)
        (folder / "closed").chmod(0)
        assert await report(folder) == [
            "closed:0: the folder cannot be read (Permission denied), so nobody gets what is in it",
            "closed.gmi:0: the file cannot be read by this user, so nobody gets it",
            'open.gmi:1: "closed.gmi" leads to /closed.gmi: 51 not found',
        ]
        (folder / "closed").chmod(0o700)


async def test_rules_that_this_user_cannot_read() -> None:
    with unprivileged() as folder:
        write(folder, {"a/.meta": "", "a/b.gmi": "", "index.gmi": "=> a/b.gmi\n"})
        (folder / "a/.meta").chmod(0)
        problems = await report(folder)
    unread = "40 the rules for this folder cannot be read now"
    assert problems == [
        "a/.meta:0: the file cannot be read by this user, so its folder is answered with 40",
        f"a/b.gmi:0: nobody gets it: {unread}",
        f'index.gmi:1: "a/b.gmi" leads to /a/b.gmi: {unread}',
    ]


@pytest.mark.parametrize("prefix", ["/cgi-bin/", "/"])
async def test_links_to_programs(prefix: str, tmp_path: Path) -> None:
    write(tmp_path, {"content/index.gmi": f"=> {prefix}there?x\n=> {prefix}none\n=> {prefix}not\n=> sub/\n"})
    programs = tmp_path / "programs"
    write_script(programs / "there", f"{SH}touch ran")
    write(programs, {"not": "executable"})
    capsule = Capsule(content=tmp_path / "content", cgi={prefix: programs})
    assert await report(tmp_path, capsule) == [
        f'content/index.gmi:{line}: "{link}" leads to {path}: 51 not found'
        for line, link, path in (
            (2, f"{prefix}none", f"{prefix}none"),
            (3, f"{prefix}not", f"{prefix}not"),
            (4, "sub/", "/sub/"),
        )
    ]
    assert not (programs / "ran").exists()


async def test_notes(tmp_path: Path) -> None:
    write(tmp_path, {"a.gmi": "#### x\n"})
    assert await report(tmp_path) == []
    assert await report(tmp_path, notes=True) == [
        "a.gmi:1: headings have three levels, so this one begins with #"
    ]


async def test_counts_and_one_look_for_two_capsules(tmp_path: Path) -> None:
    write(tmp_path, {"a.gmi": "=> a.gmi\n=>\n=> b\n", "b": ""})
    capsules = (Capsule(content=tmp_path, hosts=("a.test",)), Capsule(content=tmp_path, hosts=("b.test",)))
    config = Config(capsules=capsules)
    found = await check_content(config, rehearse(config)[0])
    assert (found.files, found.links, len(found.findings)) == (2, 2, 1)


async def test_nothing_stays_open(tmp_path: Path) -> None:
    write(tmp_path, {"index.gmi": "=> large.bin\n" * 3, "large.bin": b"x" * 100_000})
    before = descriptors()
    await report(tmp_path)
    assert descriptors() == before
