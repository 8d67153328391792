"""Do read models that share what is read of a log each see all of it, and nothing that no longer stands there?"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from application.ports import StoreUnavailable
from infrastructure import shared_tail
from infrastructure.database import Database
from infrastructure.event_store import PostgresEventStore
from infrastructure.keyring import Keyring
from infrastructure.notifications import Announcer
from infrastructure.projector import Projector
from infrastructure.schema import migrate
from infrastructure.shared_tail import SharedTail
from projections import message_log
from projections.analytics_view import ANALYTICS_VIEW
from projections.message_log import MESSAGE_LOG
from projections.messages_by_timezone import MESSAGES_BY_TIMEZONE
from tests.contract.test_projector import counted, drain, messages, parked, position_of, swap, tell
from tests.domain.message_stories import REQUESTED, SENT

KINDS = MESSAGE_LOG.kinds
SHARING = (MESSAGES_BY_TIMEZONE, MESSAGE_LOG, ANALYTICS_VIEW)


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    migrate(database)
    with Database(database, application_name="tests") as pool, Announcer(pool) as announcer:
        yield PostgresEventStore(pool, Keyring(bytes(range(32))), announcer=announcer)


@pytest.fixture
def tail(store: PostgresEventStore) -> SharedTail:
    return SharedTail(store, "messages", KINDS)


def sharing(store: PostgresEventStore, tail: SharedTail, batch: int = 2_000) -> list[Projector]:
    projectors = [Projector(store, projection, tail=tail, batch=batch) for projection in SHARING]
    for projector in projectors:
        projector.prepare()
    return projectors


def positions(tail: SharedTail, after: int, limit: int) -> list[int]:
    return [recorded.position for recorded in tail.read("messages", after, limit, KINDS).events]


def test_what_one_has_read_the_others_are_given(store: PostgresEventStore, tail: SharedTail) -> None:
    tell(store, "messages", *messages(1, 3))
    first, second = (tail.read("messages", 0, 10, KINDS) for _ in range(2))
    assert [id(event) for event in first.events] == [id(event) for event in second.events]
    assert first == second == store.read("messages", 0, 10, KINDS)


def test_each_gets_what_comes_after_its_own_position(store: PostgresEventStore, tail: SharedTail) -> None:
    tell(store, "messages", *messages(1, 4))
    assert tail.read("messages", 0, 2, KINDS).more
    assert positions(tail, 0, 2) == [1, 2]
    assert positions(tail, 1, 10) == [2, 3, 4], "what was read, and what was not yet"
    assert positions(tail, 2, 10) == [3, 4]
    assert positions(tail, 0, 3) == [1, 2, 3]
    assert tail.read("messages", 0, 3, KINDS).more
    assert not tail.read("messages", 0, 10, KINDS).more
    assert positions(tail, 4, 10) == []
    tell(store, "messages", *messages(5, 5))
    assert positions(tail, 2, 10) == [3, 4, 5]
    assert positions(tail, 4, 10) == [5]


def test_one_that_is_behind_reads_for_itself_and_catches_up(
    store: PostgresEventStore, tail: SharedTail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_tail, "KEPT", 3)
    ahead, behind, _ = sharing(store, tail, batch=4)
    tell(store, "messages", *messages(1, 10))
    assert drain(ahead) == 10
    assert positions(tail, 7, 10) == [8, 9, 10]
    assert drain(behind) == 10
    tell(store, "messages", *messages(11, 11))
    assert [ahead.step(), behind.step()] == [1, 1]


def test_what_cannot_be_read_is_parked_by_each(store: PostgresEventStore, tail: SharedTail) -> None:
    tell(store, "messages", *messages(1, 3))
    swap(store, 2, "message.sung.v9", b"{}")
    assert [drain(projector) for projector in sharing(store, tail)] == [2, 2, 2]
    assert [row[0] for row in parked(store)] == ["analytics_view", "message_log", "messages_by_timezone"]
    assert position_of(store, "message_log") == 3


def test_racing_each_other_they_all_see_everything_once(store: PostgresEventStore, tail: SharedTail) -> None:
    projectors = [*sharing(store, tail, batch=7), *sharing(store, tail, batch=11)]
    last = tell(store, "messages", *messages(1, 60, REQUESTED, SENT)).messages

    def race(projector: Projector) -> None:
        while position_of(store, projector.projection.name) < last:
            projector.step()

    with ThreadPoolExecutor(len(projectors)) as threads:
        list(threads.map(race, projectors))
    assert counted(store) == {"scheduled": 60, "requested": 60, "sent": 60}
    with store.database.cursor() as cursor:
        assert message_log.totals(cursor)["sent"] == 60
        assert cursor.execute("SELECT count(*) FROM messages_by_timezone").fetchall() == [(0,)]


def test_whose_position_was_taken_back_gets_nothing_out_of_memory(store: PostgresEventStore, tail: SharedTail) -> None:
    """As after a fail-over to a server that had not heard of the last events: others stand there by now."""
    _, log, _ = sharing(store, tail)
    tell(store, "messages", *messages(1, 2))
    assert drain(log) == 2
    lose_the_second(store)
    tell(store, "messages", *messages(7, 8))
    assert log.step() == 0, "its position is not what it was"
    assert log.step() == 3
    assert logged(store) == [1, 7, 8]


def test_who_begins_anew_gets_nothing_out_of_memory(store: PostgresEventStore, tail: SharedTail) -> None:
    """As one does whose batch failed in that fail-over, while nobody was reading the log."""
    _, log, _ = sharing(store, tail)
    tell(store, "messages", *messages(1, 2))
    assert drain(log) == 2
    lose_the_second(store)
    tell(store, "messages", *messages(7, 8))
    _, log, _ = sharing(store, tail)
    assert drain(log) == 3
    assert logged(store) == [1, 7, 8]


def lose_the_second(store: PostgresEventStore) -> None:
    with store.database.transaction() as cursor:
        for lost in ("messages WHERE notification_id = 2", "message_log", "message_totals"):
            cursor.execute(f"DELETE FROM {lost}")
        cursor.execute("UPDATE positions SET position = 0")
        cursor.execute("SELECT setval('messages_position', 1)")


def logged(store: PostgresEventStore) -> list[int]:
    with store.database.cursor() as cursor:
        seen = cursor.execute("SELECT user_id FROM message_log").fetchall()
    return sorted(user_id.int for (user_id,) in seen)


def test_an_outage_leaves_nothing_in_memory(store: PostgresEventStore, tail: SharedTail) -> None:
    tell(store, "messages", *messages(1, 2))
    first = tail.read("messages", 0, 10, KINDS).events
    store.database.close()
    with pytest.raises(StoreUnavailable):
        tail.read("messages", 2, 10, KINDS)
    with pytest.raises(StoreUnavailable):
        tail.read("messages", 0, 10, KINDS)
    assert len(first) == 2
