"""Does a dispatch stay for weeks, and for as long as a member of it is not over?"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from application.forget_dispatches import AT_ONCE, YOUNGEST, forget_dispatches
from application.ports import Group, NewEvents
from domain.dispatch import DispatchFinished, DispatchRequested, DispatchStarted
from domain.event import Event
from domain.scheduled_message import MessageCancelled
from infrastructure.event_store import PostgresEventStore
from infrastructure.finished_dispatches import PostgresFinishedDispatches
from infrastructure.work import PostgresWork, begin_work
from tests.contract.test_projector import CLI, NOW
from tests.domain.message_stories import EXPIRED, FAILED, HISTORIES, IN_DOUBT, REPEATED, REQUESTED, SCHEDULED, SENT
from tests.retention_scene import of, retained, store_of, told

LATER, NEXT_YEAR = NOW + YOUNGEST + timedelta(hours=1), date(2028, 1, 1)
FINISHED: Sequence[Event] = (DispatchStarted("w", UUID(int=1), UUID(int=2)), DispatchFinished("recorded"))
DOUBTFUL_END = (SCHEDULED, REQUESTED, IN_DOUBT, MessageCancelled(**REPEATED, reason="erased"))


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    with store_of(database) as store:
        yield store


def dispatched(
    store: PostgresEventStore, number: int, *members: UUID, events: Sequence[Event] = FINISHED, read: bool = True
) -> None:
    """With another one after it, which keeps the log's head."""
    requested = DispatchRequested("sink", "asia", members)
    groups = [
        Group((NewEvents("dispatches", UUID(int=1000 + number), 0, (requested, *events)),)),
        Group((NewEvents("dispatches", UUID(int=9000 + number), 0, (DispatchRequested("sink", "asia", ()),)),)),
    ]
    assert not store.append(groups, CLI, NOW).lost
    if read:
        for manager in ("dispatcher", "publisher"):
            with begin_work(store, PostgresWork, manager, None) as work:
                work.followed("dispatches", store.head().dispatches)


def forgotten(store: PostgresEventStore, now: datetime = LATER, before: date = NEXT_YEAR, *, dry_run: bool = False) -> int:
    dispatches = PostgresFinishedDispatches(store.database)
    return forget_dispatches(dispatches, store, before, now, lambda _: None, dry_run=dry_run)


def there(store: PostgresEventStore, number: int) -> bool:
    return bool(store.history("dispatches", UUID(int=1000 + number)))


def test_a_dispatch_whose_members_are_over_goes_after_weeks(store: PostgresEventStore) -> None:
    sent, expired = of(1, SCHEDULED, REQUESTED, SENT), of(2, SCHEDULED, EXPIRED)
    told(store, sent, expired)
    dispatched(store, 1, sent[0], expired[0])
    head = store.head()
    assert (forgotten(store, NOW + YOUNGEST), there(store, 1)) == (0, True)
    assert (forgotten(store, before=NOW.date()), there(store, 1)) == (0, True)
    assert (forgotten(store, dry_run=True), there(store, 1)) == (1, True)
    assert (forgotten(store), there(store, 1)) == (1, False)
    assert (forgotten(store), store.head()) == (0, head)


@pytest.mark.parametrize(
    "story", [HISTORIES[name] for name in ("scheduled", "requested", "retrying", "in_doubt")] + [DOUBTFUL_END]
)
def test_a_member_that_is_not_over_keeps_it(store: PostgresEventStore, story: tuple[Event, ...]) -> None:
    sent, other = of(1, SCHEDULED, REQUESTED, SENT), of(2, *story)
    told(store, sent, other)
    dispatched(store, 1, sent[0], other[0])
    dispatched(store, 2, sent[0])
    assert (forgotten(store), there(store, 1), there(store, 2)) == (1, True, False)


def test_one_that_is_not_finished_or_not_read_or_parked_stays(store: PostgresEventStore) -> None:
    sent = of(1, SCHEDULED, REQUESTED, SENT)
    told(store, sent)
    dispatched(store, 1, sent[0], events=FINISHED[:1])
    dispatched(store, 2, sent[0])
    with store.database.connect() as connection:
        connection.execute("INSERT INTO parked_events VALUES ('worker', 'dispatches', 4, 'x', 'X')")
    dispatched(store, 3, sent[0], read=False)
    assert forgotten(store) == 0


def test_members_in_an_archived_month_are_over(store: PostgresEventStore, tmp_path: Path) -> None:
    sent = of(1, SCHEDULED, REQUESTED, FAILED, REQUESTED, SENT)
    told(store, sent)
    assert retained(store, tmp_path).status == "dropped"
    dispatched(store, 1, sent[0])
    assert forgotten(store) == 1


def test_many_go_page_by_page(store: PostgresEventStore) -> None:
    sent = of(1, SCHEDULED, REQUESTED, SENT)
    told(store, sent)
    for number in range(AT_ONCE + 1):
        dispatched(store, number, sent[0])
    assert forgotten(store) == AT_ONCE + 1
