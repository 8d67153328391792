"""Do zones come from the pinned package alone, and do planned messages follow when it changes? (case 7)"""

import os
import subprocess
import sys
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path

import pytest

from application.planner_ports import PlannedMessage
from domain.scheduled_message import MessageRescheduled
from domain.timezones import TZDATA_VERSION
from infrastructure.derivation_tables import moved_by_tzdata
from tests.calendar_cases.page import instant, vectors
from tests.planner_scene import EVE, Life, Scene, postgres_scene

ROOT = Path(__file__).parents[2]
BY_THE_SYSTEM = """
from datetime import datetime, UTC
from zoneinfo import ZoneInfo
print(datetime(2026, 12, 15, 9, tzinfo=ZoneInfo("America/Edmonton")).astimezone(UTC).hour)
"""
BY_US = """
from datetime import UTC, date, time
from domain.send_time import due_instant
print(due_instant(date(2026, 12, 15), time(9), "America/Edmonton").due_at.hour)
"""


def hours_printed(program: str, planted: Path) -> list[int]:
    environment = os.environ | {"TZDIR": str(planted), "PYTHONTZPATH": str(planted), "TZ": "America/Edmonton"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A system's zone directory in which Edmonton keeps the time of Tokyo."""
    tokyo = files("tzdata").joinpath("zoneinfo", "Asia", "Tokyo").read_bytes()
    (tmp_path / "America").mkdir()
    (tmp_path / "America" / "Edmonton").write_bytes(tokyo)
    return tmp_path


def test_case_07_a_wrong_system_tzdata_is_not_read(planted: Path) -> None:
    assert hours_printed(BY_THE_SYSTEM, planted) == [0]  # the trap is real: whoever asks the system gets Tokyo's time
    assert hours_printed(BY_US, planted) == [15]


def test_case_07_not_even_if_somebody_loaded_it_before_us(planted: Path) -> None:
    assert hours_printed(BY_THE_SYSTEM + BY_US, planted) == [0, 15]


def planned_under(life: Life, tzdata: str, occasion: date) -> None:
    """The planner's own row says that an older planner made it."""
    row = PlannedMessage(life.user_id, "BIRTHDAY", occasion, life.id_of(occasion), tzdata=tzdata, type_version=1)
    with life.scene.begin() as work:
        work.put_planned([row])


def moved_by_old_rules(life: Life, occasion: date, due: str, tzdata: str) -> None:
    """The stream says what an older planner would have said."""
    known = life.message(occasion)
    assert known
    words = {"message_type": "BIRTHDAY", "timezone": known.timezone, "due_at": instant(due)}
    old = MessageRescheduled(**words, reason="zone_moved", rule="plain", tzdata=tzdata)  # type: ignore[arg-type]
    life.scene.tell("messages", life.id_of(occasion), old, at=EVE, who="planner")
    planned_under(life, tzdata, occasion)


@pytest.mark.parametrize(("timezone", "occasion", "tzdata", "planned", "becomes", "due"), vectors("An upgrade of tzdata"))
def test_after_an_upgrade(scene: Scene, timezone: str, occasion: str, tzdata: str, planned: str, becomes: str, due: str) -> None:
    day, eve = date.fromisoformat(occasion), instant(occasion) - timedelta(days=1)
    life = Life(scene, eve, birthday="1990-12-15", timezone=timezone)
    life.plan(eve)
    if instant(planned) == instant(due):
        planned_under(life, tzdata, day)
    else:
        moved_by_old_rules(life, day, planned, tzdata)

    life.plan(eve)

    message = life.message(day)
    assert message
    assert (life.seen(day), message.due_at, message.tzdata) == (becomes, instant(due), TZDATA_VERSION)
    with scene.begin() as work:
        assert [row.tzdata for row in work.planned([life.user_id], day)] == [TZDATA_VERSION]


def test_case_07_what_an_upgrade_moved_is_counted(database_with_months: str) -> None:
    day, eve = date(2026, 12, 15), instant("2026-12-14")
    with postgres_scene(database_with_months) as scene:
        for timezone in ("America/Edmonton", "Canada/Mountain", "Europe/London"):
            life = Life(scene, eve, birthday="1990-12-15", timezone=timezone)
            life.plan(eve)
            due = life.message(day).due_at  # type: ignore[union-attr]
            moved_by_old_rules(life, day, f"{due + timedelta(hours=timezone != 'Europe/London')}"[:19], "2025b")
        life.plan(eve)
        assert moved_by_tzdata(scene.store.database) == {TZDATA_VERSION: 2}
