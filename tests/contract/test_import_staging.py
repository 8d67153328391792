"""Does an import's waiting room keep every line, tell the last one of each person, and nobody's name?"""

from collections.abc import Iterator

import psycopg
import pytest

from application.import_users import StagedPerson
from application.ports import StoreUnavailable
from domain.user import Details
from infrastructure.database import Database
from infrastructure.import_staging import PostgresStaging


@pytest.fixture
def database(migrated_database: str) -> Iterator[Database]:
    with Database(migrated_database, application_name="test") as opened:
        yield opened


def person(line: int, external_id: str, first_name: str = "Ada") -> StagedPerson:
    return StagedPerson(
        line,
        Details(external_id=external_id, first_name=first_name, email="ada@example.org", timezone="Asia/Tokyo"),
    )


def test_each_person_is_told_once_by_their_last_line_in_the_order_of_the_file(database: Database) -> None:
    with PostgresStaging(database) as staging:
        staging.put([person(2, "a"), person(3, "b"), person(4, "a", "Bea")])
        staging.put([])
        staging.put([person(7, "c"), person(9, "b", "Cem")])
        batches = list(staging.last_lines(2))
    assert batches == [[person(4, "a", "Bea"), person(7, "c")], [person(9, "b", "Cem")]]


def test_nothing_staged_is_nothing_told(database: Database) -> None:
    with PostgresStaging(database) as staging:
        assert list(staging.last_lines(2)) == []


def test_every_detail_comes_back_as_it_was(database: Database) -> None:
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
    with PostgresStaging(database) as staging:
        staging.put([StagedPerson(2, whole)])
        assert list(staging.last_lines(10)) == [[StagedPerson(2, whole)]]


def test_what_waits_names_nobody_to_whoever_reads_the_table(database: Database) -> None:
    with PostgresStaging(database) as staging:
        staging.put([person(2, "crm-1")] * 10)
        rows = staging._connection.execute("SELECT person, sealed FROM staged").fetchall()
    assert len(rows) == 10
    assert not [
        cell for row in rows for cell in row if any(word in bytes(cell) for word in (b"Ada", b"ada@example.org", b"crm-1"))
    ]


def test_an_import_that_fails_half_way_keeps_no_session_and_so_no_table(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), PostgresStaging(database) as staging:
        staging.put([person(2, "a"), person(3, "b")])
        (kind,) = staging._connection.execute("SELECT relpersistence FROM pg_class WHERE relname = 'staged'").fetchall()
        for _ in staging.last_lines(1):
            raise ZeroDivisionError
    assert (kind, staging._connection.closed) == (("t",), True)


def test_a_staging_whose_server_ends_it_says_so(database: Database, migrated_database: str) -> None:
    with PostgresStaging(database) as staging:
        with psycopg.connect(migrated_database, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", [staging._connection.info.backend_pid])
        with pytest.raises(StoreUnavailable):
            staging.put([person(2, "a")])
