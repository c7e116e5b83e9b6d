import pickle

import pytest

from pad19.protocol.rate import Rate

READ = [  # text, value
    ("60/10s", Rate(60, 10)),
    ("5/1m", Rate(5, 60)),
    ("1/1s", Rate(1, 1)),
    ("1000000/24h", Rate(1_000_000, 86_400)),
    ("1/1440m", Rate(1, 86_400)),
    ("007/01s", Rate(7, 1)),
]


@pytest.mark.parametrize(("text", "rate"), READ)
def test_reads(text: str, rate: Rate) -> None:
    assert Rate.parse(text) == rate
    assert pickle.loads(pickle.dumps(rate)) == rate  # noqa: S301 - on its way to a worker


REFUSED = [  # text, a part of the message
    ("", "a slash and a time"),
    ("60", "a slash and a time"),
    ("60/10", "a slash and a time"),
    ("60/s", "a slash and a time"),
    ("/10s", "a slash and a time"),
    ("60/10 s", "a slash and a time"),
    ("60 / 10s", "a slash and a time"),
    ("60/10s\n", "a slash and a time"),
    ("60/10S", "a slash and a time"),
    ("60/10d", "a slash and a time"),
    ("60/1.5s", "a slash and a time"),
    ("-1/10s", "a slash and a time"),
    ("+1/10s", "a slash and a time"),
    ("٣/10s", "a slash and a time"),
    ("6²/10s", "a slash and a time"),
    ("60/10s/10s", "a slash and a time"),
    ("0/10s", "from 1 to 1000000"),
    ("1000001/10s", "from 1 to 1000000"),
    ("9" * 5000 + "/10s", "from 1 to 1000000"),
    ("60/0s", "from 1s to 24h"),
    ("60/86401s", "from 1s to 24h"),
    ("60/1441m", "from 1s to 24h"),
    ("60/25h", "from 1s to 24h"),
    ("60/" + "9" * 5000 + "h", "from 1s to 24h"),
]


@pytest.mark.parametrize(("text", "part"), REFUSED)
def test_refuses(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=r"^must ") as refusal:
        Rate.parse(text)
    assert part in str(refusal.value)
