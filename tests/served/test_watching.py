"""Reloading by watching: files that are changed, renewed, missing, and the wish to be left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.capsule_folder import (
    NOT_FOUND,
    NOT_RELOADED,
    NOT_SERVED,
    RELOADED,
    configure,
    page,
    problems_since,
    received,
    reload,
    write_page,
    write_pair,
)
from support.files import write
from support.process import fingerprint, serving
from support.tls import self_signed
from support.waiting import kill_worker, wait_for_end, wait_until

pytestmark = pytest.mark.machine

OBSERVED = 1.0  # seconds in which what must not happen would have happened


def test_a_changed_file_is_read(folder: Path) -> None:
    configure(folder, watch=True)
    with serving(folder, home=folder) as server:
        first = server.workers
        configure(folder, lang="de", watch=True)
        server.wait_for_err(RELOADED)
        assert received(server.address) == page("de")
        (folder / "content/index.gmi").write_text("# Pad 19, again\n")
        (folder / "pad19.toml~").touch()
        assert received(server.address).endswith(b"again\n")  # without a reload
        before = len(server.err)
        (folder / "pad19.toml").write_text("a = ")
        server.wait_for_err(NOT_RELOADED)
        assert len(problems_since(server, before)) == 1
        configure(folder, lang="fr", watch=True)
        server.wait_for_err(RELOADED, 2)
        assert received(server.address) == b"20 text/gemini; lang=fr\r\n# Pad 19, again\n"
        wait_for_end(first)
        assert server.stop() == 0
        assert server.err.count(RELOADED) == 2
        assert server.err.count(NOT_RELOADED) == 1


def test_included_files_are_watched(folder: Path) -> None:
    sites = folder / "sites"
    sites.mkdir()
    capsule = "[[capsule]]\nhosts = ['{}']\ncontent = '../content'\nlang = '{}'".format
    (sites / "a.toml").write_text(capsule("a.example", "de"))
    configure(folder, watch=True, lang="en")
    path = folder / "pad19.toml"
    path.write_text(f"include = 'sites/*.toml'\n{path.read_text()}")
    with serving(folder, home=folder) as server:
        (sites / "a.toml").write_text(capsule("a.example", "fr"))
        server.wait_for_err(RELOADED)
        assert received(server.address, host="a.example") == page("fr")
        (sites / "b.toml").write_text(capsule("b.example", "it"))
        server.wait_for_err(RELOADED, 2)
        assert received(server.address, host="b.example") == page("it")
        (sites / "c.toml").write_text("a = ")
        server.wait_for_err(NOT_RELOADED)
        (sites / "c.toml").write_text(capsule("c.example", "es"))
        server.wait_for_err(RELOADED, 3)
        assert received(server.address, host="c.example") == page("es")
        (sites / "a.toml").unlink()
        server.wait_for_err(RELOADED, 4)
        assert received(server.address, host="a.example") == NOT_SERVED
        assert server.stop() == 0
        assert (server.err.count(RELOADED), server.err.count(NOT_RELOADED)) == (4, 1)


# Certificates


class Certbot:
    """Keeps certificates as certbot does: numbered ones in archive/, and links to the last ones in live/."""

    def __init__(self, folder: Path) -> None:
        self._live, self._archive = folder / "live", folder / "archive"
        for path in (self._live, self._archive):
            path.mkdir()
        self._number = 0
        self.pair = self_signed()
        self.renew("fullchain", "privkey")

    def renew(self, *names: str) -> None:
        self._number += 1
        self.pair = self_signed(padding=self._number)
        texts = {"fullchain": self.pair.certificate_pem, "privkey": self.pair.key_pem}
        for name, text in texts.items():
            (self._archive / f"{name}{self._number}.pem").write_bytes(text)
        for name in names:
            self.link(name)

    def link(self, name: str) -> None:
        link = self._live / f"{name}.pem"
        link.unlink(missing_ok=True)
        link.symlink_to(f"../archive/{name}{self._number}.pem")


CERTBOT = "certificate = 'live/fullchain.pem'\nkey = 'live/privkey.pem'"


def test_renewed_certificates_are_shown(folder: Path) -> None:
    certbot = Certbot(folder)
    configure(folder, watch=True, capsule=CERTBOT)
    with serving(folder, home=folder) as server:
        for number in (1, 2, 3):
            wait_until(lambda: fingerprint(server.address), certbot.pair.fingerprint)
            certbot.renew("privkey", "fullchain")
            server.wait_for_err(RELOADED, number)
        wait_until(lambda: fingerprint(server.address), certbot.pair.fingerprint)
        assert server.stop() == 0


@pytest.mark.parametrize("names", [("privkey", "fullchain"), ("fullchain", "privkey")])
def test_certificates_that_are_renewed_slowly(folder: Path, names: tuple[str, str]) -> None:
    certbot = Certbot(folder)
    configure(folder, watch=True, capsule=CERTBOT)
    with serving(folder, home=folder) as server:
        old = certbot.pair
        certbot.renew(names[0])
        server.wait_for_err(NOT_RELOADED)
        assert "is not the key of" in server.err
        assert fingerprint(server.address) == old.fingerprint
        certbot.link(names[1])
        server.wait_for_err(RELOADED)
        wait_until(lambda: fingerprint(server.address), certbot.pair.fingerprint)
        assert server.err.count(NOT_RELOADED) == 1


def test_a_key_that_is_mended_is_tried_again(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    configure(folder, watch=True)
    with serving(folder, home=folder) as server:
        write_pair(folder / "elsewhere", self_signed())
        (folder / "elsewhere/a.key").write_text("")
        configure(folder, watch=True, capsule="certificate = 'elsewhere/a.crt'\nkey = 'elsewhere/a.key'")
        server.wait_for_err(NOT_RELOADED)
        write_pair(folder / "elsewhere", self_signed())
        server.wait_for_err(RELOADED)
        wait_until(lambda: fingerprint(server.address), self_signed().fingerprint)


# Missing files, and no watching


def test_a_missing_file_is_not_another_configuration(folder: Path) -> None:
    """Without it, all of the folder would be content: code, keys, whatever lies there."""
    configure(folder, watch=True)
    with serving(folder, home=folder) as server:
        (folder / "pad19.toml").rename(folder / "elsewhere")
        server.wait_for_err(NOT_RELOADED)
        assert f"pad19: {folder}/pad19.toml is missing: put it back\n" in server.err
        assert received(server.address) == page()
        assert received(server.address, "/content/index.gmi").startswith(b"51 ")
        configure(folder, lang="de", watch=True)
        server.wait_for_err(RELOADED)
        assert received(server.address) == page("de")
        assert server.err.count(NOT_RELOADED) == 1


def test_certificates_that_are_missing_for_a_while_are_not_made_anew(folder: Path) -> None:
    """Their folder is being restored, or is not mounted. Visitors would be warned of another key."""
    configure(folder, watch=True)
    with serving(folder, home=folder) as server:
        shown = fingerprint(server.address)
        (folder / "certs").rename(folder / "elsewhere")
        server.wait_for_err(NOT_RELOADED)
        assert f"pad19: {folder}/certs/localhost.crt and localhost.key are missing: put them" in server.err
        assert fingerprint(server.address) == shown
        kill_worker(server)
        assert fingerprint(server.address) == shown
        (folder / "elsewhere").rename(folder / "certs")
        server.wait_for_err(RELOADED)
        assert fingerprint(server.address) == shown
        configure(folder, watch=True, capsule="hosts = ['a.example']")  # the other one may go
        server.wait_for_err(RELOADED, 2)
        (folder / "certs/localhost.crt").unlink()
        (folder / "certs/localhost.key").unlink()
        reload(server)
        assert server.err.count(NOT_RELOADED) == 1


def test_files_that_are_empty_for_a_while_are_no_other_configuration(folder: Path) -> None:
    """As ``sops --decrypt secret.toml > pad19.toml`` leaves them: for seconds, or for ever if it fails."""
    write(folder, {"sites/a.toml": "[[capsule]]\nhosts = ['a.example']\ncontent = '../content'\n"})
    capsule = "hosts = ['localhost']"
    configure(folder, watch=True, capsule=capsule)
    text = f"include = 'sites/*.toml'\n{(folder / 'pad19.toml').read_text()}"
    write(folder, {"pad19.toml": text})
    with serving(folder, home=folder) as server:
        shown = fingerprint(server.address, "a.example")
        for count, name in enumerate(("pad19.toml", "sites/a.toml"), 1):
            before = (folder / name).read_text()
            (folder / name).write_text("")
            server.wait_for_err(NOT_RELOADED, count)
            assert f"pad19: {folder}/{name} has become empty: put back" in server.err
            assert received(server.address) == page()
            assert fingerprint(server.address, "a.example") == shown
            (folder / name).write_text(before)
            server.wait_for_err(RELOADED, count)
        (folder / "sites/a.toml").unlink()
        server.wait_for_err(RELOADED, 3)
        assert server.err.count(NOT_RELOADED) == 2


def test_what_was_missing_and_comes_is_noticed(folder: Path) -> None:
    configure(folder, watch=True)
    with serving(folder, home=folder) as server:
        configure(folder, watch=True, capsule="[[capsule.zone]]\npath = '/'\nallow = 'file:members.txt'")
        server.wait_for_err(NOT_RELOADED)
        assert received(server.address) == page()
        (folder / "members.txt").touch()  # nobody watches a file that no configuration has named so far
        server.wait_for_err(RELOADED)
        assert received(server.address).startswith(b"60 ")
        assert server.err.count(NOT_RELOADED) == 1


def test_a_configuration_for_a_folder_without_one_is_noticed_and_not_published(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    write_page(pages)
    with serving(pages, "--listen", "127.0.0.1:0", home=tmp_path) as server:
        assert received(server.address) == page()
        write(pages, {"pad19.toml": "[[capsule]]\nlissten = 1\n[capsule.titan]\ntoken = 'secret'\n"})
        server.wait_for_err(NOT_RELOADED)
        assert received(server.address, "/pad19.toml") == NOT_FOUND
        write_page(pages / "content", "# Inside\n")
        write(pages, {"pad19.toml": "[[capsule]]\ncontent = 'content'\n"})
        server.wait_for_err(RELOADED)
        assert received(server.address).endswith(b"# Inside\n")
        assert received(server.address, "/pad19.toml") == NOT_FOUND


def test_who_does_not_want_it_is_not_reloaded(folder: Path) -> None:
    configure(folder, watch=False)
    with serving(folder, home=folder) as server:
        configure(folder, lang="de", watch=True)
        with pytest.raises(AssertionError, match="is missing in"):
            server.wait_for_err("reloaded", patience=OBSERVED)
        assert received(server.address) == page()
        reload(server)
        configure(folder, lang="fr", watch=False)
        server.wait_for_err(RELOADED, 2)
        configure(folder, lang="it", watch=False)
        with pytest.raises(AssertionError, match="is missing in"):
            server.wait_for_err(RELOADED, 3, patience=OBSERVED)
        assert received(server.address) == page("fr")
