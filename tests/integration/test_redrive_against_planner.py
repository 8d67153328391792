"""The planner plans a moved date while an operator redrives the old one: does the year still get one message?"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import pytest

from application.planner_ports import PlannerWork
from application.ports import Begin, Origin
from application.redrive_messages import Redrive, redrive_message
from domain.errors import Refusal, YearTaken
from domain.user import BirthdayChanged
from tests.planner_scene import BIRTHDAY, EVE, LATER, NEXT_DAY, Life, PostgresScene, ada, interrupted, postgres_scene
from tests.servers import wait_until

SOON = LATER + timedelta(minutes=1)
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def scene(database_with_months: str) -> Iterator[PostgresScene]:
    with postgres_scene(database_with_months, patient=True) as scene:
        yield scene


def given_up(scene: PostgresScene) -> Life:
    """The message of May 15 is in the dead letter."""
    life = ada(scene)
    life.plan(EVE)
    life.becomes("abandoned", BIRTHDAY, EVE)
    return life


def moves(life: Life) -> Life:
    """The birthday is May 16 by now, and the planner has not looked yet."""
    life.say(BirthdayChanged("1990-05-16"), at=LATER)
    return life


def all_move(lives: Sequence[Life]) -> None:
    for life in lives:
        moves(life).plan(SOON)


def redrive(life: Life, begin: Begin[PlannerWork] | None = None) -> Refusal | None:
    try:
        redrive_message(life.id_of(BIRTHDAY), Redrive(), begin or life.scene.begin, life.types, Origin("cli"), SOON)
    except Refusal as refusal:
        return refusal
    return None


def standing(life: Life) -> list[str]:
    seen = {"15": life.message(BIRTHDAY), "16": life.message(NEXT_DAY)}
    return [day for day, message in seen.items() if message and message.pending]


def waits_for_a_lock(scene: PostgresScene) -> bool:
    with scene.store.database.connect() as connection:
        return connection.execute(WAITING).fetchall() == [(1,)]


def meanwhile(scene: PostgresScene, started: list[Future[object]], other: Callable[[], object]) -> Begin[PlannerWork]:
    """Works of whoever was first: between their reading and their writing the other comes, as far as the lock."""

    def comes() -> None:
        threads = ThreadPoolExecutor(1)
        started.append(threads.submit(other))
        threads.shutdown(wait=False)
        wait_until(lambda: waits_for_a_lock(scene), None, "the other to wait")

    return interrupted(scene.begin, comes)


def test_a_redrive_waits_for_the_planner_and_finds_the_year_taken(scene: PostgresScene) -> None:
    life = moves(given_up(scene))
    redriving: list[Future[object]] = []
    life.plan(SOON, meanwhile(scene, redriving, lambda: redrive(life)))
    assert isinstance(redriving[0].result(), YearTaken)
    assert standing(life) == ["16"]


def test_the_planner_waits_for_a_redrive_and_plans_around_it(scene: PostgresScene) -> None:
    life = moves(given_up(scene))
    planning: list[Future[object]] = []
    assert redrive(life, meanwhile(scene, planning, lambda: life.plan(SOON))) is None
    planning[0].result()
    assert life.story(BIRTHDAY)[-2:] == ["MessageRedriven", "MessageCancelled birthday_changed"]
    assert standing(life) == ["16"]


def test_whoever_is_faster_each_year_gets_one_message(scene: PostgresScene) -> None:
    lives = [given_up(scene) for _ in range(30)]
    with ThreadPoolExecutor(3) as threads:
        planning = threads.submit(all_move, lives)
        refused = list(threads.map(redrive, lives))
        planning.result()
    assert [standing(life) for life in lives] == [["16"]] * 30
    assert all(refusal is None or isinstance(refusal, YearTaken) for refusal in refused)
