from datetime import UTC, datetime, timedelta

import pytest

from pad19.protocol.client import Client, Identity

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def identity(*subject: tuple[str, str], defect: str | None = None) -> Identity:
    return Identity("sha256:" + "a" * 64, "sha256:" + "b" * 64, subject, (), 1, BEGIN, END, defect)


@pytest.mark.parametrize(
    ("now", "problem"),
    [
        (BEGIN - SECOND, "this certificate is not valid before 2024-01-01"),
        (BEGIN, None),
        (END, None),
    ],
)
def test_a_certificate_has_dates(now: datetime, problem: str | None) -> None:
    assert identity().problem(now) == problem


def test_a_certificate_expires() -> None:
    old = Identity("", "", (), (), 1, BEGIN, BEGIN + SECOND)
    assert old.problem(BEGIN + SECOND) is None
    assert old.problem(BEGIN + 2 * SECOND) == "this certificate expired on 2024-01-01"


def test_a_defect_comes_before_the_dates() -> None:
    assert identity(defect="the key is weak").problem(BEGIN - SECOND) == "the key is weak"


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ([], None),
        ([("O", "Pad 19")], None),
        ([("CN", "")], ""),
        ([("O", "Pad 19"), ("CN", "Ada"), ("CN", "Bob")], "Ada"),
    ],
)
def test_common_name_is_the_first(subject: list[tuple[str, str]], name: str | None) -> None:
    assert identity(*subject).common_name == name


def test_fingerprint_is_the_certificates() -> None:
    assert Client().fingerprint is None
    assert Client(certificate=identity()).fingerprint == "sha256:" + "a" * 64
