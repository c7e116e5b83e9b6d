import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pad19.cli.identity import identity
from pad19.dispatch.zones.people import change
from pad19.tls.identity import identify
from support.tls import expired, self_signed
from support.users import unprivileged

ADA, BOB, EVE = (f"sha256:{letter * 64}" for letter in "abe")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(identity, [*arguments, "--file", "people.txt"], catch_exceptions=False)


def content() -> str:
    return Path("people.txt").read_text("utf-8")


def test_add_list_and_remove() -> None:
    assert run("add", "Ada", ADA).stdout == f"{ADA} Ada is in people.txt now.\n"
    assert run("add", "Bob B.", "BB:" * 31 + "BB").exit_code == 0
    assert run("add", "Ada", EVE).exit_code == 0  # her next one
    listed = run("list")
    assert (listed.exit_code, listed.stdout) == (0, f"{ADA}  Ada\n{BOB}  Bob B.\n{EVE}  Ada\n")
    gone = run("remove", "Ada")
    assert gone.stdout.splitlines() == [f"{one} Ada is no longer in people.txt." for one in (ADA, EVE)]
    assert run("list").stdout == f"{BOB}  Bob B.\n"
    assert run("remove", BOB.upper()).exit_code == 0
    empty = run("list")
    assert empty.exit_code == 0
    assert empty.stdout.startswith("There is nobody in people.txt; `pad19 identity add")
    assert re.fullmatch(r"# .*\n", content())


def test_a_certificate_stands_for_its_fingerprint() -> None:
    pair = self_signed("Ada")
    Path("ada.crt").write_bytes(pair.certificate_pem)
    run("add", "Ada", "ada.crt")
    run("add", "Ada", "ada.crt", "--key")
    known = identify(pair.certificate)
    assert run("list").stdout == f"{known.fingerprint}  Ada\n{known.key_fingerprint}  Ada\n"


def test_a_certificate_that_will_not_do_is_a_warning() -> None:
    Path("old.crt").write_bytes(expired().certificate_pem)
    result = run("add", "Ada", "old.crt")
    assert result.exit_code == 0
    assert re.fullmatch(
        r"warning: this certificate expired on \S+, so it is answered with 62\n", result.stderr
    )


def test_twice_is_once() -> None:
    run("add", "Ada", ADA)
    before = content()
    again = run("add", "Ada", ADA)
    assert (again.exit_code, again.stdout) == (0, f"{ADA} Ada is in people.txt already.\n")
    assert content() == before


def test_the_rest_of_the_file_stays() -> None:
    odd = b"# friends\r\n\r\nnonsense\r\n\xff\n" + f"{ADA} Ada # old telephone\n\n{BOB} Bob".encode()
    Path("people.txt").write_bytes(b"\xef\xbb\xbf" + odd)
    assert run("add", "Eve", EVE).exit_code == 0
    assert Path("people.txt").read_bytes() == odd + f"\n{EVE} Eve\n".encode()
    assert run("remove", "Ada").exit_code == 0
    expected = b"# friends\r\n\r\nnonsense\r\n\xff\n" + f"\n{BOB} Bob\n{EVE} Eve\n".encode()
    assert Path("people.txt").read_bytes() == expected
    listed = run("list")
    assert listed.exit_code == 1
    assert listed.stdout == f"{BOB}  Bob\n{EVE}  Eve\n"
    assert listed.stderr.splitlines() == [
        "people.txt: line 3 counts for nobody: it must be a fingerprint, sha256: and 64 hex digits",
        "people.txt: line 4 counts for nobody: it is not UTF-8",
    ]


def test_an_empty_file_gets_no_empty_line() -> None:
    Path("people.txt").touch()
    run("add", "Ada", ADA)
    assert content() == f"{ADA} Ada\n"


def test_mode_and_links_stay() -> None:
    Path("real.txt").touch(mode=0o640)
    Path("real.txt").chmod(0o640)
    Path("people.txt").symlink_to("real.txt")
    run("add", "Ada", ADA)
    assert Path("people.txt").is_symlink()
    assert Path("real.txt").read_text() == f"{ADA} Ada\n"
    assert Path("real.txt").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["people.txt", "real.txt"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_stays() -> None:
    Path("people.txt").touch()
    os.chown("people.txt", 65534, 65534)
    run("add", "Ada", ADA)
    status = Path("people.txt").stat()
    assert (status.st_uid, status.st_gid) == (65534, 65534)


def test_a_new_file_can_be_read_by_the_server() -> None:
    run("add", "Ada", ADA)
    assert Path("people.txt").stat().st_mode & 0o777 == 0o644


FAILS = [  # arguments, exit status, what it says
    (["add", "Ada", "sha256:12"], 1, "sha256:12 is neither a fingerprint, sha256: and 64 hex digits, nor"),
    (["add", "Ada", "missing.crt"], 1, "Error: missing.crt is missing: give a fingerprint, sha256: and 64"),
    (["add", "Ada", "certs/\x1b"], 1, "Error: certs/\\x1b is missing: give"),
    (["add", "Ada", "missing"], 1, "missing is neither a fingerprint, sha256: and 64 hex digits, nor"),
    (["add", "Ada", "."], 1, "the file of a certificate (Is a directory)"),
    (["add", "Ada", "people.txt"], 1, "the file of a certificate (no certificate in PEM)"),
    (["add", "Ada", "\x1b[2J"], 1, "Error: \\x1b[2J is neither"),
    (["add", ADA, "Ada"], 2, "The name comes first, and then the fingerprint or the file."),
    (["add", "people.txt", "Ada"], 2, "The name comes first, and then the fingerprint or the file."),
    (["add", "x" * 5000, "Ada"], 2, "A name has 1 to 63 characters, without colons and #."),
    (["add", "a:b", ADA], 2, "A name has 1 to 63 characters, without colons and #."),
    (["add", "a\nb", ADA], 2, "A name has 1 to 63 characters"),
    (["add", "", ADA], 2, "A name has 1 to 63 characters"),
    (["add", "Ada", ADA, "--key"], 2, "--key goes with the file of a certificate"),
    (["add", "Ada"], 2, "Missing argument 'FINGERPRINT'"),
    (["add", "Eve", BOB], 1, f"people.txt has that fingerprint already, as {BOB} Bob; remove it first"),
    (["remove", "Ada"], 1, "people.txt has no Ada; `pad19 identity list` shows who is there"),
    (["remove", "bob"], 1, "people.txt has no bob"),
    (["remove", ADA], 1, f"people.txt has no {ADA}"),
    (["remove"], 2, "Missing argument"),
]


@pytest.mark.parametrize(("arguments", "status", "sentence"), FAILS)
def test_failures(arguments: list[str], status: int, sentence: str) -> None:
    before = f"{BOB} Bob\n"
    Path("people.txt").write_text(before)
    result = run(*arguments)
    assert result.exit_code == status
    assert sentence in result.stderr
    assert content() == before


def test_a_file_that_is_not_there() -> None:
    listed = run("list")
    assert listed.exit_code == 1
    assert listed.stderr == "Error: people.txt is missing; `pad19 identity add NAME FINGERPRINT` makes it\n"
    assert run("remove", "Ada").exit_code == 1
    assert not Path("people.txt").exists()


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with unprivileged() as folder:
        monkeypatch.chdir(folder)
        folder.chmod(0o500)
        result = run("add", "Ada", ADA)
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {folder}/people.txt cannot be written (Permission denied); "
        "mend that, or name another with --file\n"
    )


def test_who_writes_keeps_others_from_it() -> None:
    def add(lines: list[str]) -> str:
        folder = os.open(".", os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(folder)
        lines.append(f"{ADA} Ada")
        return "done"

    assert change(Path("people.txt"), add) == "done"
    assert change(Path("people.txt"), add) == "done"  # and not for ever
    assert content().count(ADA) == 2


# Which file


def by_configuration(text: str, *arguments: str) -> Result:
    Path("pad19.toml").write_text(text)
    return CliRunner().invoke(identity, arguments or ["add", "Ada", ADA], catch_exceptions=False)


ZONE = "[[capsule]]\n[[capsule.zone]]\npath = '/a/'\n"


@pytest.mark.parametrize(
    "text",
    [
        f"{ZONE}allow = 'file:sub/people.txt'",
        f"{ZONE}allow = ['any', 'file:sub/people.txt', 'ca:ca.pem']\nwrite = 'file:sub/people.txt'",
        f"{ZONE}write = ['file:${{PAD19_SUB}}/people.txt']\ndeny = 'file:others.txt'\nallow = 1",
        f"{ZONE}{ZONE}allow = 'file:${{PAD19_NONE:-sub}}/people.txt'",
        f"\ufeff{ZONE}allow = 'file:sub/people.txt'\n[server]\nlisten = 'nonsense'",
    ],
)
def test_the_file_that_the_configuration_names(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAD19_SUB", "sub")
    Path("sub").mkdir()
    assert by_configuration(text).exit_code == 0
    assert Path("sub/people.txt").read_text().endswith(f"{ADA} Ada\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"{ZONE}allow = ['file:b', 'file:a']", "The zones in pad19.toml name several files: a, b; or give"),
        (f"{ZONE}deny = 'file:a'", 'name no file: write for example allow = "file:members.txt"; or give'),
        ("", "name no file"),
        ("capsule = 1", "name no file"),
        ("capsule = [1, {zone = 2}, {zone = [3, {allow = [4]}]}]", "name no file"),
        (
            f"{ZONE}allow = 'file:${{PAD19_NONE}}'",
            'pad19.toml: "file:${PAD19_NONE}" must name variables that are set',
        ),
        ("x", "pad19.toml cannot be read: "),
    ],
)
def test_no_file_to_be_found(text: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAD19_NONE", raising=False)
    result = by_configuration(text)
    assert result.exit_code == 2
    assert sentence in result.stderr


@pytest.mark.parametrize(
    "include",
    ["sites/*.toml", "sites/ada.toml", ["*.toml", "sites/a*.toml", 5, "none/*"], "${PAD19_SITES}/*"],
)
def test_the_file_that_an_included_one_names(include: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAD19_SITES", "sites")
    Path("sites").mkdir()
    Path("sites/ada.toml").write_text(f"{ZONE}allow = 'file:../people.txt'\n")
    main = f"include = {json.dumps(include)}\n"
    assert by_configuration(main).exit_code == 0
    assert content().endswith(f"{ADA} Ada\n")
    assert by_configuration(f"{main}{ZONE}write = 'file:people.txt'\n", "remove", "Ada").exit_code == 0
    assert ADA not in content()
    several = by_configuration(f"{main}{ZONE}write = 'file:others.txt'\n")
    assert "name several files: others.txt, sites/../people.txt; or give" in several.stderr


def test_an_included_file_that_is_wrong() -> None:
    result = by_configuration("include = 'none.toml'")
    assert result.exit_code == 2
    assert "There is no none.toml here; give --file." in result.stderr
    Path("none.toml").write_text("x")
    assert "none.toml cannot be read: " in by_configuration("include = 'none.toml'").stderr
    assert '"${PAD19_NONE}" must name' in by_configuration("include = '${PAD19_NONE}'").stderr


def test_no_configuration() -> None:
    result = CliRunner().invoke(identity, ["list"], catch_exceptions=False)
    assert result.exit_code == 2
    assert "There is no pad19.toml here; give --file." in result.stderr


def test_all_but_certificates_do_without_openssl() -> None:
    Path("people.txt").write_text(f"{ADA} Ada\n")
    program = (
        "import sys\nfrom pad19.cli import main\n"
        "main(['identity', 'remove', 'Ada', '--file', 'people.txt'], standalone_mode=False)\n"
        "print({'trio', 'OpenSSL', 'cryptography', 'msgspec'} & {*sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"
