"""Where a configuration comes from: folders, files and flags."""

import os
from pathlib import Path

import pytest

from pad19.service.config.capsule import Capsule
from pad19.service.config.listen import Listen
from pad19.service.config.load import load, resolve
from pad19.service.config.model import Config, ConfigError
from support.configuration import write


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
    config = resolve(tmp_path)
    assert config == Config(
        server=config.server, capsules=(Capsule(content=tmp_path, hosts=("localhost",)),), source=None
    )
    assert config.server.certs == Path("/home/ada/.local/share/pad19/certs")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert resolve(tmp_path).server.certs == Path("/data/pad19/certs")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # to be ignored, says its specification
    assert resolve(tmp_path).server.certs == Path("/home/ada/.local/share/pad19/certs")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"^--certs is .* would publish private keys"):
        resolve(tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["missing", "file"])
def test_what_is_no_folder_is_a_mistake_in_the_argument(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^DIR is ") as refusal:
        resolve(tmp_path / name)
    assert ("or give it with --config" in str(refusal.value)) == (name == "file")


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


def test_own_certificates_below_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with pytest.raises(ConfigError) as refusal:
        resolve(tmp_path)
    assert refusal.value.problems == (
        f"--certs is not given, and your own folder of certificates is {tmp_path}/data/pad19/certs, inside "
        f"of the content folder {tmp_path}, which would publish private keys: name one elsewhere",
    )


def test_a_named_file_is_read_instead(folder: Path, tmp_path: Path) -> None:
    path = folder / "other.toml"
    path.write_text("[limits]\nconnections = 7\n")
    write(folder, "broken")
    assert resolve(folder, config=path).limits.connections == 7
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve(folder, config=folder / "missing.toml")
    with pytest.raises(ConfigError, match=r" is a folder: name a file, such as pad19\.toml in it$"):
        resolve(folder, config=folder)


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
    assert refusal.value.problems[1].endswith(": write for example --listen localhost:1966")
    assert [problem.split(" but")[0] for problem in refusal.value.problems] == [
        '--listen is "unix:",',
        '--listen is "a.org:1",',
        "--workers is -1,",
        '--host is "a b",',
        '--host is "\\udce9",',
        f"--certs is {folder}/content, inside of the content folder {folder}/content, "
        "which would publish private keys: name one elsewhere",
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
    with pytest.raises(ConfigError, match="working directory"):
        resolve(tmp_path, certs=Path("certs"))
    with pytest.raises(ConfigError, match="working directory"):
        resolve(tmp_path, listen=("unix:a.sock",))


def test_a_working_directory_that_is_gone_and_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "content").mkdir()
    (tmp_path / "pad19.toml").write_text("[server]\nlisten = ['unix:a.sock']\n")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    listen = f"unix:{tmp_path}/b.sock"
    config = resolve(tmp_path, listen=(listen, "localhost:1965"), certs=tmp_path / "certs")
    assert config.server.certs == tmp_path / "certs"
    assert resolve(Path("elsewhere"), config=tmp_path / "pad19.toml").source == tmp_path / "pad19.toml"


def test_an_empty_folder_of_certificates(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--certs is empty"):
        resolve(tmp_path, certs=Path())


def test_flags_are_taken_as_they_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAD19_HOST", "a.org")
    odd = folder / "${PAD19_HOST}"
    odd.mkdir()
    assert resolve(odd).capsules[0].content == odd  # a shell has expanded what it should
    assert resolve(odd, certs=folder / "${").server.certs == folder / "${"
    with pytest.raises(ConfigError, match=r'^--host is "\$\{PAD19_HOST\}", but must be a host name'):
        resolve(odd, hosts=["${PAD19_HOST}"])
