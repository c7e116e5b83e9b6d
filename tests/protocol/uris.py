"""Texts like URIs, for tests with made-up ones."""

from hypothesis import settings
from hypothesis import strategies as st

# Hypothesis limits the time of an example; a busy machine must not fail a test for it.
relaxed = settings(deadline=None)

PIECES = [
    *("gemini", "GEMINI", "a+b-c.1", ":", "//", "/", "//", "?", "#", "@", "[", "]", "[::1]", "[v1.a:b]"),
    *("localhost", "EXAMPLE.org", "a.b.", "1965", ":1965", ":0", ".", "..", "/.", "/..", "%", "%2e", "%2F"),
    *("%zz", "%C3%A9", "%ff", "%00", "é", "É", "ß", "。", "☕", "\u200d", "xn--", "_", "~", "!$&'()*+,;="),
    *(" ", "\t", "\r", "\n", "\0", "\x7f", "\x85", "\ufeff", "\ud800", "\\", '"', "1\uff11"),
]
texts = st.one_of(
    st.text(),
    st.lists(st.sampled_from(PIECES)).map("".join),
    st.lists(st.sampled_from(PIECES)).map(lambda pieces: "gemini://localhost/" + "".join(pieces)),
    st.lists(st.sampled_from(PIECES)).map(lambda pieces: "gemini://" + "".join(pieces)),
)
