"""What one person's facts break, does the planner leave alone, show, and plan everybody else?"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from application.plan_messages import Planner
from application.planner_ports import PlannerWork
from application.ports import Appended, Begin, Group, Origin
from domain.message_type import MessageTypes
from domain.message_types.birthday import BIRTHDAY as BIRTHDAY_TYPE
from domain.user import BirthdayChanged, TimezoneChanged, UserErased
from tests.application.test_parked_types import Fragile, broken
from tests.planner_scene import BIRTHDAY, EVE, LATER, NEXT_DAY, Life, Scene, ada, utc

PARIS = TimezoneChanged("Europe/Paris")


class TestAPersonWhoCannotBeRead:
    def test_the_others_of_the_same_batch_are_planned(self, scene: Scene) -> None:
        broken, bob = ada(scene), ada(scene)
        scene.breaks("users", broken.user_id, EVE)
        bob.plan(EVE)
        assert (broken.seen(BIRTHDAY), bob.seen(BIRTHDAY)) == ("nothing", "scheduled")
        assert ("users", broken.user_id) in scene.left_alone()

    def test_the_sweep_goes_on_beyond(self, scene: Scene) -> None:
        broken, bob = ada(scene, birthday="1990-09-15"), ada(scene, birthday="1990-09-15")
        bob.plan(EVE)
        scene.breaks("users", broken.user_id, EVE)
        september = date(2027, 9, 15)
        bob.plan(utc("2027-09-14 00:00"))
        assert (broken.seen(september), bob.seen(september)) == ("nothing", "scheduled")

    def test_other_types_are_followed_by_everybody_else(self, scene: Scene) -> None:
        broken, bob = ada(scene), ada(scene)
        bob.plan(EVE)
        scene.breaks("users", broken.user_id, EVE)
        bob.types = MessageTypes(replace(BIRTHDAY_TYPE, send_time=time(11)))
        bob.plan(LATER)
        assert [life.story(BIRTHDAY)[-1] for life in (broken, bob)] == ["MessageScheduled", "MessageRescheduled zone_moved"]

    def test_once_it_is_read_nothing_of_the_time_between_is_missing(self, scene: Scene) -> None:
        broken = ada(scene)
        scene.breaks("users", broken.user_id, EVE)
        broken.plan(EVE)
        scene.mends("users", broken.user_id)
        much_later = EVE + timedelta(days=30)
        broken.plan(much_later)
        assert broken.seen(BIRTHDAY) == "nothing"
        scene.asks_again(EVE)
        broken.plan(much_later)
        assert broken.story(BIRTHDAY) == ["MessageScheduled", "MessageExpired late_window"]
        assert ("users", broken.user_id) not in scene.left_alone()
        next_year = utc("2028-05-14 12:00")
        broken.plan(next_year)
        assert broken.seen(date(2028, 5, 15)) == "scheduled"

    def test_asked_for_too_early_it_is_parked_again(self, scene: Scene) -> None:
        broken = ada(scene)
        scene.breaks("users", broken.user_id, EVE)
        broken.plan(EVE)
        scene.asks_again(EVE)
        broken.plan(LATER)
        assert ("users", broken.user_id) in scene.left_alone()


class TestAMessageThatCannotBeRead:
    def planned(self, scene: Scene) -> tuple[Life, Life]:
        broken, bob = ada(scene), ada(scene)
        bob.plan(EVE)
        scene.breaks("messages", broken.id_of(BIRTHDAY), EVE)
        return broken, bob

    def test_the_others_follow_their_people(self, scene: Scene) -> None:
        broken, bob = self.planned(scene)
        for life in (broken, bob):
            life.say(PARIS, at=LATER)
        bob.plan(LATER)
        assert bob.story(BIRTHDAY) == ["MessageScheduled", "MessageRescheduled zone_moved"]
        assert ("messages", broken.id_of(BIRTHDAY)) in scene.left_alone()

    def test_nothing_is_planned_in_its_place(self, scene: Scene) -> None:
        broken, _ = self.planned(scene)
        broken.say(BirthdayChanged("1990-05-16"), at=LATER)
        broken.plan(LATER)
        assert broken.seen(NEXT_DAY) == "nothing"
        scene.mends("messages", broken.id_of(BIRTHDAY))
        scene.asks_again(LATER)
        broken.plan(LATER)
        assert (broken.seen(BIRTHDAY), broken.seen(NEXT_DAY)) == ("cancelled birthday_changed", "scheduled")

    def test_an_erased_person_is_not_forgotten_before_it_is_cancelled(self, scene: Scene) -> None:
        broken, _ = self.planned(scene)
        broken.say(UserErased(), at=LATER)
        broken.plan(LATER)
        scene.mends("messages", broken.id_of(BIRTHDAY))
        scene.asks_again(LATER)
        broken.plan(LATER)
        assert broken.seen(BIRTHDAY) == "cancelled erased"

    def test_a_dispatch_that_cannot_be_read_is_left_to_its_worker(self, scene: Scene) -> None:
        broken, bob = ada(scene), ada(scene)
        bob.plan(EVE)
        dispatch_id = broken.becomes("requested", BIRTHDAY, EVE)
        scene.breaks("dispatches", dispatch_id, EVE)
        for life in (broken, bob):
            life.say(PARIS, at=LATER)
        bob.plan(LATER)
        assert (broken.seen(BIRTHDAY), bob.seen(BIRTHDAY)) == ("requested", "scheduled zone_moved")
        assert ("dispatches", dispatch_id) in scene.left_alone()


@pytest.mark.parametrize("facts", [{"timezone": "Mars/Olympus"}], ids=["a zone that was dropped"])
def test_what_the_calendar_cannot_reckon_is_parked_as_a_type_that_fails(scene: Scene, facts: dict[str, Any]) -> None:
    lost, bob = ada(scene, **facts), ada(scene)
    bob.plan(EVE)
    assert (lost.seen(BIRTHDAY), bob.seen(BIRTHDAY)) == ("nothing", "scheduled")
    with scene.begin() as work:
        [row] = work.parked([lost.user_id])
    assert row.message_type == "BIRTHDAY"
    lost.say(TimezoneChanged("Europe/London"), at=LATER)
    bob.plan(LATER)
    assert lost.seen(BIRTHDAY) == "scheduled"


def failing_on(life: Life) -> Begin[PlannerWork]:
    """Whatever is appended of this person's birthday fails, and with it the transaction."""

    @contextmanager
    def opened() -> Iterator[PlannerWork]:
        with life.scene.begin() as work:
            append = work.append

            def picky(groups: Sequence[Group], origin: Origin, now: datetime) -> Appended:
                if any(new.stream_id == life.id_of(BIRTHDAY) for group in groups for new in group.appends):
                    raise OverflowError
                return append(groups, origin, now)

            work.append = picky  # type: ignore[method-assign]
            yield work

    return opened


def test_of_those_asked_for_again_one_who_fails_holds_up_nobody_else(scene: Scene) -> None:
    lives = [ada(scene) for _ in range(3)]
    for life in lives:
        scene.breaks("users", life.user_id, EVE)
    lives[0].plan(EVE)
    for life in lives:
        scene.mends("users", life.user_id)
    scene.asks_again(EVE)
    lives[0].plan(LATER, failing_on(lives[1]))
    assert [life.seen(BIRTHDAY) for life in lives] == ["scheduled", "nothing", "scheduled"]
    assert ("users", lives[1].user_id) in scene.left_alone()
    with scene.begin() as work:
        assert not work.todo(BIRTHDAY).asked_again, "it is not tried for ever"
    scene.asks_again(EVE)
    lives[0].plan(LATER)
    assert lives[1].seen(BIRTHDAY) == "scheduled"


def test_a_type_is_asked_again_when_an_operator_says_so(scene: Scene) -> None:
    life = broken(scene)
    planner = Planner(scene.begin, life.types)
    while planner.step(EVE):
        pass
    Fragile.mended = True
    try:
        while planner.step(LATER):
            pass
        assert life.seen(BIRTHDAY, "FRAGILE") == "nothing"
        scene.asks_again(LATER)
        while planner.step(LATER):
            pass
    finally:
        Fragile.mended = False
    assert life.seen(BIRTHDAY, "FRAGILE") == "scheduled"
    with scene.begin() as work:
        assert work.parked([life.user_id]) == []
