"""Are pauses kept with who, why and when, and does a worker see them in time?"""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from application.pause_sending import EVERYTHING, Pause
from infrastructure import pauses as watching
from infrastructure.database import Database
from infrastructure.pauses import PostgresPauses, WatchedPostgresPauses

AT = datetime(2027, 5, 15, 8, tzinfo=UTC)
LATER = datetime(2027, 5, 15, 9, tzinfo=UTC)


@pytest.fixture
def pool(migrated_database: str) -> Iterator[Database]:
    with Database(migrated_database, application_name="pauses", size=2) as pool:
        yield pool


def test_a_pause_lasts_until_it_is_resumed_and_both_are_kept(pool: Database) -> None:
    pauses = PostgresPauses(pool)
    first, everything = Pause("sink", "cli", "wrong texts", AT), Pause(EVERYTHING, "cli", "all of it", LATER)
    assert pauses.begin(first)
    assert not pauses.begin(Pause("sink", "bob", "again", LATER))
    assert pauses.begin(everything)
    assert pauses.open() == [first, everything]
    assert pauses.end(Pause("sink", "bob", "fixed", LATER))
    assert not pauses.end(Pause("sink", "bob", "fixed", LATER))
    assert pauses.open() == [everything]
    assert pauses.begin(Pause("sink", "cli", "once more", LATER))
    with pool.connect() as connection:
        row = connection.execute("SELECT who, reason, at, resumed_by, resumed_because, resumed_at FROM pauses WHERE number = 1")
        assert row.fetchone() == ("cli", "wrong texts", AT, "bob", "fixed", LATER)


async def test_a_worker_sees_a_pause_and_its_end_as_soon_as_it_looks_again(
    pool: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses, watched = PostgresPauses(pool), WatchedPostgresPauses(pool)
    assert not await watched.current()
    pauses.begin(Pause("sink", "cli", "wrong texts", AT))
    assert not await watched.current(), "looked at every call"
    monkeypatch.setattr(watching, "LOOK_EVERY_SECONDS", 0)
    while not await watched.current():
        assert watched._reading
        await watched._reading
    assert list(await watched.current()) == ["sink"]


async def test_a_worker_that_has_not_looked_for_long_looks_first(pool: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses, watched = PostgresPauses(pool), WatchedPostgresPauses(pool)
    await watched.current()
    pauses.begin(Pause("sink", "cli", "wrong texts", AT))
    monkeypatch.setattr(watching, "LOOK_EVERY_SECONDS", 0)
    monkeypatch.setattr(watching, "TOO_OLD_SECONDS", 0)
    assert list(await watched.current()) == ["sink"]


async def test_without_the_database_what_was_known_holds_on(pool: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses, watched = PostgresPauses(pool), WatchedPostgresPauses(pool)
    pauses.begin(Pause("sink", "cli", "wrong texts", AT))
    await watched.current()
    pool.close()
    monkeypatch.setattr(watching, "LOOK_EVERY_SECONDS", 0)
    monkeypatch.setattr(watching, "TOO_OLD_SECONDS", 0)
    assert list(await watched.current()) == ["sink"]
