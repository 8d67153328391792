"""Are pages of the users log that are planned side by side planned as one after another?"""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from application.plan_messages import Planner
from application.planner_ports import PlannerWork
from application.ports import Begin, PositionLost
from domain.user import BirthdayChanged, UserRenamed
from infrastructure import planner_pages
from infrastructure.planner_pages import Page, PostgresPageWork
from infrastructure.work import begin_work
from tests.planner_scene import BIRTHDAY, EVE, LATER, NEXT_DAY, TYPES, PostgresScene, ada, interrupted, postgres_scene

FIRST, SECOND = Page(settled=0, after=0, until=2, now=EVE), Page(settled=0, after=2, until=4, now=EVE)
A_WHILE = 0.3  # in which a page that does not wait is long over


@pytest.fixture
def scene(database_with_months: str) -> Iterator[PostgresScene]:
    with postgres_scene(database_with_months) as opened:
        yield opened


def begin(scene: PostgresScene, page: Page) -> Begin[PlannerWork]:
    return partial(begin_work, scene.store, partial(PostgresPageWork, page=page), "planner", None)


def plan(scene: PostgresScene, page: Page) -> bool:
    return Planner(begin(scene, page), TYPES).follow_users(page.now)


def told(scene: PostgresScene) -> list[object]:
    """Whose message was scheduled, in the log's order."""
    with scene.store.database.connect() as connection:
        return [row[0] for row in connection.execute("SELECT originator_id FROM messages ORDER BY notification_id")]


def test_a_page_waits_for_the_one_before_it(scene: PostgresScene) -> None:
    lives = [ada(scene) for _ in range(4)]
    with ThreadPoolExecutor(1) as beside:
        later = beside.submit(plan, scene, SECOND)
        time.sleep(A_WHILE)
        assert not later.done()
        assert told(scene) == []
        plan(scene, FIRST)
        later.result()
    ids = [life.id_of(BIRTHDAY) for life in lives]
    assert set(told(scene)[:2]) == set(ids[:2])
    assert set(told(scene)[2:]) == set(ids[2:])
    with scene.begin() as work:
        todo = work.todo(BIRTHDAY)
    assert (todo.users_behind, todo.messages_moved) == (0, False)


def test_a_page_is_read_and_decided_while_the_one_before_is_not_committed(scene: PostgresScene) -> None:
    lives = [ada(scene) for _ in range(4)]
    first_planned = interrupted(begin(scene, SECOND), partial(plan, scene, FIRST))
    Planner(first_planned, TYPES).follow_users(EVE)
    assert [life.seen(BIRTHDAY) for life in lives] == ["scheduled"] * 4


def test_a_page_whose_turn_does_not_come_keeps_nothing(scene: PostgresScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner_pages, "TURN_SECONDS", A_WHILE)
    for _ in range(4):
        ada(scene)
    with pytest.raises(PositionLost):
        plan(scene, SECOND)
    assert told(scene) == []
    plan(scene, FIRST)
    plan(scene, SECOND)
    with pytest.raises(PositionLost):
        plan(scene, SECOND)
    assert len(told(scene)) == 4


def test_what_a_page_before_plans_of_somebody_is_seen_whole(scene: PostgresScene) -> None:
    """As in one page after another: else both the old and the new date would be planned for a while."""
    life = ada(scene)
    life.say(UserRenamed("Ada", "King"), BirthdayChanged("1990-05-15"), at=EVE)
    first, second = Page(settled=0, after=0, until=1, now=EVE), Page(settled=0, after=1, until=3, now=LATER)
    with ThreadPoolExecutor(1) as beside:
        ends: list[Future[bool]] = []

        def moved_meanwhile() -> None:
            life.say(BirthdayChanged("1990-05-16"), at=LATER)
            ends.append(beside.submit(plan, scene, second))
            time.sleep(A_WHILE)

        Planner(interrupted(begin(scene, first), moved_meanwhile), TYPES).follow_users(EVE)
        ends[0].result()
    assert (life.seen(BIRTHDAY), life.seen(NEXT_DAY)) == ("cancelled birthday_changed", "scheduled")


def test_a_page_ends_where_it_was_to_end_though_a_failed_transaction_took_its_last_positions(scene: PostgresScene) -> None:
    ada(scene)
    with scene.store.database.connect() as connection:
        connection.execute("SELECT nextval('users_position'), nextval('users_position')")
    last = ada(scene)
    plan(scene, FIRST)
    plan(scene, SECOND)
    assert last.seen(BIRTHDAY) == "scheduled"
