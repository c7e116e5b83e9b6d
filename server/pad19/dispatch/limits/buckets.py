"""Tables of a fixed size, by group, in memory that several processes may share.

General theory of operation: a table is `BUCKETS` times `BUCKET` words of 64 bits. A keyed hash sends
a group to one bucket, which is looked through; the upper bits of a word are bits of the same hash and
tell the group from its neighbours, the lower bits are a number. Each table has one writer. It writes
whole words, so that a reader sees the old one or the new one, and nobody ever waits for anybody: also
not for a process that was stopped or killed in the middle.

The key is random and secret. Otherwise a stranger could choose addresses that meet in one bucket.
"""

from collections.abc import Callable
from functools import lru_cache

BUCKET = 8  # words: 64 bytes, what a processor fetches at once
BUCKETS = 1024  # a power of two
WORDS = BUCKETS * BUCKET
KEY = 16  # bytes

Place = Callable[[str], tuple[int, int]]


def places(key: bytes) -> Place:
    """A function from a group to the first word of its bucket, and the 64 bits of its hash.

    The lower bits of the hash chose the bucket, so a tag is made of the upper ones.
    """
    from hashlib import blake2b  # brings OpenSSL along, which the supervisor does without

    @lru_cache(maxsize=4096)
    def place(group: str) -> tuple[int, int]:
        digest = int.from_bytes(blake2b(group.encode(), digest_size=8, key=key).digest(), "little")
        return digest % BUCKETS * BUCKET, digest

    return place


def find(words: memoryview, first: int, tag: int, largest: int) -> tuple[int, int] | None:
    """The index and the number (1 to ``largest``) of the word with that tag in a bucket."""
    for index, word in enumerate(words[first : first + BUCKET], first):
        if tag < word <= tag + largest:
            return index, word - tag
    return None
