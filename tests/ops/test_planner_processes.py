"""Do processes beside the planner plan what it would, and what if one of them is killed?"""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from multiprocessing import active_children
from multiprocessing.process import BaseProcess

import pytest

from infrastructure.event_log import TABLES
from ops import planner_processes
from ops.at_hand import at_hand
from ops.bench.people import crowd, register
from ops.planner_processes import PageFailed, PlannerProcesses
from ops.settings import read_settings
from ops.wiring import Parts, planner

PEOPLE = 6_500
ZONES = ("Asia/Tokyo", "Europe/Berlin")
ENOUGH_SECONDS = 20
AT_WORK = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'ninebell planner page' AND xact_start IS NOT NULL AND datname = current_database()"""


@pytest.fixture
def parts(migrated_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    monkeypatch.setenv("DATABASE_URL", migrated_database)
    monkeypatch.setenv("NINEBELL_MASTER_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    monkeypatch.setattr(planner_processes, "WORTH_PROCESSES_EVENTS", 2_000)
    with at_hand(read_settings(), "test") as opened:
        now = opened.clock.now()
        due_at = (now + timedelta(hours=6)).replace(microsecond=0)
        assert register(opened, crowd(PEOPLE, due_at, ZONES), now, lambda _: None) == PEOPLE
        yield opened


def start(processes: PlannerProcesses) -> None:
    """And wait for them, as a planner does not."""
    processes.start()
    while not processes.started:
        time.sleep(0.01)


def until_all_have_a_page(parts: Parts) -> None:
    with parts.database.cursor() as cursor:
        while cursor.execute(AT_WORK).fetchall() != [(2,)]:
            time.sleep(0.001)


def standing_still() -> BaseProcess:
    """One of them, from now on."""
    frozen = active_children()[0]
    os.kill(frozen.pid or 0, signal.SIGSTOP)
    return frozen


def assert_planned_once(parts: Parts) -> None:
    with parts.database.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM messages), (SELECT count(DISTINCT originator_id) FROM messages),"
            " (SELECT count(DISTINCT user_id) FROM planned), (SELECT count(DISTINCT user_id) FROM occasions)"
        )
        assert cursor.fetchall() == [(PEOPLE,) * 4]


def test_they_plan_the_whole_pages_and_the_planner_the_rest(parts: Parts) -> None:
    with PlannerProcesses(parts, lambda: None, processes=2) as processes:
        start(processes)
        assert processes.ahead(PEOPLE, parts.clock.now())
        assert parts.store.head().messages == PEOPLE // 1000 * 1000
        alone = planner(parts, lambda: None, processes.ahead)
        while alone.step(parts.clock.now()):
            pass
        assert_planned_once(parts)
        assert len(active_children()) == 2
    assert not active_children()


def test_one_that_is_killed_takes_nothing_with_it(parts: Parts) -> None:
    with PlannerProcesses(parts, lambda: None, processes=2) as processes:
        start(processes)
        with ThreadPoolExecutor(1) as beside, pytest.raises(PageFailed):
            planning = beside.submit(processes.ahead, PEOPLE, parts.clock.now())
            while not parts.store.head().messages:
                time.sleep(0.001)
            os.kill(active_children()[0].pid or 0, signal.SIGKILL)
            planning.result()
        assert 0 < parts.store.head().messages < PEOPLE
        assert not processes.ahead(PEOPLE, parts.clock.now())
        assert not active_children(), "what ended one may end the next: the planner goes on alone for a while"
        going_on = planner(parts, lambda: None, processes.ahead)
        while going_on.step(parts.clock.now()):
            pass
        assert_planned_once(parts)


def test_one_that_stands_still_is_ended_and_the_planner_goes_on_alone(parts: Parts) -> None:
    with PlannerProcesses(parts, lambda: None, processes=2, silent_seconds=1) as processes, ThreadPoolExecutor(1) as beside:
        start(processes)
        with parts.database.transaction() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            TABLES["messages"].lock(cursor)
            planning = beside.submit(processes.ahead, PEOPLE, parts.clock.now())
            until_all_have_a_page(parts)
            frozen = standing_still()
        try:
            with pytest.raises(PageFailed):
                planning.result(ENOUGH_SECONDS)
        finally:
            frozen.kill()
        assert not processes.ahead(PEOPLE, parts.clock.now())
        assert not active_children()
        going_on = planner(parts, lambda: None, processes.ahead)
        while going_on.step(parts.clock.now()):
            pass
        assert_planned_once(parts)


def test_one_that_stands_still_does_not_keep_the_planner_from_ending(parts: Parts) -> None:
    with ThreadPoolExecutor(1) as beside:
        processes = PlannerProcesses(parts, lambda: None, processes=2, silent_seconds=1)
        start(processes)
        frozen = standing_still()
        try:
            beside.submit(processes.__exit__, None, None, None).result(ENOUGH_SECONDS)
            assert not active_children()
        finally:
            frozen.kill()


def test_they_are_let_go_when_nothing_is_left_to_do(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    with PlannerProcesses(parts, lambda: None, processes=2) as processes:
        start(processes)
        monkeypatch.setattr(planner_processes, "IDLE_SECONDS", 0.0)
        assert not processes.ahead(0, parts.clock.now())
        assert not active_children()


def test_what_fails_in_one_is_told_by_its_kind_and_place(parts: Parts, capfd: pytest.CaptureFixture[str]) -> None:
    with parts.database.cursor() as cursor:
        cursor.execute("ALTER TABLE planned RENAME TO gone")
    with PlannerProcesses(parts, lambda: None, processes=2) as processes:
        start(processes)
        with pytest.raises(PageFailed, match="UndefinedTable"):
            processes.ahead(PEOPLE, parts.clock.now())
    [line] = [line for line in capfd.readouterr().err.splitlines() if '"page":"0-1000"' in line]
    assert "planner_tables.py:" in line
