from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pad19.tls import rehearsal
from pad19.tls.making import make, make_client
from pad19.tls.rehearsal import objection

HOST = "capsule.example"


def test_there_is_none_to_what_we_make(tmp_path: Path) -> None:
    credentials = make(HOST, tmp_path)
    assert objection(credentials) is None
    long = replace(credentials, chain=(credentials.certificate,) * 100)  # more than one record
    assert objection(long) is None


def test_another_key(tmp_path: Path) -> None:
    credentials = replace(make(HOST, tmp_path), private_key=ec.generate_private_key(ec.SECP256R1()))
    assert objection(credentials) == "key values mismatch"


@pytest.mark.parametrize("flights", [0, 1])
def test_it_comes_to_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flights: int) -> None:
    monkeypatch.setattr(rehearsal, "FLIGHTS", flights)
    assert objection(make_client("Ada", tmp_path / "c", tmp_path / "k")) == "it does not come to an end"
