"""Does an import's waiting room keep every line, register who is new, tell the others by their last line, and nobody's name?"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from msgspec.structs import replace

from application.import_users import LastLines, StagedPerson
from application.ports import Group, NewEvents, Origin, Recorded, StoreUnavailable
from domain import user
from domain.user import Details, UserErased
from infrastructure.event_store import PostgresEventStore
from infrastructure.import_staging import PostgresStaging
from tests.store_stage import open_store

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
ORIGIN = Origin("key:crm", "story")


@pytest.fixture
def store(migrated_database: str) -> Iterator[PostgresEventStore]:
    with open_store(migrated_database) as opened:
        yield opened


@pytest.fixture
def staging(store: PostgresEventStore) -> Iterator[PostgresStaging]:
    with PostgresStaging(store, ORIGIN, NOW) as opened:
        yield opened


def person(line: int, external_id: str, first_name: str = "Ada") -> StagedPerson:
    details = Details(external_id=external_id, first_name=first_name, email="ada@example.org", timezone="Asia/Tokyo")
    return StagedPerson(line, UUID(int=line), user.registration(details, NOW.date()))


def register(store: PostgresEventStore, one: StagedPerson) -> None:
    store.append([Group((NewEvents("users", one.user_id, 0, (one.said,)),))], ORIGIN, NOW)


def test_each_person_is_told_once_by_their_last_line_in_the_order_of_the_file(staging: PostgresStaging) -> None:
    staging.put([person(2, "a"), person(3, "b"), person(4, "a", "Bea")], register=False)
    staging.put([], register=False)
    staging.put([person(7, "c"), person(9, "b", "Cem")], register=False)
    told = [last.others for last in staging.last_lines()]
    assert told == [[person(4, "a", "Bea")], [person(7, "c"), person(9, "b", "Cem")]]


def test_nothing_staged_is_nothing_told(staging: PostgresStaging) -> None:
    assert list(staging.last_lines()) == []


def test_every_detail_comes_back_as_it_was(staging: PostgresStaging) -> None:
    whole = Details(
        external_id="a",
        first_name="Zoë\n",
        last_name="{{ x }}",
        email="z@example.org",
        timezone="Asia/Tokyo",
        birthday="--02-29",
        country="JP",
        message_types=("BIRTHDAY", "HOLIDAY_GREETING"),
        attributes={"tier": "gold"},
    )
    staged = StagedPerson(2, UUID(int=2), user.registration(whole, NOW.date()))
    staging.put([staged], register=False)
    assert list(staging.last_lines()) == [LastLines(0, [staged])]
    assert user.details_of(staged.said) == whole


def test_whoever_is_new_stands_in_the_log_as_if_registered_by_hand(store: PostgresEventStore, staging: PostgresStaging) -> None:
    new = [person(2, "a"), person(3, "b")]
    staging.put(new, register=True)
    assert list(staging.last_lines()) == [LastLines(2, [])]
    assert store.users_of(["a", "b"]) == {"a": UUID(int=2), "b": UUID(int=3)}
    assert [[replace(one, sealed=b"") for one in store.history("users", each.user_id)] for each in new] == [
        [Recorded(position, one.user_id, 1, NOW, one.said, ORIGIN)] for position, one in enumerate(new, start=1)
    ]


def test_whose_external_id_is_known_is_told_and_not_registered(store: PostgresEventStore, staging: PostgresStaging) -> None:
    known, erased = person(101, "known"), person(102, "erased")
    register(store, known)
    register(store, erased)
    store.append([Group((NewEvents("users", erased.user_id, 1, (UserErased(),)),))], ORIGIN, NOW)
    staging.put([person(2, "known", "Bea"), person(3, "new"), person(4, "erased")], register=True)
    assert list(staging.last_lines()) == [LastLines(1, [person(2, "known", "Bea"), person(4, "erased")])]
    assert store.users_of(["known", "new", "erased"]) == {"known": known.user_id, "new": UUID(int=3), "erased": "erased"}
    assert store.load_users([UUID(int=2), UUID(int=4)])[UUID(int=2)].version == 0
    assert store.head().users == 4


def test_of_two_imports_at_a_time_the_second_finds_everybody_known(store: PostgresEventStore, staging: PostgresStaging) -> None:
    with PostgresStaging(store, ORIGIN, NOW + timedelta(seconds=1)) as other:
        staging.put([person(2, "a")], register=True)
        other.put([person(12, "a", "Bea"), person(13, "b")], register=True)
        assert list(staging.last_lines()) == [LastLines(1, [])]
        assert list(other.last_lines()) == [LastLines(1, [person(12, "a", "Bea")])]


@pytest.mark.parametrize("known", [False, True])
def test_what_waits_names_nobody_to_whoever_reads_the_table(
    store: PostgresEventStore, staging: PostgresStaging, known: bool
) -> None:
    if known:
        register(store, person(101, "crm-1"))
    staging.put([person(line, "crm-1") for line in range(2, 12)], register=True)
    rows = staging._connection.execute("SELECT hmac, wrapped, sealed FROM staged").fetchall()
    assert [row[1] is None for row in rows] == [known] * 10
    assert not [
        cell for row in rows for cell in row if any(word in bytes(cell or b"") for word in (b"Ada", b"ada@example.org", b"crm-1"))
    ]


def test_an_import_that_fails_half_way_keeps_no_session_and_so_no_table(store: PostgresEventStore) -> None:
    with pytest.raises(ZeroDivisionError), PostgresStaging(store, ORIGIN, NOW) as staging:
        staging.put([person(2, "a"), person(3, "b")], register=True)
        (kind,) = staging._connection.execute("SELECT relpersistence FROM pg_class WHERE relname = 'staged'").fetchall()
        for _ in staging.last_lines():
            raise ZeroDivisionError
    assert (kind, staging._connection.closed) == (("t",), True)


def test_a_staging_whose_server_ends_it_says_so(staging: PostgresStaging, migrated_database: str) -> None:
    with psycopg.connect(migrated_database, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [staging._connection.info.backend_pid])
    with pytest.raises(StoreUnavailable):
        staging.put([person(2, "a")], register=True)
