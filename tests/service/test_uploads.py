"""[capsule.titan] in the configuration, and what becomes of it."""

import pickle
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pad19.content.static import StaticFiles
from pad19.dispatch.zones.guard import Zones
from pad19.protocol.client import Client
from pad19.protocol.request import parse_request
from pad19.service.config.capsule import Titan
from pad19.service.config.model import ConfigError
from pad19.service.config.values import Token
from pad19.service.handlers import handler_for
from pad19.service.mounting import Backends
from pad19.service.uploads import uploads_for
from pad19.service.worker import Site
from pad19.store.sqlite import open_store
from pad19.testing import identity
from service.uploading import ADA, TITAN, TOKEN, WORD, answer, configure, handling, make_folder
from support.uploads import edit, files_below, upload
from support.users import unprivileged

pytestmark = pytest.mark.usefixtures("fresh_imports")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


def problems(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        configure(folder, text)
    return "\n".join(caught.value.problems)


# Reading


def test_the_defaults(folder: Path) -> None:
    [capsule] = configure(folder, "[[capsule]]\n[capsule.titan]\n").capsules
    assert capsule.titan == Titan(
        token=(), max_size=10_485_760, types=("text/*",), quota=None, delete=False, folders=False, keep=0
    )
    [capsule] = configure(folder, "").capsules
    assert capsule.titan is None


def test_every_form_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAD19_TOKEN", TOKEN)
    (folder / "tokens").touch()
    config = configure(
        folder,
        "[limits]\nupload_s = 5\n[[capsule]]\n[[capsule.zone]]\npath = '/a/'\nallow = 'any'\n"
        "token = 'a long password'\nmax_size = 5\ntypes = 'Text/Gemini'\nquota = 7\n"
        "[capsule.titan]\ntoken = ['${PAD19_TOKEN}', 'file:./tokens']\ntypes = ['*/*', 'image/*']\n"
        "keep = 5\nquota = 9\ndelete = true\nfolders = true\nmax_size = 11\n",
    )
    [capsule] = config.capsules
    [zone] = capsule.zones
    assert config.limits.upload_s == 5.0
    assert zone.token == (Token("text", "a long password"),)
    assert (zone.max_size, zone.types, zone.quota) == (5, ("text/gemini",), 7)
    assert capsule.titan == Titan(
        token=(Token("text", TOKEN), Token("file", f"{folder}/tokens")),
        max_size=11, types=("*/*", "image/*"), quota=9, delete=True, folders=True, keep=5,
    )  # fmt: skip
    assert "sesame" not in repr(config)
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301 - our own; a worker gets it this way


WRONG = [  # text, the problem
    (
        f"[[capsule]]\nhidden = true\n{TITAN}",
        "capsule[1].hidden is true, which would publish previous versions",
    ),
    (
        f"[[capsule]]\n{TITAN}[[capsule]]\nhosts = ['b.test']\nhidden = true\n",
        "capsule[2].hidden is true, which would publish previous versions",
    ),
    (
        f"[[capsule]]\n{TITAN}[[capsule]]\nhosts = ['b.test']\nhidden = true\ncontent = 'content/members'\n",
        "capsule[2].hidden is true, which would publish previous versions",
    ),
    (
        f"[[capsule]]\ncontent = 'routes/pages'\nroutes = 'routes'\n{TITAN}",
        "and capsule[1].content lies in it, so code could be uploaded: move one of them",
    ),
    (
        f"[[capsule]]\ncontent = 'cgi-bin/pages'\ncgi = {{ '/x/' = 'cgi-bin' }}\n{TITAN}",
        "and capsule[1].content lies in it, so code could be uploaded: move one of them",
    ),
    (
        f"[[capsule]]\nhosts = ['a.test']\ncontent = 'sites'\n{TITAN}"
        "[[capsule]]\ncontent = 'content'\nroutes = 'sites/routes'",
        "capsule[2].routes is",
    ),
    (
        f"[[capsule]]\nhosts = ['a.test']\ncontent = 'sites'\n{TITAN}"
        "[[capsule]]\ncontent = 'content'\nroutes = 'linked'",
        "/sites, which would publish the code: move it out",
    ),
    (
        "[[capsule]]\ncontent = 'content'\ncgi = { '/x/' = 'sites/cgi' }\n"
        f"[[capsule]]\nhosts = ['a.test']\ncontent = 'sites'\n{TITAN}",
        'capsule[1].cgi."/x/" is',
    ),
    (
        f"include = 'content/*/*.toml'\n[[capsule]]\n{TITAN}",
        'include[1] is "content/*/*.toml", which could match what is uploaded to capsule[1].content',
    ),
    (
        f"[[capsule]]\n[[capsule.zone]]\npath = '/a'\nallow = 'ca:content/n.gmi'\n{TITAN}",
        "content, where an upload could replace it: move it out",
    ),
    (
        f"[[capsule]]\ncertificate = 'content/n.gmi'\nkey = 'other.key'\n{TITAN}",
        "capsule[1].certificate is",
    ),
    (
        "[[capsule]]\nproxy = [{ path = '/x/', to = 'gemini://b.test/', certificate = 'content/n.gmi', "
        f"key = 'other.key' }}]\n{TITAN}",
        "capsule[1].proxy[1].certificate is",
    ),
    (
        "[[capsule]]\nproxy = [{ path = '/x/', to = 'gemini://b.test/', certificate = 'content/n.gmi', "
        "key = 'content/n.gmi' }]\n",
        "capsule[1].proxy[1].key is",
    ),
    ("[[capsule]]\n[capsule.titan]\ntoken = '1234567'", "titan.token[1] has less than 8 characters"),
    ("[[capsule]]\n[capsule.titan]\ntoken = 'file:none'", "titan.token[1] is file:"),
    (
        "[[capsule]]\n[capsule.titan]\ntoken = 'file:content/n.gmi'",
        "which would publish passwords: move it out",
    ),
    (
        "[[capsule]]\n[[capsule.zone]]\npath = '/a'\nallow = []\ntoken = 'short'\n",
        "zone[1].token[1] has less than 8 characters",
    ),
    (
        f"[server]\nstate = 'content/state'\n[[capsule]]\n{TITAN}",
        "server.state is",
    ),
]


@pytest.mark.parametrize(("text", "problem"), WRONG)
def test_what_is_wrong(folder: Path, text: str, problem: str) -> None:
    for name in ("routes/pages", "cgi-bin/pages", "sites/routes", "sites/cgi"):
        (folder / name).mkdir(parents=True)
    (folder / "linked").symlink_to("sites/routes")
    (folder / "other.key").touch()
    said = problems(folder, text)
    assert problem in said
    assert "1234567" not in said


def test_what_uploads_do_not_reach_may_be_anywhere(folder: Path) -> None:
    for name in ("sites/a/content", "sites/a/routes"):
        (folder / name).mkdir(parents=True)
    (folder / "content/ca.pem").touch()
    text = "include = ['content/*.d/a.toml', 'sites/*/*.toml']\n[[capsule]]\n[[capsule.zone]]\npath = '/a'\n"
    text += "allow = 'ca:content/ca.pem'\n[[capsule]]\nhosts = ['a.test']\ncontent = 'sites/a/content'\n"
    configure(folder, f"{text}routes = 'sites/a/routes'\n{TITAN}")


def test_a_hidden_capsule_elsewhere_is_none_of_our_business(folder: Path) -> None:
    (folder / "other").mkdir()
    text = f"[[capsule]]\n{TITAN}[[capsule]]\nhosts = ['b.test']\nhidden = true\ncontent = 'other'\n"
    assert len(configure(folder, text).capsules) == 2


# What becomes of it


async def test_a_capsule_with_all_of_it(folder: Path) -> None:
    config = configure(
        folder,
        "[[capsule]]\nroutes = 'routes'\n"
        "cgi = { '/cgi-bin/' = 'cgi-bin' }\nscgi = { '/app/' = 'unix:/none' }\n"
        f"people = {{ ada = '{ADA.fingerprint}' }}\n"
        "[[capsule.rewrite]]\nfrom = '/short'\nto = '/members/long.gmi'\n"
        "[[capsule.proxy]]\npath = '/there/'\nto = 'gemini://127.0.0.1:1/'\n"
        "[[capsule.zone]]\npath = '/members/'\nallow = 'everybody'\nwrite = 'ada'\n"
        "max_size = 20\nquota = 30\n"
        f"[[capsule.zone]]\npath = '/pictures/'\nallow = 'everybody'\ntoken = '{WORD}'\ntypes = 'image/*'\n"
        f"{TITAN}max_size = 10\nfolders = true\nkeep = 1\ndelete = true\n",
    )
    (folder / "routes/notes.py").write_text(
        "from pad19 import Request, Routes\nroutes = Routes()\n"
        "@routes.titan('/{name}')\nasync def save(request: Request, name: str) -> str:\n"
        "    return f'{name} {request.upload.size}'\n"
    )
    ada = Client(certificate=ADA)
    async with handling(config) as handler:
        for request, expected in [
            (upload("/n.gmi", b"new", token=TOKEN), "30 gemini://localhost/n.gmi|"),
            (upload("/n.gmi", b"new"), "50 an upload here needs a token"),
            (upload("/n.gmi", b"x" * 11, token=TOKEN), "59 at most 10 bytes may be uploaded here"),
            (upload("/members/a.gmi", b"x" * 20, client=ada), "30 gemini://localhost/members/a.gmi|"),
            (
                upload("/members/b.gmi", b"x" * 11, client=ada),
                "50 there is no room for it: 30 bytes may be here in all",
            ),
            (
                upload("/members/a.gmi", b"x" * 5),
                "60 this part of the capsule needs a client certificate: one that its owner knows",
            ),
            (upload("/short", b"short", client=ada), "30 gemini://localhost/members/long.gmi|"),
            (
                upload("/pictures/a.png", b"PNG", mime="image/png", token=WORD),
                "30 gemini://localhost/pictures/a.png|",
            ),
            (
                upload("/pictures/a.gmi", b"text", token=WORD),
                "59 text/gemini may not be uploaded here, only image/*",
            ),
            (
                upload("/pictures/a.png", b"PNG", mime="image/png", token=TOKEN),
                "50 this token is not known here",
            ),
            (upload("/notes/tea", b"x" * 100), "20 text/gemini|tea 100"),
            (upload("/cgi-bin/none", b"x", token=TOKEN), "51 not found"),
            (upload("/cgi-bin/none", b"x"), "50 an upload here needs a token"),
            (upload("/app/x", b"x", token=TOKEN), "53 titan is not served here"),
            (upload("/there/x", b"x", token=TOKEN), "53 titan is not served here"),
            (edit("/n.gmi"), "20 text/gemini|new"),
            (upload("/n.gmi", token=TOKEN), "20 text/gemini|# Deleted\n\n/n.gmi is no more.\n"),
            (parse_request(b"gemini://localhost/members/a.gmi", Client()), f"20 text/gemini|{'x' * 20}"),
        ]:
            assert await answer(handler, request) == expected, request.uri
    assert set(files_below(folder / "content")) == {
        "members/", "members/a.gmi", "members/long.gmi", "pictures/", "pictures/a.png",
    }  # fmt: skip


async def test_without_anybody_who_may_it_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = configure(folder, "[[capsule]]\n[capsule.titan]\n")
    async with handling(config) as handler:
        assert await answer(handler, upload("/n.gmi", b"x", token=TOKEN)) == "50 nobody may upload here"
    assert [message.partition(";")[0] for message in caplog.messages] == ["localhost: nobody may upload"]


async def test_uploads_are_locked_in_the_state_folder(folder: Path) -> None:
    [capsule] = configure(folder, f"[[capsule]]\n{TITAN}").capsules
    assert capsule.titan
    files = StaticFiles(capsule.content)
    async with open_store(None) as edits:
        handler = uploads_for(capsule, capsule.titan, Zones(()), edits, files, {}, folder / "state")
        assert (await answer(handler, upload("/n.gmi", b"new", token=TOKEN))).startswith("30 ")
    assert [path.suffix for path in (folder / "state").iterdir()] == [".lock"]


NEEDY = [  # the configuration, whether it needs a folder for locks
    (TITAN, True),
    ("[[capsule.zone]]\npath = '/a/'\nallow = 'everybody'\nwrite = 'any'\n[capsule.titan]\n", True),
    ("routes = 'routes'\n[capsule.titan]\n", False),  # they store what they take where they like
    ("", False),
]


@pytest.mark.parametrize(("text", "is_needy"), NEEDY)
def test_a_state_folder_that_cannot_be_written_is_found_at_the_start(text: str, is_needy: bool) -> None:
    with unprivileged() as folder:
        for name in ("content", "routes", "closed"):
            (folder / name).mkdir()
        (folder / "closed").chmod(0o500)
        config = configure(folder, f"[server]\nstate = 'closed/state'\n[[capsule]]\n{text}")
        try:
            Site.build(config)
            found: tuple[str, ...] = ()
        except ConfigError as error:
            found = error.problems
        problem = (
            f"server.state is {folder}/closed/state, which uploads need, but {folder}/closed cannot be "
            "written: mend that, or name another"
        )
        assert found == ((problem,) if is_needy else ())


def test_only_hosts_that_take_uploads_are_asked(folder: Path) -> None:
    text = f"[[capsule]]\nhosts = ['a.test', '*.a.test']\n{TITAN}[[capsule]]\nhosts = ['b.test']\n"
    assert Site.build(configure(folder, text)).uploads == {"a.test", "*.a.test"}


# What strangers make us remember


def rows(folder: Path) -> int:
    if not (folder / "state/store.sqlite3").exists():
        return 0
    with closing(sqlite3.connect(folder / "state/store.sqlite3")) as database:
        [count] = database.execute("SELECT count(*) FROM value").fetchone()
    return int(count)


async def test_strangers_who_edit_what_is_not_there(folder: Path) -> None:
    zones = (
        f"people = {{ ada = '{ADA.fingerprint}' }}\n"
        "[[capsule.zone]]\npath = '/both/'\nallow = 'everybody'\nwrite = 'ada'\ntoken = 'a long password'\n"
    )
    config = configure(folder, f"[server]\nstate = 'state'\n[[capsule]]\n{zones}{TITAN}")
    eve = Client("192.0.2.1", certificate=identity("Eve"))
    async with handling(config) as handler:
        for number in range(5):
            for request in (
                edit(f"/{number}.gmi"), edit(f"/both/{number}.gmi"),
                edit(f"/{number}.gmi", eve), edit(f"/both/{number}.gmi", eve),
            ):  # fmt: skip
                assert await answer(handler, request) == "51 not found"
        assert rows(folder) == 0
        await answer(handler, edit("/both/a.gmi", Client(certificate=ADA)))
        assert rows(folder) == 1


# Zones that say something about uploads in a capsule that takes none


async def test_zones_without_titan_are_told_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    zones = (
        "[[capsule.zone]]\npath = '/a/'\nallow = 'any'\nwrite = 'any'\n"
        "[[capsule.zone]]\npath = '/b/'\nallow = 'any'\n"
        "[[capsule.zone]]\npath = '/c/'\nallow = 'any'\ntoken = 'a long password'\n"
    )
    for titan, said in (
        ("", ["localhost: uploads to its zones (/a/, /c/) are refused; to take them, write [capsule.titan]"]),
        ("[capsule.titan]\n", []),
    ):
        caplog.clear()
        async with handling(configure(folder, f"[[capsule]]\n{zones}{titan}")):
            assert caplog.messages == said
    caplog.clear()
    config = configure(folder, f"[[capsule]]\n{zones}")
    handler_for(config.capsules[0], Backends(config, warns=False))  # as in all workers but the first
    assert caplog.messages == []
