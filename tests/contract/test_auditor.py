"""Is it told soon, and cheaply, whether the messages still add up?"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from domain.event import Event
from infrastructure.audit_read_models import AUDITED
from infrastructure.auditor import AGAIN, EVERY, PUT_OFF, Auditor
from infrastructure.event_store import PostgresEventStore
from tests.contract.test_audit import DAYS, UNREADABLE, of, show
from tests.contract.test_projector import drain, prepared, tell
from tests.domain.message_stories import HISTORIES, IN_DOUBT, REQUESTED, SCHEDULED, SENT
from tests.store_stage import CLI, of_message
from tests.stores import real_store

NOW = datetime(2027, 5, 15, 12, tzinfo=UTC)


@pytest.fixture
def store(migrated_database: str) -> Iterator[PostgresEventStore]:
    with real_store(migrated_database) as store:
        for projection in AUDITED:
            prepared(store, projection)
        yield store


def rows(store: PostgresEventStore, columns: str) -> list[tuple[Any, ...]]:
    with store.database.cursor() as cursor:
        return cursor.execute(f"SELECT {columns} FROM audited_days ORDER BY day").fetchall()


def go_on(store: PostgresEventStore, number: int, version: int, *events: Event, day: date = DAYS[0]) -> None:
    assert not store.append([of_message(of(number, day=day)[0], version, *events)], CLI, NOW).lost


def test_a_round_counts_every_day_from_the_events_alone(store: PostgresEventStore) -> None:
    for number, (name, history) in enumerate(HISTORIES.items()):
        if history:
            tell(store, "messages", of(number, *history, day=DAYS[name == "sent"]))
    assert Auditor(store.database).step(NOW)
    columns = "scheduled, sent, late, cancelled, expired, abandoned, in_doubt, pending, contradictions"
    assert rows(store, f"day, {columns}") == [(DAYS[0], 7, 0, 0, 1, 1, 1, 1, 3, 0), (DAYS[1], 1, 1, 1, 0, 0, 0, 0, 0, 0)]
    with store.database.cursor() as cursor:
        assert cursor.execute("SELECT position, as_of FROM audit_rounds").fetchall() == [(store.head().messages, NOW)]


def test_rounds_are_a_while_apart_whoever_makes_them(store: PostgresEventStore) -> None:
    first, second = Auditor(store.database), Auditor(store.database)
    assert [first.step(NOW), first.step(NOW), second.step(NOW + EVERY / 2), second.step(NOW + EVERY)] == [
        True,
        False,
        False,
        True,
    ]


def test_a_round_waits_while_messages_are_handed_out_and_not_for_ever(store: PostgresEventStore) -> None:
    assert Auditor(store.database).step(NOW)
    amid_a_herd, after_it = Auditor(store.database, lambda: False), Auditor(store.database, lambda: True)
    last = NOW + EVERY + PUT_OFF
    assert [amid_a_herd.step(NOW + EVERY), amid_a_herd.step(last - timedelta(seconds=1)), amid_a_herd.step(last)] == [
        False,
        False,
        True,
    ]
    assert after_it.step(last + EVERY)


def test_a_clock_set_back_stops_no_round(store: PostgresEventStore) -> None:
    auditor = Auditor(store.database)
    assert auditor.step(NOW)
    assert auditor.step(NOW - timedelta(hours=2))


def test_a_round_looks_again_at_the_days_that_changed_and_at_some_that_did_not(store: PostgresEventStore) -> None:
    days = [date(2027, 3, 1) + timedelta(days=number) for number in range(2 * AGAIN)]
    for number, day in enumerate(days):
        tell(store, "messages", of(number, SCHEDULED, day=day))
    auditor = Auditor(store.database)
    auditor.step(NOW)
    go_on(store, len(days) - 1, 1, REQUESTED, SENT, day=days[-1])
    later = NOW + EVERY
    auditor.step(later)
    assert rows(store, "day, sent") == [*((day, 0) for day in days[:-1]), (days[-1], 1)]
    assert [day for day, at in rows(store, "day, audited_at") if at == later] == [*days[:AGAIN], days[-1]]


@pytest.mark.parametrize(
    ("damage", "messages"),
    [
        ("DELETE FROM messages WHERE topic = 'message.send_requested.v1'", 1),
        ("UPDATE message_log SET status = 'expired' WHERE status = 'sent'", 2),
        ("UPDATE messages SET topic = 'message.sung.v1' WHERE topic = 'message.sent.v1'", 3),
        *((f"UPDATE messages SET state = {state} WHERE topic = 'message.sent.v1'", 3) for state in UNREADABLE.values()),
    ],
    ids=["history with a gap", "read model", "unknown event", *UNREADABLE],
)
def test_what_was_damaged_at_rest_is_found(store: PostgresEventStore, damage: str, messages: int) -> None:
    tell(store, "messages", of(1, *HISTORIES["sent"]), of(2, SCHEDULED))
    show(store)
    auditor = Auditor(store.database)
    auditor.step(NOW)
    assert rows(store, "contradictions") == [(0,)]
    with store.database.cursor() as cursor:
        cursor.execute(damage.encode())
    auditor.step(NOW + EVERY)
    assert rows(store, "contradictions") == [(messages,)]


def test_a_read_model_that_lags_contradicts_nothing(store: PostgresEventStore) -> None:
    tell(store, "messages", of(1, *HISTORIES["sent"]))
    drain(prepared(store, AUDITED[0]))
    tell(store, "messages", of(2, *HISTORIES["sent"]))
    Auditor(store.database).step(NOW)
    assert rows(store, "contradictions, sent") == [(0, 2)]


def test_the_first_of_the_doubts_is_remembered_until_it_is_cleared(store: PostgresEventStore) -> None:
    tell(store, "messages", of(1, SCHEDULED, REQUESTED, IN_DOUBT))
    auditor = Auditor(store.database)
    auditor.step(NOW)
    [(in_doubt, since)] = rows(store, "in_doubt, oldest_doubt_at")
    assert (in_doubt, since.tzinfo is not None) == (1, True)
    go_on(store, 1, 3, SENT)
    auditor.step(NOW + EVERY)
    assert rows(store, "in_doubt, oldest_doubt_at") == [(0, None)]


def test_a_round_that_is_told_to_stop_is_done_again(store: PostgresEventStore) -> None:
    tell(store, "messages", of(1, SCHEDULED), of(2, SCHEDULED, day=DAYS[1]))
    auditor, asked = Auditor(store.database), iter([False, True])
    auditor.step(NOW, lambda: next(asked))
    assert len(rows(store, "day")) == 1
    auditor.step(NOW + EVERY)
    assert len(rows(store, "day")) == 2
