"""Are values the same on their way to PostgreSQL and back, whatever other statements a connection has seen before?"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

import psycopg
import pytest

from infrastructure.database import Database

IDS = [UUID(int=number) for number in (1, 2, 3)]
AT = datetime(2027, 3, 14, 9, 30, tzinfo=UTC)
SENT: list[tuple[str, Any]] = [
    ("uuid[]", IDS),
    ("uuid[]", []),
    ("uuid[]", [None, IDS[0]]),
    ("text[]", ["a", "ü", ""]),
    ("text[]", []),
    ("bigint[]", [1, 2]),
    ("bigint[]", [1, 2**40]),
    ("int[]", [70_000]),
    ("bytea[]", [b"\x00\xff", b""]),
    ("timestamptz[]", [AT]),
    ("date[]", [date(2027, 3, 14)]),
    ("bool[]", [True, False]),
    ("text", "text"),
    ("text", None),
    ("uuid", IDS[0]),
    ("bigint", 2**40),
    ("int", 1),
    ("timestamptz", AT),
    ("date", date(2027, 3, 14)),
    ("time", time(9, 30)),
    ("bytea", b"\x00\xff"),
    ("bool", True),
    ("float8", 0.5),
]


@pytest.fixture
def database(migrated_database: str) -> Iterator[Database]:
    with Database(migrated_database, application_name="test", size=1) as database:
        yield database


def test_values_come_back_as_they_were_sent_in_whatever_order(database: Database) -> None:
    for _ in range(3):
        for kind, value in [*SENT, *reversed(SENT)]:
            with database.cursor() as cursor:
                assert cursor.execute(f"SELECT %b::{kind}", (value,), prepare=True).fetchall() == [(value,)], kind
    with database.transaction() as cursor:
        for kind, value in SENT:
            cursor.execute(f"SELECT %s::{kind}, 1", (value,))
            assert list(cursor) == [(value, 1)], kind


def test_what_is_known_of_types_outlives_a_statement(database: Database) -> None:
    with database.cursor() as cursor:
        cursor.execute("SELECT %b::uuid[]", (IDS,))
        known = cursor._tx
    with database.transaction() as cursor:
        cursor.execute("SELECT %b::text[]", (["a"],))
        assert cursor._tx is known


def test_neither_a_failed_statement_nor_a_copy_leaves_a_trace(database: Database) -> None:
    with database.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE copied (id bigint, name text)")
    with database.cursor() as cursor, pytest.raises(psycopg.errors.InvalidTextRepresentation):
        cursor.execute("SELECT %s::uuid", ("no uuid",))
    with database.cursor() as cursor, cursor.copy("COPY copied FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["int8", "text"])
        copy.write_row((1, "one"))
    with database.cursor() as cursor:
        assert cursor.execute("SELECT name FROM copied WHERE name = ANY(%b)", (["one"],)).fetchall() == [("one",)]
        assert cursor.execute("SELECT id FROM copied WHERE name = %b AND id = %b", ("one", 1)).fetchall() == [(1,)]
