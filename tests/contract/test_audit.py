"""Does the audit add up what happened, and say so when something is missing?"""

from collections.abc import Iterator
from datetime import date
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from application.audit_messages import Audit, audit_messages
from domain.event import Event
from domain.message_id import message_id
from domain.scheduled_message import DoubtResolved, LateResultRecorded, MessageReinstated
from infrastructure.audit_query import gather_evidence
from infrastructure.database import Database
from infrastructure.event_store import PostgresEventStore
from infrastructure.keyring import Keyring
from infrastructure.notifications import Announcer
from infrastructure.partitions import ensure_partitions
from infrastructure.schema import migrate
from projections.message_log import MESSAGE_LOG
from tests.contract.test_projector import drain, prepared, tell
from tests.domain.message_stories import (
    DISPATCH,
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


def audit(store: PostgresEventStore) -> Audit:
    return audit_messages(gather_evidence(store.database))


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
    drain(prepared(store, MESSAGE_LOG))
    found = audit(store)
    assert total(found) == {"scheduled": 1, where: 1}
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
    sums = {"scheduled": 2, "sent": 1, "cancelled": 0, "expired": 0, "abandoned": 0, "in_doubt": 0, "pending": 1}
    assert msgspec.json.decode(msgspec.json.encode(audit(store))) == {
        "balanced": True,
        "total": sums,
        "days": [{"day": "2027-05-15", **sums}],
        "differences": [],
    }


def test_nothing_at_all_adds_up(store: PostgresEventStore) -> None:
    assert audit(store).balanced
    assert audit(store).days == []


def test_a_read_model_that_lags_is_held_to_what_it_has_read(store: PostgresEventStore) -> None:
    tell(store, "messages", of(1, SCHEDULED))
    drain(prepared(store, MESSAGE_LOG))
    tell(store, "messages", of(2, *HISTORIES["sent"]))
    found = audit(store)
    assert (found.balanced, total(found)) == (True, {"scheduled": 2, "sent": 1, "pending": 1})


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("DELETE FROM message_log WHERE status = 'sent'", "2027-05-15: the events say 1 sent, message_log 0"),
        ("UPDATE message_log SET status = 'requested' WHERE status = 'sent'", "2027-05-15: the events say 1 sent, message_log 0"),
        ("DELETE FROM messages WHERE originator_version = 2", "2027-05-15: messages whose history has a gap: 1"),
        (
            "DELETE FROM messages WHERE originator_version = 1",
            "2027-05-15: messages that have events but were never scheduled: 1",
        ),
        (
            "UPDATE messages SET topic = 'message.sent.v1' WHERE originator_version = 2",
            "2027-05-15: messages recorded as sent more than once: 1",
        ),
        (
            "UPDATE messages SET topic = 'message.sung.v1' WHERE originator_version = 3",
            "2027-05-15: messages of which nobody can say where",
        ),
        (
            "INSERT INTO messages VALUES (gen_random_uuid(), 1, 'message.scheduled.v1', '{}', 99, now())",
            "streams under an ID that is no message's: 1",
        ),
    ],
    ids=["row lost", "row wrong", "event lost", "beginning lost", "sent twice", "event unknown", "foreign stream"],
)
def test_damage_unbalances_the_audit_and_is_named(store: PostgresEventStore, damage: str, named: str) -> None:
    tell(store, "messages", of(1, *HISTORIES["sent"]), of(2, SCHEDULED, SUPPRESSED))
    tell(store, "messages", of(3, SCHEDULED, day=DAYS[1]))
    drain(prepared(store, MESSAGE_LOG))
    assert audit(store).balanced
    with store.database.cursor() as cursor:
        cursor.execute(
            damage.replace("WHERE originator_version", f"WHERE originator_id = '{of(1)[0]}' AND originator_version").encode()
        )
    found = audit(store)
    assert not found.balanced
    assert any(difference.startswith(named) for difference in found.differences), found.differences


def test_audits_go_on_while_messages_come_in(store: PostgresEventStore) -> None:
    projector = prepared(store, MESSAGE_LOG)
    for number in range(10):
        tell(store, "messages", of(number, *HISTORIES["requested"]))
        if number % 3 == 0:
            projector.step()
        assert audit(store).balanced
        assert audit(store).total.scheduled == number + 1
