"""Letting people in by a file; how the command line does it is tested in tests/cli/test_identity.py."""

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import pad19.people
from pad19.dispatch.zones import people
from pad19.dispatch.zones.lists import FingerprintFile
from pad19.dispatch.zones.people import KnownOtherwise, let_in
from pad19.testing import identity

ADA, BOB = identity("Ada"), identity("Bob")


def test_somebody_is_let_in(tmp_path: Path) -> None:
    file = tmp_path / "members.txt"
    file.write_text("# The reading circle\nnonsense")
    listed = FingerprintFile(file)
    assert listed.has(ADA) is False
    assert let_in(file, "Ada L.", ADA.fingerprint) is True
    assert let_in(str(file), "Ada L.", ADA.fingerprint.upper().replace("SHA256:", "")) is False
    assert let_in(file, "Ada L.", ADA.key_fingerprint) is True
    assert listed.has(ADA) is True
    assert file.read_text() == (
        f"# The reading circle\nnonsense\n{ADA.fingerprint} Ada L.\n{ADA.key_fingerprint} Ada L.\n"
    )


def test_a_file_that_is_missing_is_made(tmp_path: Path) -> None:
    assert let_in(tmp_path / "members.txt", "Ada", ADA.fingerprint)
    assert FingerprintFile(tmp_path / "members.txt").has(ADA)
    assert [path.name for path in tmp_path.iterdir()] == ["members.txt"]


REFUSED = [  # name, fingerprint, what is said
    ("", ADA.fingerprint, "a name has 1 to 63 characters, without colons and #"),
    ("a#b", ADA.fingerprint, "a name has 1 to 63 characters"),
    ("a\nsha256:0", ADA.fingerprint, "a name has 1 to 63 characters"),
    ("Ada", "sha256:12", "must be a fingerprint, sha256: and 64 hex digits"),
    ("Ada", f"{ADA.fingerprint}\n", "must be a fingerprint"),
    ("Ada", BOB.fingerprint, "that fingerprint is there already, as Bob"),
]


@pytest.mark.parametrize(("name", "fingerprint", "sentence"), REFUSED)
def test_what_is_refused(name: str, fingerprint: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "members.txt"
    file.write_text(before := f"{BOB.fingerprint} Bob\n")
    with pytest.raises(ValueError, match=f"^{sentence}"):
        let_in(file, name, fingerprint)
    assert file.read_text() == before


def test_a_line_without_a_name_is_somebody(tmp_path: Path) -> None:
    (tmp_path / "members.txt").write_text(f"{BOB.fingerprint}\n")
    with pytest.raises(KnownOtherwise, match="already, without a name"):
        let_in(tmp_path / "members.txt", "Bob", BOB.fingerprint)


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        let_in(tmp_path / "none/members.txt", "Ada", ADA.fingerprint)


def test_nobody_is_lost_when_many_come_at_once(tmp_path: Path) -> None:
    people = [identity(f"{number}") for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        added = pool.map(
            lambda one: let_in(tmp_path / "members.txt", one.common_name or "", one.fingerprint), people
        )
        assert all(added)
    listed = FingerprintFile(tmp_path / "members.txt")
    assert all(listed.has(one) for one in people)
    assert [path.name for path in tmp_path.iterdir()] == ["members.txt"]


def test_who_keeps_the_folder_locked_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can who may look into it; a route's thread would never come back."""
    monkeypatch.setattr(people, "LOCK_TIMEOUT", 0.05)
    path = tmp_path / "members.txt"
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(let_in, path, "Ada", ADA.fingerprint)
            try:
                assert coming.result(timeout=10)
            finally:
                fcntl.flock(folder, fcntl.LOCK_UN)
    finally:
        os.close(folder)
    assert path.read_text().endswith(f"{ADA.fingerprint} Ada\n")


def test_routes_have_it() -> None:
    assert pad19.people.let_in is let_in
