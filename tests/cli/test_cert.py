import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pad19.cli.cert import cert
from pad19.service.config.load import resolve
from pad19.tls.certificate import load
from pad19.tls.certificate_folder import files
from pad19.tls.making import load_or_make, make


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cert, arguments, catch_exceptions=False)


def lines(text: str) -> dict[str, str]:
    """The labelled lines of one certificate."""
    return {line[2:13].strip(): line[15:] for line in text.splitlines() if line.startswith("  ")}


def pasted(message: str) -> list[str]:
    """The arguments of the only command in it."""
    [shown] = re.findall("`pad19 cert (.+)`", message)
    return shlex.split(shown)


def test_new_then_show() -> None:
    made = run("new", "example.org", "--certs", "certs", "--years", "2")
    assert made.exit_code == 0
    credentials = load(*files("example.org", Path("certs")), host="example.org")
    not_before, not_after = (f"{date:%Y-%m-%d}" for date in (credentials.not_before, credentials.not_after))
    days = (credentials.not_after - datetime.now(UTC)).days
    assert made.output.splitlines() == [
        "example.org",
        f"  certificate  {credentials.fingerprint}",
        f"  public key   {credentials.key_fingerprint}",
        f"  valid        {not_before} to {not_after} ({days} days left)",
        "  key          ECDSA P-256, self-signed",
        "  names        example.org",
        "  files        certs/example.org.crt, certs/example.org.key",
        "",
    ]
    for shown in (run("show", "--certs", "certs"), run("show", "example.org", "--certs", "certs")):
        assert (shown.exit_code, shown.output) == (0, made.output)


def test_show_all_and_some() -> None:
    assert run("new", "b.example", "*.a.example", "::1", "bücher.example", "--certs", "c").exit_code == 0
    heads = [line for line in run("show", "--certs", "c").output.splitlines() if line and line[0] != " "]
    assert heads == ["*.a.example", "[::1]", "b.example", "xn--bcher-kva.example (bücher.example)"]
    some = run("show", "bücher.example", "--certs", "c")
    assert lines(some.output)["names"] == "xn--bcher-kva.example"


def test_show_of_an_expired_one() -> None:
    make("example.org", Path("c"), years=1, now=datetime.now(UTC) - timedelta(days=800))
    shown = lines(run("show", "--certs", "c").output)
    assert shown["valid"].endswith("(expired)")
    assert "renew it with `pad19 cert renew example.org --certs c`" in shown["warning"]


def test_show_without_any() -> None:
    result = run("show", "--certs", "c")
    assert result.exit_code == 0
    assert result.output == "There are no certificates in c; `pad19 cert new HOST --certs c` makes one.\n"
    assert not Path("c").exists()


def test_one_broken_pair_does_not_hide_the_others() -> None:
    run("new", "a.example", "b.example", "--certs", "c")
    Path("c/a.example.key").unlink()
    result = run("show", "--certs", "c")
    assert result.exit_code == 1
    assert "Error: c/a.example.key is missing; restore it" in result.output
    assert "\nb.example\n" in result.output


@pytest.mark.parametrize("name", ["Ada", "Eve-X", "eve"])
def test_show_of_a_visitors(name: str) -> None:
    made = lines(run("new", "--client", name, "--out", f"c/{name}").output)
    file = run("show", f"c/{name}.crt")
    assert (file.exit_code, file.output.splitlines()[0]) == (0, f"c/{name}.crt")
    shown = lines(file.output)
    assert {**shown, "subject": f"CN={name}"} == shown
    assert shown.keys() == {"certificate", "public key", "valid", "subject"}
    assert {label: made[label] for label in ("certificate", "public key", "valid")}.items() <= shown.items()
    # Also among those of hosts.
    run("new", "example.org", "--certs", "c")
    everything = run("show", "--certs", "c")
    assert everything.exit_code == 0
    assert everything.output.endswith(f"\n{file.output}")
    assert everything.output.startswith("example.org\n")
    assert run("show", "example.org", f"c/{name}.crt", "--certs", "c").output == everything.output


def test_show_of_a_strangers_file() -> None:
    names = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Eve\u202e\x1b[2J")])
    key = ec.generate_private_key(ec.SECP256R1())
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(names, names, key.public_key(), 1, begin, begin + timedelta(days=1))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    Path("eve.pem").write_bytes(b"some text\n" + pem)
    shown = lines(run("show", "eve.pem").output)
    assert shown["subject"] == r"CN=Eve\u202e\ufffd[2J".replace(r"\ufffd", "\ufffd")
    assert shown["valid"] == "2020-01-01 to 2020-01-02 (expired)"
    assert shown["warning"] == "this certificate expired on 2020-01-02, so it is answered with 62"


FAILS = [  # arguments, exit status, what it says
    (
        ["show", "a.example", "--certs", "c"],
        1,
        "Error: c/a.example.crt is missing; make a pair with `pad19 cert new a.example --certs c`",
    ),
    (
        ["show", "*.a.example", "--certs", "a c"],
        1,
        "make a pair with `pad19 cert new '*.a.example' --certs 'a c'`",
    ),
    (["show", "a.example"], 1, "a.example.crt is missing; make a pair with `pad19 cert new a.example`"),
    (["new", "gemini://x/", "--certs", "c"], 1, "write a host without scheme, port and path"),
    (["new", "x:1965", "--certs", "c"], 1, "write a host without scheme, port and path"),
    (["show", "gone.crt"], 1, "Error: gone.crt cannot be read (No such file or directory); mend"),
    (["show", "./gone"], 1, "Error: ./gone cannot be read (No such file or directory)"),
    (["show", "./file"], 1, "Error: ./file has no certificate in PEM"),
    (["show", "\x1b.crt"], 1, "Error: \\x1b.crt cannot be read"),
    (["show", "a b", "--certs", "c"], 1, "Error: 'a b' cannot have a certificate"),
    (["new", "a/b", "--certs", "c"], 1, "Error: 'a/b' cannot have a certificate"),
    *(
        ([name, "a.example", "--certs", "file"], 2, "Error: file is a file where a folder belongs; name one")
        for name in ("show", "new", "renew")
    ),
    (["new", "a.example", "--certs", "file/c"], 1, "file/c cannot be written (Not a directory); a file is"),
    (["new"], 2, "Name the hosts, or a visitor with --client."),
    (["new", "a.example", "--years", "0"], 2, "0 is not in the range"),
    (["new", "a.example", "--client", "Ada"], 2, "neither hosts nor --certs"),
    (["new", "--certs", "c", "--client", "Ada"], 2, "neither hosts nor --certs"),
    (["new", "a.example", "--out", "x"], 2, "--out goes with --client"),
    (["new", "--client", ""], 2, "1 to 64 bytes"),
    (["new", "--client", "a" * 65], 2, "1 to 64 bytes"),
    (["new", "--client", "a\nb"], 2, "1 to 64 bytes"),
    (["renew"], 2, "Missing argument"),
    (["renew", "c/gone.crt"], 1, "Error: c/gone.crt is missing; name the file that has it"),
    (
        ["renew", "a.example", "--certs", "c"],
        1,
        "Error: c/a.example.crt is missing; make a pair with `pad19 cert new a.example --certs c`",
    ),
    (["renew", "a.example"], 1, "a.example.crt is missing; make a pair with `pad19 cert new a.example`"),
]


@pytest.mark.parametrize(("arguments", "status", "sentence"), FAILS, ids=lambda value: str(value)[:40])
def test_failures(arguments: list[str], status: int, sentence: str) -> None:
    Path("file").touch()
    result = run(*arguments)
    assert result.exit_code == status
    assert sentence in result.output
    assert "Traceback" not in result.output


def test_new_keeps_what_is_there() -> None:
    run("new", "a.example", "--certs", "c")
    before = Path("c/a.example.crt").read_bytes()
    result = run("new", "a.example", "b.example", "--certs", "c")
    assert result.exit_code == 1
    assert (
        "Error: c/a.example.crt exists already; renew it with `pad19 cert renew a.example --certs c`, or move"
        in result.output
    )
    assert Path("c/a.example.crt").read_bytes() == before
    assert Path("c/b.example.crt").exists()


@pytest.mark.parametrize("folder", ["keys", "my keys"])
def test_the_command_in_a_message_mends_what_is_served(folder: str) -> None:
    """From the folder above the capsule's, where `pad19 cert` would look elsewhere by itself."""
    Path("capsule/content").mkdir(parents=True)
    Path("capsule/pad19.toml").write_text(f'[server]\ncerts = "{folder}"\n')
    make("localhost", Path("capsule", folder), years=1, now=datetime.now(UTC) - timedelta(days=800))
    certs = resolve(Path("capsule")).server.certs
    [warning] = load_or_make("localhost", certs)[0].warnings
    assert run(*pasted(warning)).exit_code == 0
    assert load_or_make("localhost", certs)[0].warnings == ()


@pytest.mark.parametrize("options", [[], ["--certs", "c"]])
def test_the_commands_in_messages_follow_each_other(options: list[str]) -> None:
    missing = run("show", "a.example", *options)
    made = run(*pasted(missing.output))
    again = run("new", "a.example", *options)
    renewed = run(*pasted(again.output))
    assert [result.exit_code for result in (missing, made, again, renewed)] == [1, 0, 1, 0]
    assert pasted(missing.output) == ["new", "a.example", *options]
    assert pasted(again.output) == ["renew", "a.example", *options]


def test_renew_keeps_the_key() -> None:
    before = lines(run("new", "a.example", "--certs", "c", "--years", "1").output)
    result = run("renew", "a.example", "--certs", "c", "--years", "9000")
    after = lines(result.output)
    assert result.exit_code == 0
    assert after["public key"] == before["public key"]
    assert after["certificate"] != before["certificate"]
    assert " to 9999-12-31 " in after["valid"]
    assert "clients that remember the key notice nothing" in result.output
    assert result.output.endswith(
        "A server that is running notices by itself; where server.watch is false, send it SIGHUP.\n"
    )


@pytest.mark.parametrize(
    "arguments", [["eve", "--certs", "c"], ["c/eve.crt"], ["./c/eve.crt"]], ids=lambda value: value[0]
)
def test_renew_a_visitors(arguments: list[str]) -> None:
    before = lines(run("new", "--client", "Eve", "--out", "c/eve", "--years", "1").output)
    result = run("renew", *arguments)
    after = lines(result.output)
    assert result.exit_code == 0
    assert result.output.startswith(f"{arguments[0]}\n")
    assert after["public key"] == before["public key"]
    assert "names" not in after
    assert "warning" not in after
    assert "\nThe key is the same: a list of visitors that has the public key's fingerprint " in result.output
    assert "A server that is running" not in result.output
    assert run("show", "--certs", "c").output == run("show", "c/eve.crt").output


def test_renew_a_host_and_a_file() -> None:
    run("new", "a.example", "b.example", "--certs", "c")
    result = run("renew", "a.example", "c/b.example.crt", "--certs", "c")
    assert result.exit_code == 0
    assert result.output.count("The key is the same: ") == 1
    assert lines(result.output)["names"] == "b.example"


def test_nothing_is_promised_when_nothing_was_renewed() -> None:
    assert "remember the key" not in run("renew", "a.example", "--certs", "c").output


@pytest.mark.parametrize(
    ("name", "options", "prefix"),
    [
        ("Ada Lövelace", [], "Ada-Lövelace"),
        ("../../x", [], "x"),
        ("***", [], "client"),
        ("Ada", ["--out", "ids/ada"], "ids/ada"),
    ],
)
def test_client_certificate(name: str, options: list[str], prefix: str) -> None:
    result = run("new", "--client", name, *options)
    assert result.exit_code == 0
    assert result.output.startswith(f"{name}\n")
    assert lines(result.output)["files"] == f"{prefix}.crt, {prefix}.key"
    assert "names" not in lines(result.output)
    assert load(Path(f"{prefix}.crt"), Path(f"{prefix}.key")).identity.common_name == name
    again = run("new", "--client", name, *options)
    assert again.exit_code == 1
    assert f"Error: {prefix}.crt exists already" in again.output


FOLDERS = [  # pad19.toml, XDG_DATA_HOME, the folder
    (None, None, "home/.local/share/pad19/certs"),
    (None, "relative", "home/.local/share/pad19/certs"),
    (None, "/data", "/data/pad19/certs"),
    ("", "/data", "certs"),
    ("[server]\nworkers = 2\n", None, "certs"),
    ('[server]\ncerts = "here"\n', "/data", "here"),
    ('[server]\ncerts = "/srv/certs"\n', None, "/srv/certs"),
    ('[server]\ncerts = "${XDG_DATA_HOME:-/srv}/certs"\n', None, "/srv/certs"),
    ('[server]\ncerts = "${XDG_DATA_HOME:-/srv}/certs"\n', "/data", "/data/certs"),
]


@pytest.mark.parametrize(("settings", "data", "folder"), FOLDERS)
def test_default_folder(
    monkeypatch: pytest.MonkeyPatch, settings: str | None, data: str | None, folder: str
) -> None:
    if settings is not None:
        Path("pad19.toml").write_text(settings)
    if data is not None:
        monkeypatch.setenv("XDG_DATA_HOME", data)
    if folder.startswith("home"):
        folder = str(Path.cwd() / folder)
    assert f"There are no certificates in {folder};" in run("show").output


@pytest.mark.parametrize(
    "settings",
    [
        "certs =",
        "[server]\ncerts = 3\n",
        "[server]\ncerts = ''\n",
        "server = 3\n",
        "\xff",
        None,
        "[server]\ncerts = '${NO_SUCH}'",
    ],
)
def test_broken_settings(settings: str | None) -> None:
    if settings is None:
        Path("pad19.toml").mkdir()
    else:
        Path("pad19.toml").write_bytes(settings.encode("latin-1"))
    result = run("show")
    assert result.exit_code == 2
    assert result.output.startswith("Error: pad19.toml")
    assert result.output.endswith("mend it, or give --certs.\n")


def test_nobody_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    result = run("show")
    assert (result.exit_code, result.output) == (2, "Error: You have no home folder; give --certs.\n")


def test_other_commands_do_not_pay_for_openssl() -> None:
    code = "import sys, pad19.cli.cert; print(*{'OpenSSL', 'cryptography', 'trio'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
