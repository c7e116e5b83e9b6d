"""Zones in the configuration, and what becomes of them."""

import pickle
from pathlib import Path

import pytest
import trustme

from pad19.content.static import StaticFiles
from pad19.dispatch.zones.guard import Guard
from pad19.protocol.client import Identity
from pad19.protocol.failure import (
    CertificateNotAuthorised,
    CertificateRequired,
    NotFound,
    PermanentFailure,
    TemporaryFailure,
)
from pad19.protocol.response import Success
from pad19.service.config.capsule import Capsule, Zone
from pad19.service.config.load import load
from pad19.service.config.model import Config, ConfigError
from pad19.service.config.values import Who
from pad19.service.handlers import handler_for, rehearse, zones_of
from pad19.tls.identity import identify_pem
from support.zones import ADA, BOB, EVE, ask

A, B, E = (one.fingerprint for one in (ADA, BOB, EVE))
FAMILY = trustme.CA()
DAN = identify_pem(FAMILY.issue_cert("dan@example.org").cert_chain_pems[0].bytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("index.gmi", "members/index.gmi", "members/open/a.gmi"):
        (tmp_path / "content" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "content" / name).write_text(name)
    (tmp_path / "members.txt").write_text(f"{B} Bob\n")
    FAMILY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path


def configure(folder: Path, text: str, above: str = "") -> Config:
    path = folder / "pad19.toml"
    path.write_text(f"[[capsule]]\n{above}\n[[capsule.zone]]\npath = '/members/'\n{text}\n")
    return load(path)


# Reading


def test_every_form_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAD19_LIST", "members")
    config = configure(
        folder,
        f"allow = ['any', 'everybody', 'ada', 'Bob B.', '{B[7:].upper()}', 'file:${{PAD19_LIST}}.txt',"
        f" 'ca:./ca.pem']\nwrite = '{A}'\ndeny = ['{E}', 'ada', 'file:/dev/null']",
        f"people = {{ ada = '{A}', 'Bob B.' = ['{B}', '{':'.join([E[-2:].upper()] * 32)}'] }}",
    )
    [capsule] = config.capsules
    assert capsule.people == {"ada": (A,), "Bob B.": (B, E)}
    assert capsule.zones == (
        Zone(
            path="/members/",
            allow=(
                Who("any"),
                Who("everybody"),
                Who("name", "ada"),
                Who("name", "Bob B."),
                Who("fingerprint", B),
                Who("file", str(folder / "members.txt")),
                Who("ca", str(folder / "ca.pem")),
            ),
            write=(Who("fingerprint", A),),
            deny=(Who("fingerprint", E), Who("name", "ada"), Who("file", "/dev/null")),
        ),
    )
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301 - on its way to a worker


MISTAKES = [  # what stands in a zone, the key and the beginning of its problem, what stands in the capsule
    ("", 'zone[1].allow is missing: write for example allow = "any", or write or token or deny', ""),
    ("quota = 5", 'zone[1].allow is missing: write for example allow = "any", or write', ""),
    ("write = true", 'zone[1].write is true, but must be "any"', ""),
    ("allow = 'bob'", 'zone[1].allow[1] is "bob", who is not in capsule[1].people: add them there', ""),
    ("allow = ['any', 'Ada']", 'zone[1].allow[2] is "Ada", who is not in', f"people = {{ ada = '{A}' }}"),
    ("allow = []\nwrite = 'bob'", 'zone[1].write[1] is "bob", who is not in', ""),
    ("allow = []\ndeny = 'bob'", 'zone[1].deny[1] is "bob", who is not in', ""),
    ("allow = 'sha256:12'", 'zone[1].allow[1] is "sha256:12", but must be "any", "everybody", a fing', ""),
    ("allow = 'file:'", 'zone[1].allow[1] is "file:", but must be ', ""),
    ("allow = 'file:~/x'", 'zone[1].allow[1] is "file:~/x", but must not begin with ~', ""),
    ("allow = 'FILE:x'", 'zone[1].allow[1] is "FILE:x", but must be ', ""),
    ("allow = ''", 'zone[1].allow[1] is "", but must be ', ""),
    ("allow = true", 'zone[1].allow is true, but must be "any", "everybody", or a list of people', ""),
    ("allow = [1]", "zone[1].allow[1] is 1, but must be ", ""),
    (
        "allow = 'file:none.txt'",
        "zone[1].allow[1] is file:{folder}/none.txt, which is missing: `pad19 ident",
        "",
    ),
    (
        "allow = 'ca:none.pem'",
        "zone[1].allow[1] is ca:{folder}/none.pem, which is missing: name the file",
        "",
    ),
    (
        "allow = 'file:content/x.txt'",
        "zone[1].allow[1] is {folder}/content/x.txt, inside of the content folder {folder}/content, which "
        "would publish who may read it: move it out",
        "",
    ),
    ("allow = []\ndeny = 'any'", 'zone[1].deny[1] is "any", but must name people, since', ""),
    ("allow = []\ndeny = 'everybody'", 'zone[1].deny[1] is "everybody", but must name people', ""),
    (
        "allow = []\ndeny = 'ca:ca.pem'",
        'zone[1].deny[1] is "ca:ca.pem", but must be a fingerprint, a name',
        "",
    ),
    ("allow = []\nread = []", "zone[1].read is no key", ""),
    (
        "allow = []\n[[capsule.zone]]\npath = '/members'\nallow = 'any'",
        "zone[2].path is /members, which is t",
        "",
    ),
    (
        "allow = []\n[[capsule.zone]]\npath = 'x'\nallow = []",
        'zone[2].path is "x", but must begin with a',
        "",
    ),
    ("allow = []\n[[capsule.zone]]\nallow = []", "zone[2].path is missing: write for example path", ""),
    ("allow = []", 'people.ada is "x", but must be a fingerprint', "people = { ada = ['x'] }"),
    ("allow = []", 'people.any is "any", but must be a name of at most 63', f"people = {{ any = '{A}' }}"),
    ("allow = []", 'people."a:b" is "a:b", but must be a name', f"people = {{ 'a:b' = '{A}' }}"),
    (
        "allow = []",
        "people.ada is 1, but must be a fingerprint, sha256: and 64 hex digits, or",
        "people.ada = 1",
    ),
]


@pytest.mark.parametrize(("text", "problem", "above"), MISTAKES)
def test_mistakes(text: str, problem: str, above: str, folder: Path) -> None:
    (folder / "content/x.txt").touch()
    with pytest.raises(ConfigError) as refusal:
        configure(folder, text, above)
    [found] = refusal.value.problems
    expected = f"{folder}/pad19.toml: capsule[1].{problem.replace('{folder}', str(folder))}"
    assert found.replace("people.ada[1]", "people.ada").startswith(expected)


# Serving


def test_a_capsule_without_zones_pays_for_none(folder: Path) -> None:
    assert isinstance(handler_for(Capsule(content=folder / "content")), StaticFiles)
    [capsule] = configure(folder, "allow = 'any'").capsules
    assert isinstance(handler_for(capsule), Guard)
    assert isinstance(handler_for(capsule, guarded=False), StaticFiles)


WHO = f"people = {{ ada = '{A}' }}"
MAY = [  # a zone, and who may read, with the failure of those who may not
    ("allow = 'any'", {None: CertificateRequired, ADA: None, DAN: None}),
    ("allow = 'everybody'", {None: None, ADA: None}),
    ("write = 'ada'", {None: None, EVE: None}),
    ("write = []", {None: None, EVE: None}),
    ("token = 'a long password'", {None: None, EVE: None}),
    ("deny = 'ada'", {None: None, BOB: None, ADA: CertificateNotAuthorised}),
    ("allow = []\nwrite = 'ada'", {None: PermanentFailure, ADA: PermanentFailure}),
    ("allow = []", {None: PermanentFailure, ADA: PermanentFailure}),
    ("allow = 'ada'", {None: CertificateRequired, ADA: None, BOB: CertificateNotAuthorised}),
    (f"allow = '{B}'", {ADA: CertificateNotAuthorised, BOB: None}),
    (f"allow = '{ADA.key_fingerprint}'", {ADA: None, BOB: CertificateNotAuthorised}),
    ("allow = 'file:members.txt'", {ADA: CertificateNotAuthorised, BOB: None}),
    ("allow = 'ca:ca.pem'", {None: CertificateRequired, ADA: CertificateNotAuthorised, DAN: None}),
    (
        f"allow = ['ada', 'file:members.txt', 'ca:ca.pem', '{E}']\ndeny = 'file:denied.txt'",
        {ADA: None, BOB: None, DAN: None, EVE: CertificateNotAuthorised},
    ),
    ("allow = 'any'\ndeny = 'ada'", {ADA: CertificateNotAuthorised, BOB: None}),
    ("allow = 'any'\ndeny = 'file:broken.txt'", {None: CertificateRequired, ADA: TemporaryFailure}),
]


@pytest.mark.parametrize(("text", "answers"), MAY)
async def test_who_may_read(
    text: str, answers: dict[Identity | None, type[Exception] | None], folder: Path
) -> None:
    (folder / "denied.txt").write_text(f"{E} Eve\n")
    (folder / "broken.txt").write_text("Eve\n")
    [capsule] = configure(folder, text, WHO).capsules
    handler = handler_for(capsule)
    assert await handler(ask("/")) == Success(b"index.gmi")
    for who, failure in answers.items():
        if failure is None:
            assert await handler(ask("/members/", who)) == Success(b"members/index.gmi")
            continue
        with pytest.raises(failure):
            await handler(ask("/members/", who))
        with pytest.raises(failure):  # nor do they learn what is there
            await handler(ask("/members/none", who))


async def test_rewrites_come_first(folder: Path) -> None:
    text = (
        "allow = 'any'\n[[capsule.rewrite]]\nfrom = '/in/{rest:path}'\nto = '/members/{rest}'\n"
        "[[capsule.rewrite]]\nfrom = '/members/out'\nto = '/'\n"
    )
    handler = handler_for(configure(folder, text).capsules[0])
    with pytest.raises(CertificateRequired):
        await handler(ask("/in/"))
    assert await handler(ask("/in/", ADA)) == Success(b"members/index.gmi")
    assert await handler(ask("/members/out")) == Success(b"index.gmi")


async def test_a_link_publishes_what_it_leads_to(folder: Path) -> None:
    (folder / "content/shared.gmi").symlink_to("members/index.gmi")
    (folder / "content/members/front.gmi").symlink_to("../index.gmi")
    handler = handler_for(configure(folder, "allow = 'any'").capsules[0])
    assert await handler(ask("/shared.gmi")) == Success(b"members/index.gmi")
    with pytest.raises(CertificateRequired):
        await handler(ask("/members/front.gmi"))


async def test_an_open_part_of_a_zone(folder: Path) -> None:
    text = "allow = 'ada'\n[[capsule.zone]]\npath = '/members/open'\nallow = 'everybody'"
    handler = handler_for(configure(folder, text, WHO).capsules[0])
    assert await handler(ask("/members/open/a.gmi")) == Success(b"members/open/a.gmi")
    with pytest.raises(CertificateRequired):
        await handler(ask("/members/opened"))


async def test_own_names_of_index_files_count(folder: Path) -> None:
    text = "allow = 'any'\n[[capsule.zone]]\npath = '/home.txt'\nallow = 'ada'"
    (folder / "content/home.txt").write_text("home")
    handler = handler_for(configure(folder, text, f"{WHO}\nindex = ['home.txt']").capsules[0])
    with pytest.raises(CertificateRequired):
        await handler(ask("/"))
    assert await handler(ask("/", ADA)) == Success(b"home", "text/plain")


def test_programs_are_guarded_by_all_their_names(folder: Path) -> None:
    (folder / "bin").mkdir()
    text = "allow = 'any'\n[[capsule.zone]]\npath = '/bin/admin.py'\nallow = 'ada'\nwrite = 'ada'"
    zones = zones_of(configure(folder, text, f"{WHO}\ncgi = {{ '/bin/' = 'bin' }}").capsules[0])
    for path in ("/bin/admin.py", "/bin/admin", "/bin/admin/x"):
        for scheme in ("gemini", "titan"):
            with pytest.raises(CertificateNotAuthorised):
                zones.admit(ask(path, EVE, scheme))
    zones.admit(ask("/bin/other", EVE))


def test_who_may_write(folder: Path) -> None:
    text = f"allow = 'everybody'\nwrite = ['ada', 'file:members.txt']\ndeny = '{B}'"
    zones = zones_of(configure(folder, text, WHO).capsules[0])
    assert zones.admit(ask("/members/x", ADA, "titan"))
    assert not zones.admit(ask("/x", ADA, "titan"))
    for who, failure in (
        (None, CertificateRequired),
        (EVE, CertificateNotAuthorised),
        (BOB, CertificateNotAuthorised),  # listed, but kept out
    ):
        with pytest.raises(failure):
            zones.admit(ask("/members/x", who, "titan"))


def test_one_file_of_several_zones_is_told_of_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "members.txt").write_text("nonsense")
    text = (
        "allow = 'file:members.txt'\nwrite = 'file:members.txt'\n"
        "[[capsule.zone]]\npath = '/x'\nallow = 'file:members.txt'"
    )
    zones_of(configure(folder, text).capsules[0])
    assert len(caplog.records) == 1


async def test_the_owner_sees_everything(folder: Path) -> None:
    [handler], problems = rehearse(configure(folder, "allow = []"))
    assert problems == []
    assert await handler(ask("/members/")) == Success(b"members/index.gmi")


async def test_what_is_not_there_is_51_for_those_who_may(folder: Path) -> None:
    handler = handler_for(configure(folder, "allow = 'any'").capsules[0])
    with pytest.raises(NotFound):
        await handler(ask("/members/none", ADA))
