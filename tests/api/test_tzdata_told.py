"""Do doctor and the metrics say how many messages a new tzdata moved, and may an operator have all derived again?"""

from base64 import b64encode
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from application.ports import Group, NewEvents, Origin
from domain.scheduled_message import MessageRescheduled
from domain.timezones import TZDATA_VERSION
from ops.cli import main
from tests.api.conftest import NOW, Town

MASTER_KEY = b64encode(bytes(32)).decode()  # the town's


@pytest.fixture
def database_in_use(town_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATABASE_URL", town_database)
    monkeypatch.setenv("NINEBELL_MASTER_KEY", MASTER_KEY)
    return town_database


def moved(dsn: str, messages: int) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO ninebell.moved_by_tzdata VALUES (%s, %s)", (TZDATA_VERSION, messages))


def test_doctor_says_how_many_were_moved(database_in_use: str, capsys: pytest.CaptureFixture[str]) -> None:
    moved(database_in_use, 12)
    main(["doctor"])
    said = capsys.readouterr().out
    assert f"the rules of {TZDATA_VERSION} have moved 12 pending messages" in said
    assert "GET /v1/messages?reason=tzdata&status=scheduled" in said


def test_the_query_that_doctor_names_lists_those_that_were_moved(town: Town) -> None:
    moved_one, other = town.message_of(town.create()), town.message_of(town.create(external_id="crm-2"))
    by_new_rules = MessageRescheduled(
        message_type="BIRTHDAY",
        timezone=moved_one["timezone"],
        due_at=datetime.fromisoformat(moved_one["due_at"]) + timedelta(hours=1),
        reason="tzdata",
        rule="plain",
        tzdata="2099a",
    )
    group = Group((NewEvents("messages", UUID(moved_one["id"]), 1, (by_new_rules,)),))
    assert not town.store.append([group], Origin("planner"), NOW).lost
    town.project()
    listed = town.client.get("/v1/messages?reason=tzdata&status=scheduled").json()["items"]
    assert [(one["id"], one["reason"]) for one in listed] == [(moved_one["id"], "tzdata")]
    assert other["id"] not in str(listed)


def test_the_metrics_say_so_too(town: Town, town_database: str) -> None:
    moved(town_database, 7)
    assert f'ninebell_moved_by_tzdata_messages{{tzdata="{TZDATA_VERSION}"}} 7.0' in town.client.get("/metrics").text


def test_before_anything_was_moved_the_metrics_say_0_so_that_a_rise_is_seen(town: Town) -> None:
    assert f'ninebell_moved_by_tzdata_messages{{tzdata="{TZDATA_VERSION}"}} 0.0' in town.client.get("/metrics").text


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
