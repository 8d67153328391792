"""Who holds a key, is it made only once, and is it kept nowhere?"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import psycopg
import pytest

from application.ports import StoreUnavailable
from infrastructure.api_keys import ApiKeys
from infrastructure.database import Database


@pytest.fixture
def database(migrated_database: str) -> Iterator[Database]:
    with Database(migrated_database, application_name="test") as opened:
        yield opened


def test_a_key_is_made_at_the_first_start_and_told_once(database: Database) -> None:
    made = ApiKeys(database).ensure_key(None)
    assert made is not None
    assert len(made) >= 43
    assert ApiKeys(database).ensure_key(None) is None
    assert ApiKeys(database).name_of(made) == "default"


def test_the_key_given_at_the_first_start_is_the_key(database: Database) -> None:
    keys = ApiKeys(database)
    assert keys.ensure_key("given") is None
    assert keys.ensure_key("another") is None
    assert (keys.name_of("given"), keys.name_of("another")) == ("default", None)


def test_a_key_that_is_reset_stands_in_the_place_of_all_there_were(database: Database) -> None:
    keys = ApiKeys(database)
    keys.ensure_key("given")
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO api_keys (name, hash) VALUES ('second', %s)", (sha256(b"second").digest(),))
    made = keys.reset()
    assert [ApiKeys(database).name_of(key) for key in (made, "given", "second")] == ["default", None, None]
    assert ApiKeys(database).ensure_key(None) is None


def test_of_several_that_reset_at_once_the_last_counts(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ApiKeys(database).reset(), range(8)))
    assert [ApiKeys(database).name_of(key) for key in made].count("default") == 1


@pytest.mark.parametrize("key", ["", "give", "given ", "GIVEN", "\udcff", "gïven"])
def test_nothing_but_the_key_is_known(database: Database, key: str) -> None:
    keys = ApiKeys(database)
    keys.ensure_key("given")
    assert keys.name_of(key) is None


def test_of_first_starts_at_once_one_makes_the_key(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [key for key in pool.map(lambda _: ApiKeys(database).ensure_key(None), range(8)) if key]
    assert len(made) == 1
    assert ApiKeys(database).name_of(made[0]) == "default"


def test_the_key_is_kept_nowhere(database: Database, migrated_database: str) -> None:
    made = ApiKeys(database).ensure_key(None)
    assert made is not None
    with psycopg.connect(migrated_database) as other:
        ((row,),) = other.execute("SELECT api_keys::text FROM ninebell.api_keys").fetchall()
    assert made not in row
    assert made.encode().hex() not in row


def test_while_the_database_is_away_a_known_key_still_counts(database: Database) -> None:
    keys = ApiKeys(database)
    keys.ensure_key("given")
    assert keys.name_of("given") == "default"
    database.close()
    keys._read_again_at = 0.0
    assert (keys.name_of("given"), keys.name_of("other")) == ("default", None)
    with pytest.raises(StoreUnavailable):
        ApiKeys(database).name_of("given")


def test_while_one_caller_waits_for_the_database_nobody_else_does(database: Database) -> None:
    keys = ApiKeys(database)
    keys.ensure_key("given")
    assert keys.name_of("given") == "default"
    keys._read_again_at = 0.0
    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as locking:
            locking.execute("LOCK TABLE api_keys")
            first = pool.submit(keys.name_of, "given")
            while not locking.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall():
                pass
            assert (keys.name_of("given"), keys.name_of("other"), first.done()) == ("default", None, False)
        assert first.result() == "default"


def test_who_waited_for_another_that_found_no_database_does_not_try_in_turn(database: Database) -> None:
    tried: list[str] = []

    class Trying(ApiKeys):
        def _read(self) -> dict[str, bytes]:
            tried.append("tried")
            return super()._read()

    keys = Trying(database)
    with ThreadPoolExecutor(8) as pool:
        with database.transaction() as locking:
            locking.execute("LOCK TABLE api_keys")
            asking = [pool.submit(keys.name_of, "given") for _ in range(8)]
            while not (found := locking.execute("SELECT pid FROM pg_locks WHERE NOT granted").fetchall()):
                pass
            locking.execute("SELECT pg_terminate_backend(%s)", found[0])
            database.close()
        assert {type(one.exception()) for one in asking} == {StoreUnavailable}
    assert 1 <= len(tried) < 8


def test_a_key_that_is_taken_away_is_soon_forgotten(database: Database) -> None:
    keys = ApiKeys(database)
    keys.ensure_key("given")
    assert keys.name_of("given") == "default"
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM api_keys")
    keys._read_again_at = 0.0
    assert keys.name_of("given") is None
