"""Does everything go on as it should beside a month that is archived, or is being so?"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from application.audit_messages import audit_messages
from application.plan_messages import Planner
from application.ports import Group, NewEvents
from application.redrive_messages import Redrive, redrive_message
from application.retain_months import Archive, Busy
from domain.message_id import message_id
from domain.message_type import MessageTypes, registry
from domain.message_types.birthday import Birthday
from domain.scheduled_message import LateResultRecorded
from domain.user import BirthdayChanged
from infrastructure.archive import all_archived
from infrastructure.audit_query import open_books
from infrastructure.auditor import EVERY, Auditor
from infrastructure.event_store import PostgresEventStore
from infrastructure.month_archiver import MonthArchiver
from infrastructure.month_restorer import MonthRestorer
from infrastructure.partitions import ensure_partitions
from infrastructure.planner_tables import PostgresPlannerWork
from infrastructure.work import begin_work
from tests.contract.test_projector import CLI, NOW
from tests.domain.message_stories import ABANDONED, DISPATCH, EXPIRED, REPEATED, REQUESTED, SCHEDULED, SENT
from tests.retention_scene import DAYS, LONG_AFTER, MAY, UNTOLD, of, restored, retained, rows, store_of, told
from tests.store_stage import of_user, registered

MESSAGE = of(1, SCHEDULED, REQUESTED, SENT)
NOTHING_LEFT = "SELECT to_regclass('messages_2027_05') IS NULL"


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    with store_of(database) as store:
        told(store, MESSAGE)
        yield store


@pytest.fixture
def archiver(store: PostgresEventStore, tmp_path: Path) -> MonthArchiver:
    return MonthArchiver(store.database, tmp_path)


@pytest.fixture
def verified(archiver: MonthArchiver) -> Archive:
    """May is in its file, and about to be dropped."""
    archive = archiver.export(archiver.standing(MAY), UNTOLD)
    archiver.verify(archive, UNTOLD)
    return archive


def test_a_late_word_that_comes_after_the_file_was_written_is_not_lost(
    store: PostgresEventStore, archiver: MonthArchiver, verified: Archive, tmp_path: Path
) -> None:
    late = LateResultRecorded(**REPEATED, dispatch_id=DISPATCH, result="accepted")
    told(store, of(2, SCHEDULED, EXPIRED, day=DAYS[2]))
    store.append([Group((NewEvents("messages", MESSAGE[0], 3, (late,)),))], CLI, NOW)
    with pytest.raises(Busy, match="went on meanwhile"):
        archiver.drop(verified, LONG_AFTER)
    assert rows(store, "SELECT count(*) FROM messages_2027_05") == [(4,)]
    assert all_archived(store.database) == []
    told(store, of(3, SCHEDULED, EXPIRED, day=DAYS[2]))
    assert retained(store, tmp_path).events == 4


def test_who_begins_to_read_after_the_look_is_waited_for(
    store: PostgresEventStore, archiver: MonthArchiver, verified: Archive
) -> None:
    with store.database.connect() as connection:
        connection.execute("INSERT INTO positions VALUES ('message_log~next', 'messages', 3, 0)")
    with pytest.raises(Busy, match="not read to its end by message_log~next"):
        archiver.drop(verified, LONG_AFTER)
    assert rows(store, NOTHING_LEFT) == [(False,)]


def test_the_auditor_counts_a_dropped_month_as_before(store: PostgresEventStore, tmp_path: Path) -> None:
    auditor, counted = Auditor(store.database), "SELECT day, scheduled, sent, late, contradictions FROM audited_days ORDER BY day"
    assert auditor.step(LONG_AFTER)
    before = rows(store, counted)
    assert before == [(DAYS[0], 1, 1, 1, 0)]
    retained(store, tmp_path)
    assert auditor.step(LONG_AFTER + EVERY), "it looks at old days again"
    assert rows(store, counted) == before
    assert rows(store, "SELECT audited_at FROM audited_days") == [(LONG_AFTER + EVERY,)]
    with store.database.connect() as connection:
        connection.execute("DELETE FROM audited_days; UPDATE audit_rounds SET position = 0")
    assert auditor.step(LONG_AFTER + 2 * EVERY)
    assert rows(store, counted) == before


def test_a_type_that_may_be_years_late_does_not_lead_the_planner_there(store: PostgresEventStore, tmp_path: Path) -> None:
    types = MessageTypes(Birthday(late_window=timedelta(days=1000)))
    planner = Planner(lambda: begin_work(store, PostgresPlannerWork, "planner", None), types)
    ada = uuid4()
    store.append([of_user(ada, 0, replace(registered(None), birthday="1990-05-15", first_occasion=date(2027, 1, 1)))], CLI, NOW)
    while planner.step(NOW):
        pass
    told(store, of(2, SCHEDULED, EXPIRED))
    planned = message_id(ada, "BIRTHDAY", DAYS[0])
    expired = replace(EXPIRED, due_at=NOW)
    store.append([Group((NewEvents("messages", planned, 1, (expired,)),))], CLI, NOW)
    with store.database.connect() as connection:
        ensure_partitions(connection, LONG_AFTER.date() - timedelta(days=400), LONG_AFTER.date() + timedelta(days=40))
    while planner.step(LONG_AFTER):
        pass
    told(store)
    done = retained(store, tmp_path)
    assert done.status == "dropped", done.why
    store.append([of_user(ada, 1, BirthdayChanged(birthday="1990-05-16"))], CLI, LONG_AFTER)
    while planner.step(LONG_AFTER):
        pass
    assert rows(store, "SELECT count(*) FROM parked_events") == [(0,)]
    assert rows(store, "SELECT position FROM positions WHERE follower = 'planner' AND log = 'users'") == [(2,)]


def test_whoever_can_be_read_again_is_planned_no_further_back_than_months_are_kept(
    store: PostgresEventStore, tmp_path: Path
) -> None:
    planner = Planner(lambda: begin_work(store, PostgresPlannerWork, "planner", None), registry())
    ada = uuid4()
    store.append([of_user(ada, 0, replace(registered(None), birthday="1990-05-15", first_occasion=date(2027, 1, 1)))], CLI, NOW)
    while planner.step(NOW):
        pass
    store.append([Group((NewEvents("messages", message_id(ada, "BIRTHDAY", DAYS[0]), 1, (EXPIRED,)),))], CLI, NOW)
    with store.database.connect() as connection:
        ensure_partitions(connection, LONG_AFTER.date() - timedelta(days=400), LONG_AFTER.date() + timedelta(days=40))
    while planner.step(LONG_AFTER):
        pass
    told(store)
    assert retained(store, tmp_path).status == "dropped"
    with store.database.connect() as connection:
        connection.execute("UPDATE users SET topic = topic || '.of.a.newer.program'")
        store.append([of_user(ada, 1, BirthdayChanged(birthday="1990-05-16"))], CLI, LONG_AFTER)
        while planner.step(LONG_AFTER):
            pass
        assert rows(store, "SELECT position FROM parked_events WHERE follower = 'planner'") == [(1,)]
        connection.execute("UPDATE users SET topic = replace(topic, '.of.a.newer.program', '')")
        connection.execute("UPDATE parked_events SET again = true")
    while planner.step(LONG_AFTER):
        pass
    assert rows(store, "SELECT count(*) FROM parked_events") == [(0,)]
    this_year = message_id(ada, "BIRTHDAY", date(2028, 5, 16))
    state = store.load_messages([this_year])[this_year].state
    assert state
    assert state.status == "expired"


def test_a_redrive_of_the_same_year_is_not_barred_by_what_the_planner_has_forgotten(
    store: PostgresEventStore, tmp_path: Path
) -> None:
    december = date(2027, 12, 20)
    with store.database.connect() as connection:
        ensure_partitions(connection, december, december)
        for day in (DAYS[0], december):
            connection.execute(
                "INSERT INTO planned VALUES (%s, %s, 'BIRTHDAY', %s, 't', 1)",
                (message_id(UUID(int=3), "BIRTHDAY", day), UUID(int=3), day),
            )
    other, _ = one = of(3, SCHEDULED, REQUESTED, ABANDONED, day=december)
    told(store, of(3, SCHEDULED, EXPIRED), one)
    assert retained(store, tmp_path).status == "dropped"
    begin = lambda: begin_work(store, PostgresPlannerWork, "operator", None)  # noqa: E731
    redrive_message(other, Redrive(reason="outage"), begin, registry(), CLI, datetime(2028, 7, 11, tzinfo=UTC))
    state = store.load_messages([other])[other].state
    assert state
    assert state.status == "scheduled"


def test_restoring_disturbs_nobody_who_goes_on(store: PostgresEventStore, tmp_path: Path) -> None:
    retained(store, tmp_path)
    told(store, of(5, SCHEDULED, EXPIRED, day=DAYS[2]))
    restored(store)
    assert [store.load_messages([MESSAGE[0]])[MESSAGE[0]].version, store.head().messages] == [3, 5]
    assert [event.position for event in store.read("messages", 0, 10).events] == [1, 2, 3, 4, 5]


def test_an_audit_sees_a_month_before_it_goes_or_after(store: PostgresEventStore, tmp_path: Path) -> None:
    with open_books(store.database) as books:
        done = retained(store, tmp_path, give_up_seconds=0.5)
        assert (done.status, "somebody goes on reading" in done.why[0]) == ("kept", True)
        assert audit_messages(books).balanced
    assert retained(store, tmp_path).status == "dropped"
    [archived] = all_archived(store.database)
    with open_books(store.database) as books:
        with pytest.raises(Busy, match="somebody goes on reading"):
            MonthRestorer(store.database, give_up_seconds=0.5).restore(archived, UNTOLD)
        assert audit_messages(books).balanced
