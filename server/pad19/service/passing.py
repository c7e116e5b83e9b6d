"""Errors of the system that may be over the next time: no process, memory, descriptor, room or reader."""

import errno
import os

PASSING = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT}
)  # fmt: skip
NO_READER = "no program reads from it"  # a FIFO
_REASONS = (f"({NO_READER})", *(f"({os.strerror(number)})" for number in sorted(PASSING)))


def is_passing(problem: str) -> bool:
    """Whether a sentence gives one of them as its reason, in parentheses as all sentences do.

    Of what a worker has met, the sentence is all that its supervisor gets to know.
    """
    return any(reason in problem for reason in _REASONS)
