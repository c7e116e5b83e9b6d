"""When workers that have died are replaced: at once, unless too many have died of late."""

from collections import deque

# So many deaths of a worker in so many seconds are bad luck; more are a pattern, and each waits longer.
FREE_DEATHS = 5
DEATHS_WITHIN = 60.0  # seconds
BACK_OFF = (0.1, 10.0)  # seconds: the first one, doubled each time up to the last one


class Restarts:
    """Those of one generation. Times are those of a clock that never goes back, in seconds."""

    def __init__(self, size: int) -> None:
        """``size``: workers of the generation."""
        self._free = FREE_DEATHS * size
        self._deaths: deque[float] = deque()  # times
        self._planned: dict[int, float] = {}  # worker's number to time

    def plan(self, number: int, now: float) -> float:
        """A worker has died: plan the next one of that number. In how many seconds it starts."""
        deaths = self._deaths
        deaths.append(now)
        while deaths[0] < now - DEATHS_WITHIN:
            deaths.popleft()
        beyond = len(deaths) - self._free
        first, last = BACK_OFF
        delay = min(first * 2 ** min(beyond - 1, 32), last) if beyond > 0 else 0.0
        self._planned[number] = now + delay
        return delay

    def take_due(self, now: float) -> list[int]:
        """The numbers of those that are to start by now, each once."""
        due = [number for number, at in self._planned.items() if at <= now]
        for number in due:
            del self._planned[number]
        return due

    def cancel(self) -> None:
        """Nobody is to come back."""
        self._planned.clear()
