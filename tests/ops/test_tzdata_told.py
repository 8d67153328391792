"""Do doctor and the metrics say how many messages a new tzdata moved, and may an operator have all derived again?"""

from base64 import b64encode

import psycopg
import pytest

from domain.timezones import TZDATA_VERSION
from ops.cli import main
from tests.api.conftest import Town, town

__all__ = ["town"]
MASTER_KEY = b64encode(bytes(32)).decode()  # the town's


@pytest.fixture
def database_in_use(migrated_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATABASE_URL", migrated_database)
    monkeypatch.setenv("NINEBELL_MASTER_KEY", MASTER_KEY)
    return migrated_database


def moved(dsn: str, messages: int) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO ninebell.moved_by_tzdata VALUES (%s, %s)", (TZDATA_VERSION, messages))


def test_doctor_says_how_many_were_moved(database_in_use: str, capsys: pytest.CaptureFixture[str]) -> None:
    moved(database_in_use, 12)
    main(["doctor"])
    assert f"the rules of {TZDATA_VERSION} have moved 12 pending messages" in capsys.readouterr().out


def test_the_metrics_say_so_too(town: Town, migrated_database: str) -> None:
    moved(migrated_database, 7)
    assert f'ninebell_moved_by_tzdata_messages{{tzdata="{TZDATA_VERSION}"}} 7.0' in town.client.get("/metrics").text


def test_an_operator_asks_and_the_planner_does_it(town: Town, database_in_use: str) -> None:
    with town.store.database.transaction() as cursor:
        town.store.keyring.claim(cursor)
    user_id = town.create()
    town.plan()
    with psycopg.connect(database_in_use) as connection:
        (there,) = connection.execute("DELETE FROM ninebell.occasions WHERE user_id = %s RETURNING 1", (user_id,)).fetchall()
    town.plan()
    with psycopg.connect(database_in_use) as connection:
        assert connection.execute("SELECT 1 FROM ninebell.occasions WHERE user_id = %s", (user_id,)).fetchall() == []
    assert main(["plan", "rederive"]) == 0
    town.plan()
    with psycopg.connect(database_in_use) as connection:
        assert connection.execute("SELECT 1 FROM ninebell.occasions WHERE user_id = %s", (user_id,)).fetchall() == [there]
