import os
import pickle
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import fields

from pad19.service.config import DEFAULT_LISTEN, Capsule, Config, ConfigError, Limits, Log, Sections, Server
from pad19.service.config_load import MAX_FILE, for_folder, load, resolve
from pad19.service.listen import Listen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "content").mkdir()
    return tmp_path


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "pad19.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(folder: Path, text: str | bytes) -> list[str]:
    """What load() has to say about a file, without the file's name."""
    path = write(folder, text)
    with pytest.raises(ConfigError) as refusal:
        load(path)
    found = refusal.value.problems
    assert str(refusal.value) == "\n".join(found)
    assert all(problem.startswith(str(path)) and problem.isprintable() for problem in found)
    return [problem.removeprefix(str(path)).removeprefix(":").removeprefix(" ") for problem in found]


def test_an_empty_file_is_a_configuration(folder: Path) -> None:
    path = write(folder, "")
    config = load(path)
    assert config.source == path
    assert config.server.listen is None
    assert config.server.addresses == DEFAULT_LISTEN
    assert config.server.certs == folder / "certs"
    assert config.capsules == (Capsule(content=folder / "content"),)
    assert config.capsules[0].hosts == ("localhost",)
    assert config.limits == Limits()
    assert config.log == Log()
    assert sorted(path.name for path in folder.iterdir()) == ["content", "pad19.toml"]  # nothing was created


def test_every_key_is_read(folder: Path) -> None:
    (folder / "second").mkdir()
    path = write(
        folder,
        """
[server]
listen = ["[::1]:1965", "127.0.0.1:0", "unix:run/pad19.sock"]
certs = "/var/lib/certs"
workers = 1
check_port = false
[limits]
connections = 10
per_address = 3
handshake_s = 1
request_s = 2.5
stall_s = 3
grace_s = 0
[log]
access = "log/access.log"
format = "json"
addresses = "off"
[[capsule]]
hosts = ["Example.ORG.", "*.example.org", "café.example", "192.0.2.1", "2001:DB8::1"]
content = "./content"
lang = "en,de-CH"
charset = "iso-8859-1"
index = []
listing = true
hidden = true
mimetypes = { ".foo" = "text/x-foo; charset=utf-8", ".tar.gz" = "application/gzip" }
certificate = "fullchain.pem"
key = "privkey.pem"
[[capsule]]
hosts = ["localhost"]
content = "second"
""",
    )
    config = load(path)
    assert config.server.listen == (
        Listen(host="::1", port=1965),
        Listen(host="127.0.0.1", port=0),
        Listen(path=folder / "run/pad19.sock"),
    )
    assert config.server.certs == Path("/var/lib/certs")
    assert (config.server.workers, config.server.check_port) == (1, False)
    assert config.limits == Limits(
        connections=10, per_address=3, handshake_s=1.0, request_s=2.5, stall_s=3.0, grace_s=0.0
    )
    assert config.log == Log(access=str(folder / "log/access.log"), format="json", addresses="off")
    assert config.capsules[0] == Capsule(
        hosts=("example.org", "*.example.org", "xn--caf-dma.example", "192.0.2.1", "[2001:db8::1]"),
        content=folder / "content",
        lang="en,de-CH",
        charset="iso-8859-1",
        index=(),
        listing=True,
        hidden=True,
        mimetypes={".foo": "text/x-foo; charset=utf-8", ".tar.gz": "application/gzip"},
        certificate=folder / "fullchain.pem",
        key=folder / "privkey.pem",
    )
    assert config.capsules[1].content == folder / "second"
    restored: Config = pickle.loads(pickle.dumps(config))  # noqa: S301 - on its way to a worker
    assert restored == config


def test_a_relative_path_to_the_file_gives_absolute_paths(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "")
    monkeypatch.chdir(folder)
    config = load(Path("pad19.toml"))
    assert config.source == folder / "pad19.toml"
    assert config.capsules[0].content == folder / "content"
    assert config.server.certs == folder / "certs"


SINGLE = [  # text, the one problem
    (
        "[limits]\nhandshake_s = -1",
        "limits.handshake_s is -1, but must be more than 0 seconds (and at most a day): "
        "write for example handshake_s = 10",
    ),
    ("[limits]\nhandshake_s = 0", "limits.handshake_s is 0, but must be more than 0"),
    ("[limits]\nstall_s = inf", "limits.stall_s is inf, but"),
    ("[limits]\nrequest_s = nan", "limits.request_s is nan, but"),
    ("[limits]\nrequest_s = '10'", 'limits.request_s is "10", but'),
    ("[limits]\nrequest_s = 1" + "0" * 400, "limits.request_s is 0x"),
    ("[limits]\ngrace_s = -0.1", "limits.grace_s is -0.1, but must be 0 seconds or more"),
    ("[limits]\nconnections = true", "limits.connections is true, but must be a whole number"),
    ("[limits]\nconnections = 1.5", "limits.connections is 1.5, but"),
    ("[limits]\nconnections = 0x1" + "0" * 4500, "limits.connections is 0x1000"),
    ("[limits]\nper_address = 0", "limits.per_address is 0, but"),
    (
        "[server]\nworkers = -1",
        "server.workers is -1, but must be 1, since",
    ),
    ("[server]\nworkers = 1_000_000", "server.workers is 1000000, but"),
    (
        "[server]\nworkers = 2",
        "server.workers is 2, but must be 1, since more workers are not possible yet",
    ),
    ("[server]\nworkers = 0", "server.workers is 0, but must be 1, since more workers are not possible yet"),
    ("[server]\ncheck_port = 0", "server.check_port is 0, but must be true or false"),
    ("[server]\ncerts = ''", 'server.certs is "", but must be a path'),
    ('[server]\ncerts = "a\\u0000b"', 'server.certs is "a\\u0000b", but must be a path'),
    ("[server]\ncerts.a.b.c.d = 1", "server.certs is { a = { b = ... } }, but must be a path"),
    ("[server]\ncerts" + ".a" * 2000 + " = 1", "server.certs is { a = { a = ... } }"),
    ("[server]\nlisten = []", "server.listen is [], but must be a list of addresses"),
    ("[server]\nlisten = ':1965'", 'server.listen is ":1965", but must be a list of addresses'),
    ("[server]\nlisten = [1965]", "server.listen[1] is 1965, but must be an address and a port"),
    ("[server]\nlisten = [':1', 'a.org:1']", 'server.listen[2] is "a.org:1", but must have an IP'),
    ("[server]\nlisten = [':65536']", 'server.listen[1] is ":65536", but must have a port from 0 to 65535'),
    ("[server]\nlisten = [':1', '0.0.0.0:1']", "server.listen[2] is 0.0.0.0:1, which is listened on"),
    ("[server]\nlisten = ['unix:a', 'unix:a']", "server.listen[2] is unix:"),
    ("[log]\nformat = 'apache'", 'log.format is "apache", but must be "common", "combined" or "json"'),
    ("[log]\naddresses = true", 'log.addresses is true, but must be "full", "truncated" or "off"'),
    ("[log]\naccess = ''", 'log.access is "", but must be "-", a path or "off"'),
    ("[log]\naccess = 'content/log'", "log.access is "),
    ("[[capsule]]\nhosts = []", "capsule[1].hosts is [], but must be a list of hosts"),
    ("[[capsule]]\nhosts = 'a.org'", 'capsule[1].hosts is "a.org", but must be a list of hosts'),
    ("[[capsule]]\nhosts = ['a b']", 'capsule[1].hosts[1] is "a b", but must be a host name or'),
    ("[[capsule]]\nhosts = [1]", "capsule[1].hosts[1] is 1, but must be a host name or"),
    ("[[capsule]]\nhosts = ['a.org', 'A.ORG.']", "capsule[1].hosts[2] is a.org, which is a host of"),
    ("[[capsule]]\n[[capsule]]", "capsule[2].hosts[1] is localhost, which is a host of capsule[1] already"),
    ("[[capsule]]\ncontent = 'none'", "capsule[1].content is "),
    ("[[capsule]]\ncontent = 'pad19.toml'", "capsule[1].content is "),
    ("[[capsule]]\ncontent = 'pad19.toml/x'", "capsule[1].content is "),
    ('[[capsule]]\ncontent = "a\\u001b[31m"', "capsule[1].content is "),
    ("[[capsule]]\nlang = 'english!'", 'capsule[1].lang is "english!", but must be language tags'),
    ("[[capsule]]\nlang = 'en, fr'", "capsule[1].lang is"),
    ('[[capsule]]\nlang = "en\\n"', 'capsule[1].lang is "en\\n", but'),
    ("[[capsule]]\nlang = ''", 'capsule[1].lang is "", but'),
    ("[[capsule]]\ncharset = 'a;b'", 'capsule[1].charset is "a;b", but must be the name of a charset'),
    ('[[capsule]]\ncharset = "utf-8\\n"', "capsule[1].charset is"),
    ("[[capsule]]\nindex = ['a/b']", 'capsule[1].index[1] is "a/b", but must be the name of a file'),
    ("[[capsule]]\nindex = ['']", 'capsule[1].index[1] is "", but'),
    ("[[capsule]]\nindex = ['..']", 'capsule[1].index[1] is "..", but'),
    ("[[capsule]]\nmimetypes = 1", "capsule[1].mimetypes is 1, but must be a table"),
    ("[[capsule]]\nmimetypes = {foo = 'text/a'}", 'capsule[1].mimetypes.foo is "foo", but must be a file'),
    (
        "[[capsule]]\nmimetypes = {'.foo' = 'text'}",
        'capsule[1].mimetypes.".foo" is "text", but must be a MIME',
    ),
    ("[[capsule]]\nmimetypes = {'.foo' = \"text/a\\r\\n\"}", 'capsule[1].mimetypes.".foo" is'),
    ("[[capsule]]\ncertificate = 'a'", "capsule[1].key is missing beside capsule[1].certificate"),
    ("[[capsule]]\nkey = 'a'", "capsule[1].certificate is missing beside capsule[1].key"),
    ("[[capsule]]\ncertificate = 1\nkey = 'a'", "capsule[1].certificate is 1, but"),
    ("[[capsule]]\ncertificate='a'\nkey = 'content/a'", "capsule[1].key is "),
    ("[server]\ncerts = 'content/certs'", "server.certs is "),
    ("[server]\ncerts = 'content'", "server.certs is "),
    ("[server]\ncerts = 'x/../content/certs'", "server.certs is "),
    ("[limit]", "limit is no key: did you mean limits?"),
    ("[limits]\nhandshake = 1", "limits.handshake is no key: did you mean handshake_s?"),
    ("[limits]\nqqq = 1", "limits.qqq is no key: remove it, or use one of connections, per_address"),
    ('"a\\nb" = 1', '"a\\nb" is no key: remove it'),
    ("source = 'x'", "source is no key"),
    ("capsules = []", "capsules is no key: did you mean capsule?"),
    ("server = 1", "server is 1, but must be a table: write [server]"),
    ("capsule = []", "capsule is [], but must be a [[capsule]] section or several"),
    ("capsule = [1]", "capsule[1] is 1, but must be a table: write [[capsule]]"),
    ("[capsule]\nhosts = ['a']", 'capsule is { hosts = ["a"] }, but must be a [[capsule]] section'),
    ("a = ", "line 1, column 5 is not TOML (invalid value): mend that line"),
    ("a = 1\na = 2", "line 2, column 6 is not TOML (cannot overwrite a value): mend that line"),
    ("a = 1\n\nb = [1", "line 3, column 7 is not TOML"),
    ("a = 1" + "0" * 5000, "a number is too long"),
    ("a = " + "[" * 5000, "is nested too deeply"),
    (b"a = 1\nb = '\xff'", "line 2 is not UTF-8"),
    (b"#" * (MAX_FILE + 1), f"is larger than {MAX_FILE} bytes"),
]


@pytest.mark.parametrize(("text", "problem"), SINGLE)
def test_one_mistake_is_one_problem(folder: Path, text: str | bytes, problem: str) -> None:
    found = problems(folder, text)
    assert len(found) == 1, found
    assert found[0].startswith(problem)


KINDS: tuple[type[Struct], ...] = (Server, Limits, Log, Capsule)
KEYS = [
    (section.encode_name, info.encode_name)
    for section, kind in zip(fields(Sections), KINDS, strict=True)
    for info in fields(kind)
]


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_key_says_what_it_must_be(folder: Path, section: str, key: str) -> None:
    heading, place = ("[[capsule]]", "capsule[1]") if section == "capsule" else (f"[{section}]", section)
    (problem,) = problems(folder, f"{heading}\n{key} = 1979-05-27")  # a date is right nowhere
    assert problem.startswith(f"{place}.{key} is 1979-05-27, but must be ")
    example = problem.rpartition(": write for example ")[2]
    assert example.startswith(f"{key} = ")
    text = f"{heading}\n{example}"
    if key in {"certificate", "key"}:
        text += '\ncertificate = "a"' if key == "key" else '\nkey = "a"'
    load(write(folder, text))  # and the example is right


def test_all_mistakes_are_reported_together(folder: Path) -> None:
    found = problems(
        folder,
        "[server]\nlisten = [':x', 'y']\nchek_port = 1\n[limits]\nstall_s = 0\n"
        "[[capsule]]\nhosts = ['a.org', 'b c']\ncontent = 'no'\n[[capsule]]\nhosts = ['a b', 'x', 'x']\n"
        "[[capsule]]\nhosts = ['c.org']\n[[capsule]]\nhosts = ['b.org', 'c.org']",
    )
    assert [problem.split(" ")[0] for problem in found] == [
        "server.chek_port",
        "server.listen[1]",
        "server.listen[2]",
        "limits.stall_s",
        "capsule[1].hosts[2]",
        "capsule[2].hosts[1]",
        "capsule[4].hosts[2]",
        "capsule[1].content",
    ]


def test_a_folder_of_certificates_behind_a_link_is_not_served(folder: Path) -> None:
    (folder / "certs").symlink_to(folder / "content")
    assert "would publish private keys" in problems(folder, "")[0]


def test_a_byte_order_mark_is_no_mistake(folder: Path) -> None:
    assert load(write(folder, b"\xef\xbb\xbf[limits]\nconnections = 3\n")).limits.connections == 3


UNREADABLE = ["missing", "folder", "fifo", "loop", "a\0b", "folder/x/y", "x" * 300]


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_one_problem(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError) as refusal:
        load(tmp_path / name)
    (problem,) = refusal.value.problems
    assert "name a" in problem
    assert problem.isprintable()


def test_a_folder_without_a_file_is_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    config = for_folder(tmp_path)
    assert config == Config(
        server=config.server, capsules=(Capsule(content=tmp_path, hosts=("localhost",)),), source=None
    )
    assert config.server.certs == Path("/home/ada/.local/share/pad19/certs")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert for_folder(tmp_path).server.certs == Path("/data/pad19/certs")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # to be ignored, says its specification
    assert for_folder(tmp_path).server.certs == Path("/home/ada/.local/share/pad19/certs")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"^--certs is .* would publish private keys"):
        for_folder(tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["missing", "file"])
def test_what_is_no_folder_is_a_mistake_in_the_argument(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^DIR is "):
        for_folder(tmp_path / name)


def test_flags_replace_what_the_file_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        folder, "[server]\nworkers = 2\nlisten = ['broken']\n[[capsule]]\nhosts = ['a.org']\nlang = 'en'"
    )
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    config = resolve(
        folder, listen=["[::1]:0", "unix:x"], hosts=["Localhost", "b.org"], certs=Path("certs"), workers=1
    )
    assert config.source == path
    assert config.server.listen == (
        Listen(host="::1", port=0),
        Listen(path=folder / "elsewhere/x"),  # relative to where the command was given
    )
    assert config.server.certs == folder / "elsewhere/certs"
    assert config.server.workers == 1
    assert config.capsules[0].hosts == ("localhost", "b.org")
    assert config.capsules[0].lang == "en"


def test_flags_work_without_a_file(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.mkdir()
    config = resolve(content, hosts=["a.org"], certs=tmp_path / "certs", listen=[":0"])
    assert config.capsules == (Capsule(hosts=("a.org",), content=content),)
    assert config.server.certs == tmp_path / "certs"
    assert config.source is None


def test_a_named_file_is_read_instead(folder: Path, tmp_path: Path) -> None:
    path = folder / "other.toml"
    path.write_text("[limits]\nconnections = 7\n")
    write(folder, "broken")
    assert resolve(folder, config=path).limits.connections == 7
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve(folder, config=folder / "missing.toml")


def test_mistakes_in_flags_are_called_after_them(folder: Path) -> None:
    write(folder, "")
    with pytest.raises(ConfigError) as refusal:
        resolve(
            folder,
            listen=["unix:", "a.org:1", ":1", "[::]:1"],
            hosts=["a b", "\udce9"],
            certs=folder / "content",
            workers=-1,
        )
    assert [problem.split(" but")[0] for problem in refusal.value.problems] == [
        '--listen is "unix:",',
        '--listen is "a.org:1",',
        "--workers is -1,",
        '--host is "a b",',
        '--host is "\\udce9",',
        f"--certs is {folder}/content, inside of the content folder {folder}/content, "
        "which would publish private keys: move it out",
    ]
    with pytest.raises(ConfigError, match=r"^--listen is \[::\]:1, which is listened on already"):
        resolve(folder, listen=[":1", "[::]:1"])
    with pytest.raises(ConfigError, match=r"^--host is a\.org, which is a host of"):
        resolve(folder, hosts=["a.org", "a.org"])


OVERRIDDEN = ["[[capsule]]\n[[capsule]]\nhosts = ['a']", "capsule = []"]


@pytest.mark.parametrize("text", OVERRIDDEN)
def test_hosts_by_flag_need_one_capsule(folder: Path, text: str) -> None:
    write(folder, text)
    with pytest.raises(ConfigError, match=r"^--host needs one capsule"):
        resolve(folder, hosts=["b"])


@pytest.mark.parametrize("text", ["server = 1", "capsule = 1", "capsule = [1]"])
def test_flags_do_not_hide_mistakes_of_the_file(folder: Path, text: str) -> None:
    write(folder, text)
    with pytest.raises(ConfigError, match="but must be a "):
        resolve(folder, hosts=["b"], workers=1)


def test_an_unreadable_pad19_toml_is_not_taken_for_a_missing_one(folder: Path) -> None:
    (folder / "pad19.toml").symlink_to("nowhere")
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve(folder)


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match="working directory"):
        resolve(Path())


def test_an_empty_folder_of_certificates(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--certs is empty"):
        resolve(tmp_path, certs=Path())
