"""Does the erasure report look everywhere: is all gone after an erasure, and is whatever is left found and named?"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event as Signal
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from application.erasure_report import KEPT_BESIDE, ErasureReport, erasure_report
from application.plan_messages import Planner
from application.ports import Group, NewEvents
from domain.errors import UserUnknown
from domain.event import stored_name
from domain.message_id import message_id
from domain.message_type import registry
from domain.scheduled_message import SendRequested
from domain.user import EmailChanged, UserErased
from infrastructure.archive import all_archived
from infrastructure.erasure_traces import PostgresTraces
from infrastructure.event_store import PostgresEventStore
from infrastructure.filling import Filling
from infrastructure.planner_tables import PostgresPlannerWork
from infrastructure.projector import Projector
from infrastructure.read_model_rebuild import Rebuild
from infrastructure.read_model_sides import PREVIOUS
from infrastructure.work import begin_work
from projections.registry import PROJECTIONS
from projections.users_view import USERS_VIEW
from tests.contract.test_rebuild import MASTER_KEY, unheard
from tests.domain.message_stories import REQUESTED, SCHEDULED, SENT
from tests.retention_scene import DAYS, UNTOLD, read_by_all, retained, store_of, told
from tests.store_stage import CLI, NOW, of_user, registered

ADA = replace(registered("crm-4711", first_name="Zuleika"), birthday="1987-03-02", first_occasion=NOW.date())


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    with store_of(database) as store:
        yield store


@pytest.fixture
def ada(store: PostgresEventStore) -> UUID:
    """Registered, changed, and one birthday planned."""
    user_id = uuid4()
    catch_up(store)
    store.append([of_user(user_id, 0, ADA, EmailChanged(email="zuleika@example.net"))], CLI, NOW)
    catch_up(store)
    assert store.head().messages == 1
    return user_id


def catch_up(store: PostgresEventStore) -> None:
    planner = Planner(lambda: begin_work(store, PostgresPlannerWork, "planner", None), registry())
    while planner.step(NOW + timedelta(minutes=1)):
        pass
    for projection in PROJECTIONS.values():
        projector = Projector(store, projection)
        projector.prepare()
        while projector.step():
            pass


def erase(store: PostgresEventStore, user_id: UUID) -> None:
    store.append([of_user(user_id, 2, UserErased())], CLI, NOW)
    catch_up(store)


def reported(store: PostgresEventStore, user_id: UUID) -> ErasureReport:
    return erasure_report(user_id, PostgresTraces(store), UNTOLD)


def found(report: ErasureReport) -> set[str]:
    return {one.place for one in report.looked if one.found}


def test_after_an_erasure_nothing_is_left(store: PostgresEventStore, ada: UUID) -> None:
    erase(store, ada)
    report = reported(store, ada)
    assert (report.clean, found(report)) == (True, set())
    looked = {one.place for one in report.looked}
    assert looked >= {
        "users (log)",
        "user_keys",
        "external_ids",
        "users_view",
        "occasions",
        "planned",
        "due",
        "addresses_written_to",
    }
    assert looked >= {"messages (log)", "messages_by_timezone", "parked_types", "parked_events", "positions"}


def test_of_somebody_who_was_not_erased_everything_is_found(store: PostgresEventStore, ada: UUID) -> None:
    report = reported(store, ada)
    assert not report.clean
    assert found(report) == {
        *("users (log)", "user_keys", "external_ids", "users_view", "occasions", "planned"),
        *("messages (log)", "messages_by_timezone"),
    }
    assert {one.found for one in report.looked if "still be opened" in one.what} == {2}


def test_before_the_planner_and_read_models_know_it_is_not_over(store: PostgresEventStore, ada: UUID) -> None:
    store.append([of_user(ada, 2, UserErased())], CLI, NOW)
    left = found(reported(store, ada))
    assert left >= {"positions", "users_view", "planned", "messages (log)"}
    assert left.isdisjoint({"user_keys", "external_ids", "users (log)"}), "these go in the erasure itself"


def test_tables_kept_for_a_rollback_are_named_with_what_helps(store: PostgresEventStore, ada: UUID, database: str) -> None:
    work = Rebuild(store, Filling(database, MASTER_KEY, 1), USERS_VIEW, Signal(), unheard)
    work.build(NOW)
    work.swap()
    erase(store, ada)
    report = reported(store, ada)
    assert found(report) == {"positions", "ninebell_previous.users_view"}
    assert "of the erasure (users_view~previous)" in {one.what for one in report.looked if one.place == "positions"}.pop()
    assert KEPT_BESIDE in report.notes
    assert work.drop(PREVIOUS)
    assert (reported(store, ada).clean, KEPT_BESIDE in reported(store, ada).notes) == (True, False)


def test_nobody_is_reported_of_whom_nothing_was_ever_heard(store: PostgresEventStore) -> None:
    with pytest.raises(UserUnknown):
        reported(store, uuid4())


LEFT = {
    "external_ids": "INSERT INTO external_ids VALUES ('', %(user)s)",
    "occasions": "INSERT INTO occasions VALUES (%(user)s, 'BIRTHDAY', '2027-03-02')",
    "parked_types": "INSERT INTO parked_types VALUES (%(user)s, 'X', '2027-03-02', 'X', '2027-03-02')",
    "parked_events": "INSERT INTO parked_events SELECT 'planner', 'users', max(notification_id), 'x', 'X' FROM users",
    "addresses_written_to": "INSERT INTO addresses_written_to VALUES ('2027-03-02', 'BIRTHDAY', '', %(message)s)",
    "a_table_of_tomorrow": "CREATE TABLE a_table_of_tomorrow AS SELECT %(user)s::uuid AS whose",
    "ninebell_next.users_view": (
        "CREATE SCHEMA IF NOT EXISTS ninebell_next; DROP TABLE IF EXISTS ninebell_next.users_view;"
        " CREATE TABLE ninebell_next.users_view AS SELECT %(user)s::uuid AS user_id"
    ),
    "users (log)": (
        'UPDATE users SET state = convert_to(\'{"event":{"type":"user.renamed.v1","first_name":"Z"},"who":"x"}\', \'utf8\')'
        " WHERE originator_id = %(user)s AND originator_version = 2"
    ),
}


@pytest.mark.parametrize(("place", "statements"), LEFT.items(), ids=LEFT)
def test_whatever_is_left_is_found_and_named(store: PostgresEventStore, ada: UUID, place: str, statements: str) -> None:
    erase(store, ada)
    names = {"user": str(ada), "message": str(message_id(ada, "BIRTHDAY", NOW.date().replace(day=2)))}
    with store.database.connect() as connection:
        for statement in statements.split("; "):
            connection.execute(statement % {name: f"'{value}'" for name, value in names.items()})
    report = reported(store, ada)
    assert (report.clean, found(report)) == (False, {place})


def test_a_key_that_comes_back_opens_what_was_sealed(store: PostgresEventStore, ada: UUID) -> None:
    with store.database.connect() as connection:
        rows = connection.execute("SELECT user_id, wrapped FROM user_keys").fetchall()
        erase(store, ada)
        connection.execute("INSERT INTO user_keys VALUES (%s, %s)", rows[0])
    report = reported(store, ada)
    assert found(report) == {"user_keys", "users (log)"}
    assert [one.found for one in report.looked if "still be opened" in one.what] == [2]


def test_an_archive_is_looked_through_and_has_nothing(store: PostgresEventStore, ada: UUID, tmp_path: Path) -> None:
    message = message_id(ada, "BIRTHDAY", DAYS[0])
    told(store, (message, [replace(SCHEDULED, user_id=ada), REQUESTED, SENT]))
    erase(store, ada)
    read_by_all(store)
    assert retained(store, tmp_path).status == "dropped"
    report = reported(store, ada)
    [looked] = [one for one in report.looked if one.place == "archive 2027-05"]
    assert (looked.what, looked.found, report.clean) == ("personal fields in the 3 events of this person's messages", 0, True)
    [archived] = all_archived(store.database)
    archived.path.unlink()
    assert found(reported(store, ada)) == {"archive 2027-05"}, "what can't be looked at is not called clean"


def test_an_archive_that_holds_something_is_found(store: PostgresEventStore, ada: UUID, tmp_path: Path) -> None:
    message = message_id(ada, "BIRTHDAY", DAYS[0])
    told(store, (message, [replace(SCHEDULED, user_id=ada), REQUESTED, SENT]))
    with store.database.connect() as connection:
        connection.execute(
            "UPDATE messages SET state = convert_to(replace(convert_from(state, 'utf8'), '\"attempt\":1',"
            ' \'"attempt":1,"email":"z@z.org"\'), \'utf8\') WHERE originator_id = %s',
            (message,),
        )
    erase(store, ada)
    read_by_all(store)
    assert found(reported(store, ada)) == {"messages (log)"}
    assert retained(store, tmp_path).status == "dropped"
    assert found(reported(store, ada)) == {"archive 2027-05"}


@pytest.mark.parametrize("damaged", [b'{"event":{"\xff":""}}', b'{"event":"x"}'])
def test_what_an_archive_holds_that_cannot_be_read_counts_as_something(
    store: PostgresEventStore, ada: UUID, tmp_path: Path, damaged: bytes
) -> None:
    message = message_id(ada, "BIRTHDAY", DAYS[0])
    told(store, (message, [replace(SCHEDULED, user_id=ada), REQUESTED, SENT]))
    erase(store, ada)
    read_by_all(store)
    with store.database.connect() as connection:
        topic = stored_name(SendRequested)
        connection.execute("UPDATE messages SET state = %s WHERE originator_id = %s AND topic = %s", (damaged, message, topic))
    assert retained(store, tmp_path).status == "dropped"
    assert found(reported(store, ada)) == {"archive 2027-05"}


def test_places_at_addresses_go_with_the_person(store: PostgresEventStore, ada: UUID) -> None:
    with store.database.connect() as connection:
        connection.execute(
            "INSERT INTO addresses_written_to SELECT occasion, message_type, '', message_id FROM planned WHERE user_id = %s",
            (ada,),
        )
    assert "addresses_written_to" in found(reported(store, ada))
    erase(store, ada)
    assert reported(store, ada).clean


def test_a_message_of_somebody_else_is_nobody_elses_business(store: PostgresEventStore, ada: UUID) -> None:
    other = uuid4()
    store.append([Group((NewEvents("users", other, 0, (replace(ADA, external_id="crm-2"),)),))], CLI, NOW)
    catch_up(store)
    erase(store, ada)
    assert reported(store, ada).clean
    assert not reported(store, other).clean
