import pytest

from pad19.protocol import failure as failures
from pad19.protocol.failure import (
    CertificateFailure,
    Failure,
    NotFound,
    PermanentFailure,
    SlowDown,
    TemporaryFailure,
)
from pad19.protocol.response import header
from pad19.protocol.status import Status

BASES = {Failure, CertificateFailure}  # of no status of their own
CLASSES = [
    value
    for value in vars(failures).values()
    if isinstance(value, type) and issubclass(value, Failure) and value not in BASES
]


def test_every_failing_status_has_one_class() -> None:
    assert sorted(cls.status for cls in CLASSES) == [status for status in Status if status >= 40]


@pytest.mark.parametrize("cls", CLASSES)
def test_a_group_is_caught_by_its_base(cls: type[Failure]) -> None:
    base = {4: TemporaryFailure, 5: PermanentFailure, 6: CertificateFailure}[cls.status // 10]
    assert issubclass(cls, base)


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if cls is not SlowDown])
def test_an_errormsg_is_never_missing(cls: type[Failure]) -> None:
    assert str(cls("because")) == "because"
    assert header(cls.status, str(cls())) == header(cls.status, str(cls("")))
    assert header(cls.status, str(cls())) == f"{cls.status:d} {cls.status.phrase}\r\n".encode()


@pytest.mark.parametrize("status", [51, Status.NOT_FOUND])
def test_a_status_may_be_a_number(status: Status) -> None:
    absent: type[Failure] = type("Absent", (Failure,), {"status": status})
    assert absent.status is Status.NOT_FOUND
    assert header(absent.status, str(absent())) == b"51 not found\r\n"


@pytest.mark.parametrize("status", [0, 20, 30, 45, 63, 99, -1])
def test_a_status_that_is_no_failures_is_a_mistake_at_once(status: int) -> None:
    known = "40, 41, 42, 43, 44, 50, 51, 52, 53, 59, 60, 61, 62"
    with pytest.raises(ValueError, match=f"^Odd has the status {status}: a failure has one of {known}$"):
        type("Odd", (Failure,), {"status": status})


def test_slow_down_begins_with_the_seconds() -> None:
    assert SlowDown(30).seconds == 30
    assert header(SlowDown.status, str(SlowDown(30))) == b"44 30\r\n"


def test_an_errormsg_cannot_add_a_line() -> None:
    failure = NotFound("no\r\n20 text/gemini\r\n")
    assert header(failure.status, str(failure)) == b"51 no 20 text/gemini\r\n"
