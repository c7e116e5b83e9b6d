import pytest
from OpenSSL import SSL

from pad19.tls.errors import clear_errors, reason


def test_errors_of_one_connection_do_not_reach_the_next() -> None:
    """OpenSSL lists them for the whole thread; here one is left behind as a bad certificate leaves it."""
    lib = SSL._lib  # type: ignore[attr-defined]  # pyOpenSSL has no public way to look at the list
    clear_errors()
    assert lib.ERR_peek_error() == 0
    lib.BIO_new_file(b"/there is no such file", b"r")
    assert lib.ERR_peek_error() != 0
    clear_errors()
    assert lib.ERR_peek_error() == 0


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SSL.Error([("SSL routines", "", "no shared cipher")]), "no shared cipher"),
        (SSL.Error([("a", "b", "first"), ("a", "b", "last")]), "last"),
        (SSL.SysCallError(-1, "Unexpected EOF"), "closed without close_notify"),
        (SSL.Error(), "Error"),
        (SSL.Error([]), "[]"),
    ],
)
def test_reasons(error: SSL.Error, words: str) -> None:
    assert reason(error) == words
