"""Do callers that come while a commit is under way share the next one, each with its own answer?"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier
from threading import Event as Signal

import pytest

from application.ports import StoreUnavailable
from infrastructure.shared_commit import SharedCommit

CALLERS = 6


class Disk:
    """Doubles numbers, batch by batch, the first not before it is let go. Refuses odd ones, and everything once it is away."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.writing, self.let_go = Signal(), Signal()
        self.away = False

    def commit(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.writing.set()
        self.let_go.wait()
        if self.away:
            raise StoreUnavailable
        if any(item % 2 for item in items):
            raise ValueError(f"odd: {items}")
        return [2 * item for item in items]


def share(disk: Disk, first: int, *others: Sequence[int], most_items: int = 100) -> list[Future[Sequence[int]]]:
    """The first caller's commit is under way while all the others come; then it is let go."""
    shared = SharedCommit(disk.commit, most_items)
    with ThreadPoolExecutor(1 + len(others)) as threads:
        answers = [threads.submit(shared, [first])]
        disk.writing.wait()
        answers += [threads.submit(shared, items) for items in others]
        while len(shared._waiting) < len(others):
            pass
        disk.let_go.set()
    return answers


def test_those_who_come_meanwhile_share_one_commit_and_get_their_own_answers() -> None:
    disk = Disk()
    answers = share(disk, 0, *([10 * number, 10 * number + 2] for number in range(1, CALLERS)))
    assert [len(batch) for batch in disk.batches] == [1, 2 * (CALLERS - 1)]
    assert [answer.result() for answer in answers] == [[0], *([20 * n, 20 * n + 4] for n in range(1, CALLERS))]


def test_an_item_that_cannot_be_written_hurts_only_its_caller() -> None:
    answers = share(Disk(), 0, [2], [3, 4], [6])
    assert [answers[number].result() for number in (0, 1, 3)] == [[0], [4], [12]]
    with pytest.raises(ValueError, match=r"odd: \[3, 4\]"):
        answers[2].result()


def test_a_disk_that_is_away_is_told_to_all_and_not_asked_for_each() -> None:
    disk = Disk()
    disk.away = True
    for answer in share(disk, 0, [2], [4], [6]):
        with pytest.raises(StoreUnavailable):
            answer.result()
    assert len(disk.batches) == 2


def test_a_commit_takes_no_more_than_it_may_but_always_one_caller() -> None:
    disk = Disk()
    answers = share(disk, 0, [2, 4], [6, 8], [10, 12, 14, 16], [18], most_items=3)
    assert [len(answer.result()) for answer in answers] == [1, 2, 2, 4, 1]
    assert max(len(batch) for batch in disk.batches) == 4


def test_callers_who_come_again_and_again_share_with_those_who_came_meanwhile() -> None:
    disk = Disk()
    disk.let_go.set()
    shared, ready, rounds = SharedCommit(disk.commit, 100), Barrier(CALLERS), 200

    def call(number: int) -> bool:
        ready.wait()
        return all(list(shared([2 * number])) == [4 * number] for _ in range(rounds))

    with ThreadPoolExecutor(CALLERS) as threads:
        assert all(threads.map(call, range(CALLERS)))
    assert sum(map(len, disk.batches)) == CALLERS * rounds
