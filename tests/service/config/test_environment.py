import pytest

from pad19.service.config.environment import expand

VARIABLES = {"HOME": "/home/ada", "EMPTY": "", "TRICK": "${HOME}", "_a1": "x"}

EXPANDED = [
    ("", ""),
    ("plain", "plain"),
    ("$HOME", "$HOME"),
    ("100$", "100$"),
    ("$$", "$$"),
    ("{HOME}", "{HOME}"),
    ("${HOME}", "/home/ada"),
    ("a${HOME}b${_a1}c", "a/home/adabxc"),
    ("${EMPTY}", ""),
    ("${EMPTY:-x}", "x"),  # as in a shell
    ("${NONE:-x y}", "x y"),
    ("${NONE:-}", ""),
    ("${NONE:-a-b:c}", "a-b:c"),
    ("${HOME:-x}", "/home/ada"),
    ("${TRICK}", "${HOME}"),  # not once more
    ("$${HOME}", "${HOME}"),
    ("$$${HOME}", "$${HOME}"),
    ("$${NONE", "${NONE"),
]


@pytest.mark.parametrize(("text", "expanded"), EXPANDED)
def test_expands(text: str, expanded: str) -> None:
    assert expand(text, VARIABLES) == expanded


FORM = "must have variables in the form ${NAME} or ${NAME:-otherwise}"
REFUSED = [
    ("${NONE}", "must name variables that are set, and NONE is not"),
    ("${HOME}${NONE}", "must name variables that are set, and NONE is not"),
    ("${", FORM),
    ("${}", FORM),
    ("${HOME", FORM),
    ("${1}", FORM),
    ("${A B}", FORM),
    ("${HOME-x}", FORM),
    ("${NONE:-${HOME}}", FORM),
    ("${é}", FORM),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^must ") as refusal:
        expand(text, VARIABLES)
    assert str(refusal.value) == message
