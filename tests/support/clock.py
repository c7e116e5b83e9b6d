"""A clock that stands still until it is told otherwise."""


class Clock:
    """As time.monotonic_ns() is."""

    def __init__(self, seconds: float = 1_000) -> None:
        self._now = round(seconds * 1_000_000_000)

    def __call__(self) -> int:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += round(seconds * 1_000_000_000)
