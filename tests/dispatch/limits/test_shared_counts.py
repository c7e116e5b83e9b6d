import mmap
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pad19.dispatch.limits.buckets import BUCKET, BUCKETS, KEY, find, places
from pad19.dispatch.limits.shared_counts import MAX_COUNT, SharedCounts, clear, prepare, size

COLUMNS = 5
ADA, BOB = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def area() -> bytearray:
    buffer = bytearray(size(COLUMNS))
    prepare(buffer)
    return buffer


def worker(buffer: bytearray, own: int) -> SharedCounts:
    return SharedCounts(buffer, COLUMNS, own, worker=0, workers=1)


def seen(shared: SharedCounts, *groups: str) -> list[int]:
    """What one knows of the others: the total, and the count of each group."""
    return [shared.total_elsewhere(), *(shared.elsewhere(group) for group in groups)]


# Buckets


def test_a_place_depends_on_the_key_and_on_nothing_else() -> None:
    groups = ["", ADA, BOB, "2001:0db8:0000:0000::/64"]
    first, same, other = places(b"k" * KEY), places(b"k" * KEY), places(b"q" * KEY)
    assert [first(group) for group in groups] == [same(group) for group in groups]
    assert all(first(group) != other(group) for group in groups)
    assert len({first(group) for group in groups}) == len(groups)


def test_places_are_everywhere() -> None:
    place = places(bytes(KEY))
    found = [place(f"group {number}") for number in range(20 * BUCKETS)]
    assert {first for first, _ in found} == {bucket * BUCKET for bucket in range(BUCKETS)}
    assert all(0 <= digest < 2**64 for _, digest in found)
    assert {digest >> 60 for _, digest in found} == {*range(16)}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([0, 0], None),
        ([0x300, 0x301], (9, 0x01)),  # a number is at least 1
        ([0x3FF, 0], (8, 0xFF)),
        ([0x2FF, 0x401], None),
        ([0, 0x302], (9, 0x02)),
    ],
)
def test_find(words: list[int], found: tuple[int, int] | None) -> None:
    bucket = [*words, *[0] * (BUCKET - len(words))]
    table = memoryview(b"".join(word.to_bytes(8, sys.byteorder) for word in [0x301] * 8 + bucket)).cast("Q")
    assert find(table, BUCKET, 0x300, 0xFF) == found


def test_the_tag_zero_is_not_found_in_empty_words() -> None:
    assert find(memoryview(bytes(8 * BUCKET)).cast("Q"), 0, 0, MAX_COUNT) is None


# Counts


def test_one_tells_and_the_others_know(area: bytearray) -> None:
    first, second, third = (worker(area, own) for own in range(3))
    first.tell(ADA, 1, 1)
    first.tell(BOB, 1, 2)
    second.tell(ADA, 1, 1)
    second.tell(ADA, 2, 2)
    assert seen(first, ADA, BOB) == [2, 2, 0]
    assert seen(second, ADA, BOB) == [2, 1, 1]
    assert seen(third, ADA, BOB, "another") == [4, 3, 1, 0]
    first.tell(ADA, 0, 1)
    first.tell(BOB, 0, 0)
    assert seen(third, ADA, BOB) == [2, 2, 0]


def test_large_numbers(area: bytearray) -> None:
    first, second = worker(area, 0), worker(area, 1)
    first.tell(ADA, 10_000_000, 10_000_000)
    assert seen(second, ADA, BOB) == [10_000_000, 10_000_000, 0]


def neighbours(shared: SharedCounts, count: int) -> list[str]:
    """Groups of one bucket."""
    groups = (f"group {number}" for number in range(10**6))
    first, _ = shared.place("group 0")
    same = (group for group in groups if shared.place(group)[0] == first)
    return [next(same) for _ in range(count)]


def test_where_a_bucket_is_full_the_others_do_not_learn_of_it(area: bytearray) -> None:
    first, second = worker(area, 0), worker(area, 1)
    *fitting, late = neighbours(first, BUCKET + 1)
    for total, group in enumerate(fitting, 1):
        first.tell(group, 7, total)
    first.tell(late, 1, BUCKET + 1)
    assert seen(second, *fitting, late) == [BUCKET + 1, *[7] * BUCKET, 0]
    second.tell(late, 3, 3)  # whose own bucket has room
    assert seen(first, late) == [3, 3]
    first.tell(fitting[2], 0, BUCKET)
    first.tell(late, 2, BUCKET + 1)  # now there is room
    assert seen(second, fitting[2], late) == [BUCKET + 1, 0, 2]
    for left, group in enumerate([*fitting[:2], *fitting[3:], late]):
        first.tell(group, 0, BUCKET - 1 - left)
    assert seen(second, *fitting, late) == [0] * (BUCKET + 2)


def test_who_was_never_told_can_leave(area: bytearray) -> None:
    first, second = worker(area, 0), worker(area, 1)
    *fitting, late = neighbours(first, BUCKET + 1)
    for group in fitting:
        first.tell(group, 1, 1)
    first.tell(late, 1, 2)
    first.tell(late, 0, 1)
    assert seen(second, *fitting, late) == [1, *[1] * BUCKET, 0]


def test_the_dead_have_no_connections(area: bytearray) -> None:
    first, second, third = (worker(area, own) for own in range(3))
    for shared in (first, second, third):
        shared.tell(ADA, 2, 2)
    before = bytes(area)
    clear(area, COLUMNS, 1)
    assert seen(first, ADA) == [2, 2]
    assert seen(third, ADA) == [2, 2]
    successor = worker(area, 1)
    assert seen(successor, ADA) == [4, 4]
    successor.tell(ADA, 2, 2)
    assert area == before, "nothing else was touched"


def test_a_stopped_process_keeps_nobody_waiting_and_its_connections_count(area: bytearray) -> None:
    stopped, other = worker(area, 0), worker(area, 1)
    stopped.tell(ADA, 5, 5)
    for count in [*range(1, 50), *reversed(range(50))]:
        other.tell(ADA, count, count)
    assert seen(other, ADA) == [5, 5]


@pytest.mark.parametrize(
    ("own", "number", "workers", "length"),
    [
        (-1, 0, 1, size(COLUMNS)),
        (COLUMNS, 0, 1, size(COLUMNS)),
        (0, 1, 1, size(COLUMNS)),
        (0, -1, 1, size(COLUMNS)),
        (0, 0, COLUMNS + 1, size(COLUMNS)),
        (0, 0, 1, size(COLUMNS) - 1),
    ],
)
def test_what_does_not_fit_into_the_area(own: int, number: int, workers: int, length: int) -> None:
    with pytest.raises(ValueError, match="too small"):
        SharedCounts(bytearray(length), COLUMNS, own, worker=number, workers=workers)


def test_the_last_column_and_the_last_worker_fit(area: bytearray) -> None:
    last = SharedCounts(area, COLUMNS, COLUMNS - 1, worker=COLUMNS - 1, workers=COLUMNS)
    last.rates.counts[-1] = 1
    last.tell(ADA, 1, 1)
    assert seen(worker(area, 0), ADA) == [1, 1]
    assert int.from_bytes(area[-8:], sys.byteorder) == 1


def test_an_area_may_be_larger_than_it_has_to_be() -> None:
    buffer = bytearray(size(COLUMNS) + 13)
    prepare(buffer)
    worker(buffer, 0).tell(ADA, 1, 1)
    assert seen(worker(buffer, 1), ADA) == [1, 1]


def test_each_area_has_a_key_of_its_own(area: bytearray) -> None:
    other = bytearray(size(COLUMNS))
    prepare(other)
    assert area[:KEY] != other[:KEY]
    assert any(area[:KEY])


class Workers(RuleBasedStateMachine):
    """Several workers on one area, one dictionary for each, and what each must know of the others."""

    numbers = st.integers(0, COLUMNS - 1)
    groups = st.sampled_from([ADA, BOB, "", "2001:0db8:0000:0000::/64"])

    def __init__(self) -> None:
        super().__init__()
        self.area = bytearray(size(COLUMNS))
        prepare(self.area)
        self.workers = [worker(self.area, own) for own in range(COLUMNS)]
        self.counts: list[Counter[str]] = [Counter() for _ in range(COLUMNS)]

    def tell(self, number: int, group: str) -> None:
        counts = self.counts[number]
        self.workers[number].tell(group, counts[group], counts.total())

    @rule(number=numbers, group=groups)
    def enter(self, number: int, group: str) -> None:
        self.counts[number][group] += 1
        self.tell(number, group)

    @precondition(lambda self: any(map(Counter.total, self.counts)))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        there = [(number, group) for number, counts in enumerate(self.counts) for group in sorted(+counts)]
        number, group = data.draw(st.sampled_from(there))
        self.counts[number][group] -= 1
        self.tell(number, group)

    @rule(number=numbers)
    def die(self, number: int) -> None:
        clear(self.area, COLUMNS, number)
        self.workers[number] = worker(self.area, number)
        self.counts[number] = Counter()

    @invariant()
    def all_know_of_all_others(self) -> None:
        everywhere = sum(self.counts, Counter[str]())
        for counts, shared in zip(self.counts, self.workers, strict=True):
            assert shared.total_elsewhere() == everywhere.total() - counts.total()
            for group in (ADA, BOB, "", "2001:0db8:0000:0000::/64", "nobody"):
                assert shared.elsewhere(group) == everywhere[group] - counts[group]


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(deadline=None, max_examples=40, stateful_step_count=30)


# Processes


PROCESS = """
import mmap, sys
from pad19.dispatch.limits.admission import Admission
from pad19.protocol.rate import Rate
from pad19.dispatch.limits.shared_counts import SharedCounts, size

fd, columns, own = map(int, sys.argv[1:])
area = mmap.mmap(fd, size(columns))
shared = SharedCounts(area, columns, own, worker=own, workers=2)
admission = Admission(10, 3, rate=Rate(6, 3600), shared=shared)
tickets = []
for line in sys.stdin:
    word, address = line.split()
    if word == "enter":
        tickets.append(admission.enter(address))
        print(tickets[-1].refusal or "welcome", flush=True)
    elif word == "leave":
        ticket = next(ticket for ticket in tickets if ticket.group == address)
        tickets.remove(ticket)
        admission.leave(ticket)
        print("bye", flush=True)
"""


class Process:
    def __init__(self, running: subprocess.Popen[str]) -> None:
        self._running = running

    def ask(self, line: str) -> str:
        assert self._running.stdin
        assert self._running.stdout
        self._running.stdin.write(f"{line}\n")
        self._running.stdin.flush()
        return self._running.stdout.readline().rstrip("\n")

    def kill(self) -> None:
        self._running.kill()
        self._running.wait()


@contextmanager
def process(fd: int, own: int) -> Iterator[Process]:
    arguments = [sys.executable, "-c", PROCESS, str(fd), str(COLUMNS), str(own)]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[fd]
    ) as running:
        try:
            yield Process(running)
        finally:
            running.kill()


def test_real_processes_see_each_other() -> None:
    with ExitStack() as stack:
        fd = os.memfd_create("counts")
        stack.callback(os.close, fd)
        os.truncate(fd, size(COLUMNS))
        area = mmap.mmap(fd, size(COLUMNS))
        prepare(area)
        first, second = (stack.enter_context(process(fd, own)) for own in range(2))
        assert first.ask(f"enter {ADA}") == "welcome"
        assert second.ask(f"enter {ADA}") == "welcome"
        assert first.ask(f"enter {ADA}") == "welcome"
        assert second.ask(f"enter {ADA}") == "too many connections from your address at once"
        assert second.ask(f"enter {BOB}") == "welcome"
        assert first.ask(f"leave {ADA}") == "bye"
        assert second.ask(f"enter {ADA}") == "welcome"
        first.kill()
        assert second.ask(f"enter {ADA}").startswith("too many")  # nobody has noticed yet
        clear(area, COLUMNS, 0)
        third = stack.enter_context(process(fd, 0))
        assert third.ask(f"enter {ADA}") == "welcome"
        assert third.ask(f"enter {ADA}").startswith("too many")
        for _ in range(2):
            assert second.ask(f"leave {ADA}") == "bye"
        assert third.ask(f"enter {ADA}") == "welcome"
        # Six have been let in by now, two of them by a process that is dead.
        told = third.ask(f"leave {ADA}"), third.ask(f"enter {ADA}"), second.ask(f"enter {ADA}")
        assert told[0] == "bye"
        assert all(3590 <= int(seconds) <= 3600 for seconds in told[1:])


def test_memory_and_time_are_spent_only_on_what_is_in_use() -> None:
    columns = 1000
    with ExitStack() as stack:
        fd = os.memfd_create("counts")
        stack.callback(os.close, fd)
        os.truncate(fd, size(columns))
        area = mmap.mmap(fd, size(columns))
        prepare(area)
        first, second = (SharedCounts(area, columns, own, worker=own, workers=2) for own in range(2))
        first.tell(ADA, 1, 1)
        assert seen(second, ADA) == [1, 1]
        # The head has three pages, a bucket is in one; reading a page that nobody wrote takes one, too.
        assert os.fstat(fd).st_blocks * 512 <= 4 * mmap.PAGESIZE
