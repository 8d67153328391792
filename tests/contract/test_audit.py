"""Does the audit add up what happened, and say so when something is missing?"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from threading import Event as Signal
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from application.audit_messages import Audit, audit_messages
from application.audit_sums import Grouping
from domain.event import Event
from domain.message_id import message_id
from domain.scheduled_message import DoubtResolved, LateResultRecorded, MessageReinstated
from infrastructure.audit_query import open_books
from infrastructure.audit_read_models import AUDITED
from infrastructure.database import Database
from infrastructure.event_store import PostgresEventStore
from infrastructure.keyring import Keyring
from infrastructure.notifications import Announcer
from infrastructure.partitions import ensure_partitions
from infrastructure.schema import migrate
from projections.message_log import MESSAGE_LOG
from tests.contract.test_projector import NOW, drain, prepared, tell
from tests.domain.message_stories import (
    DISPATCH,
    DUE,
    EXPIRED,
    HISTORIES,
    IN_DOUBT,
    OTHER_DISPATCH,
    REPEATED,
    REQUESTED,
    SCHEDULED,
    SENT,
    SUPPRESSED,
)

DAYS = [date(2027, 5, 15), date(2027, 6, 1)]


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    migrate(database)
    with Database(database, application_name="tests") as pool, Announcer(pool) as announcer:
        with pool.connect() as connection:
            ensure_partitions(connection, date(2027, 5, 1), date(2027, 6, 1))
        yield PostgresEventStore(pool, Keyring(bytes(range(32))), announcer=announcer)


def of(number: int, *events: Event, day: date = DAYS[0]) -> tuple[UUID, list[Event]]:
    """One user's message of a day, and what happened to it."""
    user = UUID(int=number)
    return message_id(user, "BIRTHDAY", day), [
        replace(event, occasion=day, user_id=user) if event == SCHEDULED else event for event in events
    ]


def audit(store: PostgresEventStore, start: date | None = None, end: date | None = None, by: tuple[Grouping, ...] = ()) -> Audit:
    with open_books(store.database) as books:
        return audit_messages(books, start, end, by)


def show(store: PostgresEventStore) -> None:
    """Every read model of messages reads all there is."""
    for projection in AUDITED:
        drain(prepared(store, projection))


def total(audit: Audit) -> dict[str, int]:
    return {name: number for name, number in msgspec.to_builtins(audit.total).items() if number}


STORIES: dict[str, tuple[tuple[Event, ...], str]] = {
    **{
        name: (history, "pending" if name in ("scheduled", "requested", "retrying") else name)
        for name, history in HISTORIES.items()
        if history
    },
    "reinstated": ((SCHEDULED, SUPPRESSED, MessageReinstated(**REPEATED, reason="", rule="plain", tzdata="t")), "pending"),
    "sent on somebody's word": ((SCHEDULED, REQUESTED, IN_DOUBT, DoubtResolved(**REPEATED, outcome="sent", by="cli")), "sent"),
    "not sent after all": ((SCHEDULED, REQUESTED, IN_DOUBT, DoubtResolved(**REPEATED, outcome="not_sent", by="cli")), "pending"),
    "heard of again": (
        (SCHEDULED, REQUESTED, SENT, LateResultRecorded(**REPEATED, dispatch_id=OTHER_DISPATCH, result="accepted")),
        "sent",
    ),
    "repeated in doubt": ((SCHEDULED, REQUESTED, IN_DOUBT, replace(REQUESTED, attempt=2, repeat_of=DISPATCH)), "pending"),
}


@pytest.mark.parametrize(("story", "where"), STORIES.values(), ids=STORIES)
def test_each_message_is_counted_where_its_history_ends(store: PostgresEventStore, story: tuple[Event, ...], where: str) -> None:
    tell(store, "messages", of(1, *story))
    show(store)
    found = audit(store)
    assert {name: number for name, number in total(found).items() if name != "late"} == {"scheduled": 1, where: 1}
    assert (found.balanced, found.differences) == (True, [])


def test_the_sums_go_by_the_occasions_day(store: PostgresEventStore) -> None:
    for number, (story, _) in enumerate(STORIES.values()):
        tell(store, "messages", of(number, *story, day=DAYS[number % 2]))
    found = audit(store)
    assert [day.day for day in found.days] == DAYS
    assert sum(day.scheduled for day in found.days) == found.total.scheduled == len(STORIES)
    assert found.balanced


def test_the_answer_has_the_promised_shape(store: PostgresEventStore) -> None:
    tell(store, "messages", of(1, *HISTORIES["sent"]), of(2, SCHEDULED))
    sums = {"scheduled": 2, "sent": 1, "late": 1, "cancelled": 0, "expired": 0, "abandoned": 0, "in_doubt": 0, "pending": 1}
    of_all = {
        "balanced": True,
        "total": sums,
        "days": [{"day": "2027-05-15", **sums}],
        "zones": [{"timezone": "Europe/London", **sums}],
        "types": [{"type": "BIRTHDAY", **sums}],
        "differences": [],
        "behind": {},
    }
    assert msgspec.json.decode(msgspec.json.encode(audit(store))) == of_all
    rows = [{"timezone": "Europe/London", "type": "BIRTHDAY", **sums}]
    assert msgspec.json.decode(msgspec.json.encode(audit(store, by=("zone", "type")))) == {**of_all, "rows": rows}


def test_nothing_at_all_adds_up(store: PostgresEventStore) -> None:
    assert audit(store).balanced
    assert audit(store).days == []


def test_a_read_model_that_lags_is_held_to_what_it_has_read(store: PostgresEventStore) -> None:
    tell(store, "messages", of(1, SCHEDULED))
    drain(prepared(store, MESSAGE_LOG))
    tell(store, "messages", of(2, *HISTORIES["sent"]))
    found = audit(store)
    assert (found.balanced, total(found)) == (True, {"scheduled": 2, "sent": 1, "late": 1, "pending": 1})
    assert found.behind == {"message_log": 3}


def test_read_models_that_lag_by_different_lengths_are_held_to_what_each_has_read(store: PostgresEventStore) -> None:
    tell(store, "messages", of(1, *HISTORIES["sent"]))
    for read, projection in enumerate(AUDITED):
        prepared(store, projection, batch=read + 1).step()
    found = audit(store)
    assert (found.balanced, found.differences) == (True, [])
    assert found.behind == {"message_log": 2, "messages_by_timezone": 1}


def test_what_was_sent_a_minute_after_its_instant_was_late_by_day_zone_and_type(store: PostgresEventStore) -> None:
    for number, seconds in enumerate((0, 59, 60, 7200)):
        sent = replace(SENT, sent_at=DUE + timedelta(seconds=seconds))
        tell(store, "messages", of(number, SCHEDULED, REQUESTED, sent, day=DAYS[number % 2]))
    elsewhere = {"timezone": "Asia/Calcutta", "message_type": "HOLIDAY"}
    tell(store, "messages", of(9, *(replace(event, **elsewhere) for event in (SCHEDULED, EXPIRED))))
    show(store)
    found = audit(store, by=("day", "zone", "type"))
    assert found.total.late == 2
    assert [(day.late, day.expired) for day in found.days] == [(1, 1), (1, 0)]
    assert [(zone.timezone, zone.late, zone.expired) for zone in found.zones] == [("Asia/Kolkata", 0, 1), ("Europe/London", 2, 0)]
    assert [(kind.message_type, kind.late, kind.expired) for kind in found.types] == [("BIRTHDAY", 2, 0), ("HOLIDAY", 0, 1)]
    assert isinstance(found.rows, list)
    assert [(row.day, row.timezone, row.message_type, row.scheduled) for row in found.rows] == [
        (DAYS[0], "Asia/Kolkata", "HOLIDAY", 1),
        (DAYS[0], "Europe/London", "BIRTHDAY", 2),
        (DAYS[1], "Europe/London", "BIRTHDAY", 2),
    ]


def test_an_audit_of_some_days_is_of_these_alone(store: PostgresEventStore) -> None:
    tell(store, "messages", of(1, SCHEDULED), of(2, SCHEDULED, day=DAYS[1]))
    assert [day.day for day in audit(store, end=DAYS[1]).days] == [DAYS[0]]
    assert [day.day for day in audit(store, start=DAYS[1]).days] == [DAYS[1]]
    assert audit(store, DAYS[0] + timedelta(days=1), DAYS[1]).total.scheduled == 0


SENT_ID, CANCELLED_ID = of(1)[0], of(2)[0]
UNREADABLE = {
    "no JSON": "'{'",
    "no UTF-8": r"'\xff'",
    "no event": "'{}'",
    "without an instant": """'{"event": {"message_type": "BIRTHDAY", "timezone": "Europe/London", "due_at": "never"}}'""",
    "nested without end": "convert_to(repeat('[', 1000000), 'utf8')",
}
"""What may stand where an event's bytes were."""
DAMAGES = {
    "row lost": (
        "DELETE FROM message_log WHERE status = 'sent'",
        f"2027-05-15: the events say 1 sent, message_log 0 (such as {SENT_ID})",
    ),
    "row wrong": (
        "UPDATE message_log SET status = 'requested' WHERE status = 'sent'",
        f"2027-05-15: the events say 1 sent, message_log 0 (such as {SENT_ID})",
    ),
    "row of nothing": (
        f"UPDATE message_log SET id = '{of(9, day=DAYS[1])[0]}' WHERE status = 'sent'",
        f"2027-06-01: the events say 0 sent, message_log 1 (such as {of(9, day=DAYS[1])[0]})",
    ),
    "pending lost": (
        "DELETE FROM messages_by_timezone",
        f"2027-06-01: the events say 1 pending, messages_by_timezone 0 (such as {of(3, day=DAYS[1])[0]})",
    ),
    "pending for ever": (
        f"INSERT INTO messages_by_timezone SELECT '{CANCELLED_ID}', 'Z', 'Z', now(), 'T'",
        f"2027-05-15: the events say 0 pending, messages_by_timezone 1 (such as {CANCELLED_ID})",
    ),
    "counted twice": (
        "UPDATE analytics_days SET messages = messages + 1 WHERE status = 'cancelled'",
        "2027-05-15: the events say 1 cancelled, analytics_view 2",
    ),
    "event lost": (
        "DELETE FROM messages WHERE originator_version = 2",
        f"2027-05-15: messages whose history has a gap: 1 (such as {SENT_ID})",
    ),
    "beginning lost": (
        "DELETE FROM messages WHERE originator_version = 1",
        f"2027-05-15: messages that have events but were never scheduled: 1 (such as {SENT_ID})",
    ),
    "sent twice": (
        "UPDATE messages SET topic = 'message.sent.v1' WHERE originator_version = 2",
        f"2027-05-15: messages recorded as sent more than once: 1 (such as {SENT_ID})",
    ),
    "event unknown": (
        "UPDATE messages SET topic = 'message.sung.v1' WHERE originator_version = 3",
        "2027-05-15: messages of which nobody can say where they stand (message.sung.v1): 1",
    ),
    **{
        f"event that is {what}": (
            f"UPDATE messages SET state = {state} WHERE originator_version = 3",
            f"2027-05-15: messages of which nobody can say where they stand (message.sent.v1): 1 (such as {SENT_ID})",
        )
        for what, state in UNREADABLE.items()
    },
    "foreign stream": (
        "INSERT INTO messages VALUES (gen_random_uuid(), 1, 'message.scheduled.v1', '{}', 99, now())",
        "streams under an ID that is no message's: 1",
    ),
}


@pytest.mark.parametrize(("damage", "named"), DAMAGES.values(), ids=DAMAGES)
def test_damage_unbalances_the_audit_and_is_named(store: PostgresEventStore, damage: str, named: str) -> None:
    tell(store, "messages", of(1, *HISTORIES["sent"]), of(2, SCHEDULED, SUPPRESSED))
    tell(store, "messages", of(3, SCHEDULED, day=DAYS[1]))
    show(store)
    assert audit(store).balanced
    damage = damage.replace("WHERE originator_version", f"WHERE originator_id = '{SENT_ID}' AND originator_version")
    with store.database.cursor() as cursor:
        cursor.execute(damage.encode())
    found = audit(store)
    assert not found.balanced
    assert any(difference.startswith(named) for difference in found.differences), found.differences


@pytest.mark.parametrize("state", UNREADABLE.values(), ids=UNREADABLE)
def test_a_doubts_end_that_cant_be_read_is_missed_where_transitions_are_counted(store: PostgresEventStore, state: str) -> None:
    tell(store, "messages", of(1, *STORIES["not sent after all"][0], replace(REQUESTED, attempt=2)))
    show(store)
    assert audit(store).balanced
    with store.database.cursor() as cursor:
        cursor.execute(f"UPDATE messages SET state = {state} WHERE topic = 'message.doubt_resolved.v1'".encode())
    assert audit(store).differences == [f"{NOW.date()}: the events say 0 retrying, analytics_view 1"]


def test_a_month_that_nobody_made_is_audited_all_the_same(store: PostgresEventStore) -> None:
    tell(store, "messages", of(1, *HISTORIES["sent"], day=date(2031, 1, 1)), of(2, SCHEDULED, day=DAYS[0]))
    show(store)
    found = audit(store)
    assert (found.balanced, found.total.scheduled, found.total.sent) == (True, 2, 1)
    assert [day.day for day in found.days] == [DAYS[0], date(2031, 1, 1)]


def test_an_audit_that_takes_its_time_keeps_nobody_from_making_a_month(store: PostgresEventStore) -> None:
    tell(store, "messages", of(1, SCHEDULED))
    show(store)
    with open_books(store.database) as books, store.database.connect() as connection:
        assert books.day(*books.days(None, None), examples=True).alike
        connection.execute("SET lock_timeout = '1s'")
        assert ensure_partitions(connection, date(2028, 1, 1), date(2028, 1, 1)) == ["2028_01"]
        assert ensure_partitions(connection, date(2028, 1, 1), date(2028, 1, 1), "message_log") == ["2028_01"]


def test_audits_go_on_while_messages_come_in(store: PostgresEventStore) -> None:
    projectors = [prepared(store, projection) for projection in AUDITED]
    for number in range(12):
        tell(store, "messages", of(number, *HISTORIES["requested"]))
        projectors[number % 3].step()
        found = audit(store)
        assert (found.balanced, found.differences, found.total.scheduled) == (True, [], number + 1)


def test_whoever_writes_during_an_audit_does_not_unbalance_it(store: PostgresEventStore) -> None:
    projectors = [prepared(store, projection) for projection in AUDITED]
    over = Signal()

    def write(first: int) -> None:
        for number in range(first, first + 1_000_000):
            if over.is_set():
                return
            tell(store, "messages", of(number, *HISTORIES["sent"], day=DAYS[number % 2]))

    def project() -> None:
        while not over.is_set():
            for projector in projectors:
                projector.step()

    with ThreadPoolExecutor(3) as others:
        running = [others.submit(write, 0), others.submit(write, 1_000_000), others.submit(project)]
        try:
            seen = [audit(store) for _ in range(10)]
        finally:
            over.set()
        for each in running:
            each.result()
    assert [difference for each in seen for difference in each.differences] == []
    assert seen[-1].total.scheduled > seen[0].total.scheduled
