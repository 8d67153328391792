"""Are there never more places at an address than there may be, whoever asks, at once or again?"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import Cursor

from application.address_cap import AddressesWrittenTo, Place
from infrastructure.addresses_written_to import PostgresAddresses
from infrastructure.database import Database, Row
from infrastructure.keyring import Keyring
from tests.fake_addresses import FakeAddresses
from tests.servers import wait_until
from tests.store_stage import MASTER_KEY

DAY = date(2027, 5, 15)


@pytest.fixture
def pool(migrated_database: str) -> Iterator[Database]:
    with Database(migrated_database, application_name="test") as pool:
        yield pool


@pytest.fixture(params=["fake", "postgres"])
def addresses(request: pytest.FixtureRequest) -> AddressesWrittenTo:
    return FakeAddresses() if request.param == "fake" else on_postgres(request.getfixturevalue("pool"))


def on_postgres(pool: Database) -> PostgresAddresses:
    return PostgresAddresses(pool, Keyring(MASTER_KEY))


def place(message_id: UUID | None = None, **other: Any) -> Place:
    known: dict[str, Any] = {"message_type": "BIRTHDAY", "day": DAY, "address": "ada@example.com", "most": 1, "in_doubt": False}
    return Place(message_id=message_id or uuid4(), **known | other)


def test_the_first_that_ask_have_the_places(addresses: AddressesWrittenTo) -> None:
    first, second, third = place(most=2), place(most=2), place(most=2)
    assert addresses.take([first, second, third]) == {third.message_id}
    assert addresses.take([place(most=2)]) != set()


def test_a_message_keeps_its_place_and_counts_once(addresses: AddressesWrittenTo) -> None:
    mine = place(most=2)
    for _ in range(3):
        assert addresses.take([mine]) == set()
    other, late = place(most=2), place(most=2)
    assert addresses.take([other]) == set()
    assert addresses.take([late, mine, other]) == {late.message_id}


def test_a_message_that_was_refused_is_refused_again(addresses: AddressesWrittenTo) -> None:
    mine, refused = place(), place()
    assert addresses.take([mine]) == set()
    assert addresses.take([refused]) == addresses.take([refused]) == {refused.message_id}


def test_another_type_day_or_address_has_places_of_its_own(addresses: AddressesWrittenTo) -> None:
    others = [place(message_type="ANNIVERSARY"), place(day=date(2027, 5, 16)), place(address="bea@example.com")]
    assert addresses.take([place(), *others]) == set()


def test_an_address_is_the_same_however_it_is_cased(addresses: AddressesWrittenTo) -> None:
    second = place(address="ADA@Example.COM")
    assert addresses.take([place(), second]) == {second.message_id}


def test_a_message_in_doubt_has_its_place_before_all_others(addresses: AddressesWrittenTo) -> None:
    fresh, doubtful = place(), place(in_doubt=True)
    assert addresses.take([fresh, doubtful]) == {fresh.message_id}
    assert addresses.take([place(in_doubt=True)]) == set()


def test_places_of_earlier_days_are_forgotten(addresses: AddressesWrittenTo) -> None:
    before, after = place(day=date(2027, 5, 14)), place()
    assert addresses.take([before, after]) == set()
    addresses.forget(DAY)
    assert addresses.take([place(day=date(2027, 5, 14))]) == set()
    assert addresses.take([place()]) != set()


def test_nothing_asked_is_nothing_refused(addresses: AddressesWrittenTo) -> None:
    assert addresses.take([]) == set()


def test_workers_that_ask_at_once_have_no_more_places_between_them(addresses: AddressesWrittenTo) -> None:
    asked = [[place(most=3) for _ in range(5)] for _ in range(16)]
    with ThreadPoolExecutor(8) as workers:
        refused = set[UUID]().union(*workers.map(addresses.take, asked))
    assert len(refused) == 5 * 16 - 3


class SlowToCommit(Database):
    """Stops before each commit until it may go on."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, application_name="slow", shared=False)
        self.stands, self.may_commit = threading.Event(), threading.Event()

    @contextmanager
    def transaction(self) -> Iterator[Cursor[Row]]:
        with super().transaction() as cursor:
            yield cursor
            self.stands.set()
            assert self.may_commit.wait(30)


def test_what_another_worker_has_taken_and_not_yet_committed_counts(pool: Database, migrated_database: str) -> None:
    mine, late = place(), place()
    with SlowToCommit(migrated_database) as slow, ThreadPoolExecutor(2) as workers:
        first = workers.submit(on_postgres(slow).take, [mine])
        assert slow.stands.wait(30)
        second = workers.submit(on_postgres(pool).take, [late])
        wait_until(lambda: second.done() or waits(pool), None, "the second worker's wait")
        slow.may_commit.set()
        assert (first.result(), second.result()) == (set(), {late.message_id})


def waits(pool: Database) -> bool:
    """Whether somebody waits for their turn."""
    with pool.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database AND datname = current_database()"
            " WHERE locktype = 'advisory' AND NOT granted"
        )
        return bool(cursor.fetchall())


def test_the_table_names_nobody(pool: Database) -> None:
    on_postgres(pool).take([place()])
    with pool.cursor() as cursor:
        [row] = cursor.execute("SELECT * FROM addresses_written_to").fetchall()
    said = b" ".join(cell if isinstance(cell, bytes) else str(cell).encode() for cell in row).lower()
    assert b"ada@" not in said
    assert b"example" not in said
    assert Keyring(MASTER_KEY).address_hash("ADA@example.com") in row
    assert Keyring(MASTER_KEY).external_id_hash("ada@example.com") not in row
    assert Keyring(bytes(32)).address_hash("ada@example.com") not in row
