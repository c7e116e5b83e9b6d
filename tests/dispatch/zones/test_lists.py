"""Files of fingerprints and of authorities."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from pad19.dispatch.zones import reread
from pad19.dispatch.zones.lists import AuthorityFile, FingerprintFile
from pad19.tls.identity import identify, identify_pem
from support.disk import TomorrowsClock
from support.tls import self_signed
from support.zones import ADA, BOB, END, EVE, write


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are kept from the first look on, as old ones are."""
    monkeypatch.setattr(reread, "time", TomorrowsClock)


def test_a_file_counts_as_it_is_now(tmp_path: Path, settled: None) -> None:
    file = write(tmp_path / "members.txt", ADA, BOB)
    listed = FingerprintFile(file)
    assert [listed.has(one) for one in (ADA, BOB, EVE)] == [True, True, False]
    write(file, ADA)
    assert [listed.has(one) for one in (ADA, BOB, EVE)] == [True, False, False]
    write(file)
    assert listed.has(ADA) is False
    file.unlink()
    assert listed.has(ADA) is None
    write(file, EVE)
    assert [listed.has(one) for one in (ADA, EVE)] == [False, True]


def test_one_person_may_have_several(tmp_path: Path) -> None:
    new = f"{BOB.key_fingerprint} Ada # her new one, by its key\n".encode()
    listed = FingerprintFile(write(tmp_path / "members.txt", ADA, more=new))
    assert listed.has(ADA)
    assert listed.has(BOB)


def test_a_broken_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(tmp_path / "members.txt", ADA, more=b"# x\nsha256:12 Bob\n\xff\n")
    allowed, denied = FingerprintFile(file), FingerprintFile(file, is_complete=True)
    for _ in range(3):
        assert [allowed.has(one) for one in (ADA, BOB)] == [True, False]
        assert [denied.has(one) for one in (ADA, BOB)] == [True, None]  # it may have been meant for Bob
    what = "may mean anybody, so until it is mended all visitors with a certificate are answered with 40"
    assert [record.getMessage() for record in caplog.records] == [
        f"{file}: line {number} {meaning}: it {said}"
        for meaning in ("counts for nobody", what)
        for number, said in ((3, "must be a fingerprint, sha256: and 64 hex digits"), (4, "is not UTF-8"))
    ]
    write(file, ADA)
    assert denied.has(BOB) is False


# Authorities


def test_who_was_issued_by_an_authority(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    family = trustme.CA()
    family.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued = family.issue_cert("ada@example.org")
    now = [datetime.now(UTC)]
    listed = AuthorityFile(tmp_path / "ca.pem", lambda: now[0])
    ada = identify_pem(issued.cert_chain_pems[0].bytes())
    assert listed.has(ada) is True
    assert listed.has(identify(self_signed("Ada").certificate)) is False
    now[0] = END.replace(year=9000)
    for _ in range(3):
        assert listed.has(ada) is False
    [record] = caplog.records
    assert "lets nobody in by" in record.getMessage()
    assert "expired on" in record.getMessage()
    (tmp_path / "ca.pem").unlink()
    assert listed.has(ada) is None
