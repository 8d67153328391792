"""Does PostgreSQL read every list as what it was?"""

import gc
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.database import Database
from infrastructure.list_dumper import ADAPTERS, OF_KIND

SOME_UUID = UUID("01a20ada-2c00-8de6-b92d-424955cc7619")
AN_INSTANT = datetime(2027, 5, 15, 9, 0, 0, 123_456, tzinfo=UTC)
A_DAY = date(2028, 2, 29)
INSTANTS = st.datetimes(timezones=st.just(UTC))
TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
LISTS = st.one_of(
    st.tuples(st.just("uuid[]"), st.lists(st.none() | st.uuids())),
    st.tuples(st.just("text[]"), st.lists(st.none() | TEXTS)),
    st.tuples(st.just("bytea[]"), st.lists(st.none() | st.binary())),
    st.tuples(st.just("bigint[]"), st.lists(st.none() | st.integers(-(2**63), 2**63 - 1))),
    st.tuples(st.just("int[]"), st.lists(st.none() | st.integers(-(2**31), 2**31 - 1))),
    st.tuples(st.just("timestamptz[]"), st.lists(st.none() | INSTANTS)),
    st.tuples(st.just("bool[]"), st.lists(st.none() | st.booleans())),
    st.tuples(st.just("date[]"), st.lists(st.none() | st.dates())),
)


@pytest.fixture(scope="module")
def connection(postgres_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with Database(postgres_dsn, application_name="lists", size=1) as database, database.connect() as connection:
        yield connection


def read_back(connection: psycopg.Connection[Any], type_name: str, members: list[Any]) -> list[Any]:
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute(f"SELECT %b::{type_name}", (members,)).fetchone()
    assert row is not None
    found: list[Any] = row[0]
    return found


@given(typed=LISTS)
def test_a_list_comes_back_as_it_was(connection: psycopg.Connection[Any], typed: tuple[str, list[Any]]) -> None:
    assert read_back(connection, *typed) == typed[1]


@pytest.mark.parametrize(
    ("type_name", "members"),
    [
        ("uuid[]", [SOME_UUID] * 100),
        ("text[]", ["", "élan", "a\nb"]),
        ("text[]", [None]),
        ("bytea[]", [b"", b"\0\xff"]),
        ("int[]", [-(2**31), 2**31 - 1]),
        ("bigint[]", [0, 2**31]),
        ("timestamptz[]", [AN_INSTANT, datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC)]),
        ("timestamptz[]", [AN_INSTANT.astimezone(timezone(timedelta(hours=-9, minutes=-30)))]),
        ("timestamp[]", [AN_INSTANT.replace(tzinfo=None)]),
        ("date[]", [A_DAY, date(1999, 12, 31), date.min, date.max]),
        ("date[]", [A_DAY, None]),
        ("text[]", [["a", "b"], ["c", "d"]]),
        ("int[]", [[1, 2], [3, 4]]),
    ],
)
def test_members_at_the_edges(connection: psycopg.Connection[Any], type_name: str, members: list[Any]) -> None:
    assert read_back(connection, type_name, members) == members


def test_a_statement_with_lists_of_several_kinds(connection: psycopg.Connection[Any]) -> None:
    lists = ([SOME_UUID, None], [SOME_UUID], ["a"], [None, "a"], [b"a"], [1], [2**40], [AN_INSTANT], [True])
    types = ("uuid[]", "uuid[]", "text[]", "text[]", "bytea[]", "int[]", "bigint[]", "timestamptz[]", "bool[]")
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute("SELECT " + ", ".join(f"%b::{name}" for name in types), lists).fetchone()
    assert row == lists


@pytest.mark.parametrize(
    "members", [[SOME_UUID, "a"], ["a", 1], [1, "a"], [b"a", "a"], [AN_INSTANT, "a"], [A_DAY, AN_INSTANT], [1, None, "a"]]
)
def test_what_psycopg_refuses_is_refused(connection: psycopg.Connection[Any], members: list[Any]) -> None:
    with pytest.raises((psycopg.Error, AttributeError, TypeError)):
        connection.execute("SELECT %b::text[]", (members,))


def test_every_kind_of_ours_is_known_by_its_name_in_postgresql() -> None:
    oids = {psycopg.postgres.types[name].array_oid for name in ("uuid", "text", "bytea", "int4", "timestamptz", "date")}
    assert {dumper.oid for dumper in OF_KIND.values()} == oids


def test_a_statement_leaves_nothing_to_the_collector_of_cycles(connection: psycopg.Connection[Any]) -> None:
    lists = ([SOME_UUID], [None, SOME_UUID], ["a"], [1], [2**40], [AN_INSTANT], [A_DAY])
    types = ("uuid", "uuid", "text", "int", "bigint", "timestamptz", "date")
    statement = "SELECT " + ", ".join(f"%b::{name}[]" for name in types)
    with connection.cursor(binary=True) as cursor:
        gc.collect()
        gc.disable()
        try:
            for _ in range(100):
                cursor.execute(statement, lists)
            assert gc.collect() < 100
        finally:
            gc.enable()


def test_others_connections_are_left_alone() -> None:
    assert ADAPTERS is not psycopg.adapters
    assert psycopg.adapters.get_dumper(list, psycopg.adapt.PyFormat.BINARY).__module__.startswith("psycopg")
