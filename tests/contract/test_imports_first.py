"""Does a follower that is behind let an import pass, and not for ever?"""

from collections.abc import Generator, Iterator
from datetime import UTC, datetime

import pytest

from application.ports import Origin
from infrastructure.event_store import PostgresEventStore
from infrastructure.import_staging import PostgresStaging
from infrastructure.imports_first import IMPORTS, LONGEST_SECONDS, GivingWay
from infrastructure.watchdog import LONGEST_HOLD_SECONDS, Watchdog
from tests.contract.test_import_staging import person
from tests.store_stage import open_store

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(migrated_database: str) -> Iterator[PostgresEventStore]:
    with open_store(migrated_database) as opened:
        yield opened


def applied(store: PostgresEventStore) -> Generator[None]:
    """Whoever goes on with it is past: an upload; people who are registered; the end of the import."""
    with PostgresStaging(store, Origin("key:crm"), NOW) as staging:
        for line in (2, 3):
            staging.put([person(line, str(line))], register=True)
        yield
        for _ in staging.last_lines():
            yield


def until_its_session_has_ended(store: PostgresEventStore) -> None:
    """The server notices a little later that it was closed."""
    with store.database.transaction() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (IMPORTS,))


def behind(store: PostgresEventStore) -> GivingWay:
    follower = GivingWay(store.database)
    assert follower.went_on(more=True)
    return follower


def test_who_is_behind_gives_way_while_people_are_registered_and_not_while_they_are_uploaded(store: PostgresEventStore) -> None:
    follower = behind(store)
    due = [follower.due(at) for at, _ in enumerate(applied(store))]
    assert due == [False, True, True]
    until_its_session_has_ended(store)
    assert not follower.due(9.0)


def test_who_has_nothing_more_to_do_goes_on_with_what_comes(store: PostgresEventStore) -> None:
    follower = behind(store)
    assert not follower.went_on(more=False)
    assert [follower.due(at) for at, _ in enumerate(applied(store))] == [False, False, False]


def test_nobody_gives_way_for_longer_than_half_a_minute_until_caught_up(store: PostgresEventStore) -> None:
    follower, importing = behind(store), applied(store)
    next(importing)
    next(importing)
    last = 5.0 + LONGEST_SECONDS
    assert [follower.due(at) for at in (5.0, last - 1, last, last + 1)] == [True, True, False, False]
    follower.went_on(more=True)
    assert not follower.due(100.0)
    follower.went_on(more=False)
    follower.went_on(more=True)
    assert follower.due(101.0)
    importing.close()
    until_its_session_has_ended(store)
    assert not follower.due(102.0)


def test_an_import_that_goes_on_for_long_is_not_taken_for_a_writer_that_stands_still(store: PostgresEventStore) -> None:
    importing, watchdog = applied(store), Watchdog(store.database)
    next(importing)
    next(importing)
    assert behind(store).due(0.0)
    assert [watchdog.step(at) for at in (0.0, LONGEST_HOLD_SECONDS, 2 * LONGEST_HOLD_SECONDS)] == [[], [], []]
    assert len(list(importing)) == 1
