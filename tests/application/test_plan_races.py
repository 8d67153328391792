"""Who else writes while the planner decides, what if it dies, and is it still exactly once?"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest

from application.plan_messages import Planner
from application.planner_ports import NextOccasion, PlannedMessage, PlannerWork
from application.ports import Begin
from domain.dispatch import DispatchRequested
from domain.scheduled_message import MessageScheduled, SendRequested
from domain.timezones import TZDATA_VERSION
from domain.user import BirthdayChanged, TimezoneChanged, UserErased, UserSuppressed
from tests.fakes import PlannerMemory
from tests.planner_scene import BIRTHDAY, EVE, LATER, NEXT_DAY, TYPES, Life, MemoryScene, Scene, ada, interrupted, utc

MOVED = BirthdayChanged("1990-05-16")


def planned(scene: Scene, life: Life) -> list[PlannedMessage]:
    with scene.begin() as work:
        return work.planned([life.user_id], date(2026, 1, 1))


def occasions(scene: Scene, life: Life) -> list[NextOccasion]:
    with scene.begin() as work:
        return [row for row in work.occasions_until(date(2100, 1, 1), 10_000) if row.user_id == life.user_id]


def messages_moved(scene: Scene) -> bool:
    with scene.begin() as work:
        return work.todo(BIRTHDAY).messages_moved


def test_what_the_planner_has_just_planned_it_need_not_read(scene: Scene) -> None:
    ada(scene)
    assert Planner(scene.begin, TYPES).step(EVE)
    assert not messages_moved(scene)


def test_what_others_write_before_that_is_read_all_the_same(scene: Scene) -> None:
    bob = ada(scene)
    bob.plan(EVE)
    ada(scene)
    assert Planner(interrupted(scene.begin, lambda: bob.becomes("abandoned", BIRTHDAY, LATER)), TYPES).step(LATER)
    assert messages_moved(scene)


def test_a_message_requested_meanwhile_is_withdrawn_all_the_same(scene: Scene) -> None:
    life = ada(scene)
    life.plan(EVE)
    life.say(MOVED, at=LATER)
    life.plan(LATER, interrupted(scene.begin, lambda: life.becomes("requested", BIRTHDAY, LATER)))
    assert life.seen(BIRTHDAY) == "cancelled birthday_changed"
    assert life.seen(NEXT_DAY) == "scheduled"


def test_a_claim_that_is_faster_than_the_withdrawal_bars_the_new_date(scene: Scene) -> None:
    life = ada(scene)
    life.plan(EVE)
    dispatch_id = life.becomes("requested", BIRTHDAY, EVE)
    life.say(MOVED, at=LATER)
    life.plan(LATER, interrupted(scene.begin, lambda: life.claim(dispatch_id, LATER)))
    assert (life.seen(BIRTHDAY), life.seen(NEXT_DAY)) == ("requested", "nothing")
    assert [row.message_id for row in planned(scene, life)] == [life.id_of(BIRTHDAY)]


def test_a_late_acceptance_bars_the_new_date(scene: Scene) -> None:
    life = ada(scene)
    life.plan(EVE)
    dispatch_id = life.becomes("abandoned", BIRTHDAY, EVE)
    life.say(MOVED, at=LATER)
    life.plan(LATER, interrupted(scene.begin, lambda: life.comes_out("sent", BIRTHDAY, dispatch_id, LATER)))
    assert life.seen(BIRTHDAY).startswith("sent")
    assert life.seen(NEXT_DAY) == "nothing"


def test_a_late_acceptance_cancels_what_was_planned_in_its_place(scene: Scene) -> None:
    life = ada(scene)
    life.plan(EVE)
    dispatch_id = life.becomes("abandoned", BIRTHDAY, EVE)
    life.say(MOVED, at=LATER)
    life.plan(LATER)
    assert life.seen(NEXT_DAY) == "scheduled"
    life.comes_out("sent", BIRTHDAY, dispatch_id, LATER)
    life.say(TimezoneChanged("Europe/Paris"), at=LATER)
    life.plan(LATER)
    assert life.seen(NEXT_DAY) == "cancelled already_sent"


def test_members_of_one_dispatch_are_withdrawn_together(scene: Scene) -> None:
    people = [ada(scene) for _ in range(3)]
    people[0].plan(EVE)
    ids = tuple(life.id_of(BIRTHDAY) for life in people)
    dispatch_id = uuid4()
    for life in people:
        known = life.message(BIRTHDAY)
        assert known
        words: dict[str, Any] = {"message_type": "BIRTHDAY", "timezone": known.timezone, "due_at": known.due_at}
        asked = SendRequested(**words, attempt=1, channel="sink", dispatch_id=dispatch_id)
        scene.tell("messages", life.id_of(BIRTHDAY), asked, at=EVE, who="dispatcher")
        life.say(UserSuppressed("complaint"), at=LATER)
    scene.tell("dispatches", dispatch_id, DispatchRequested("sink", "europe", ids), at=EVE, who="dispatcher")
    people[0].plan(LATER)
    assert {life.seen(BIRTHDAY) for life in people} == {"cancelled suppressed"}
    dispatch = scene.reader().load_dispatches([dispatch_id])[dispatch_id].state
    assert dispatch
    assert (dispatch.members, dispatch.status) == ((), "finished")


def test_a_message_planned_before_its_row_was_lost_is_not_planned_twice(scene: Scene) -> None:
    life = ada(scene)
    life.plan(EVE)
    with scene.begin() as work:
        work.forget([life.user_id])
    life.say(TimezoneChanged("Europe/Paris"), at=LATER)
    life.plan(LATER)
    assert life.story(BIRTHDAY) == ["MessageScheduled", "MessageRescheduled zone_moved"]
    assert [row.message_id for row in planned(scene, life)] == [life.id_of(BIRTHDAY)]


class Killed(Exception):
    """The process ends right before the commit."""


def dying(begin: Begin[PlannerWork]) -> Begin[PlannerWork]:
    @contextmanager
    def opened() -> Iterator[PlannerWork]:
        with begin() as work:
            yield work
            raise Killed

    return opened


def test_a_planner_that_dies_before_its_commit_leaves_nothing_and_its_successor_plans_once(scene: Scene) -> None:
    life = ada(scene)
    with pytest.raises(Killed):
        Planner(dying(scene.begin), life.types).follow_users(EVE)
    assert life.story(BIRTHDAY) == []
    assert planned(scene, life) == []
    life.plan(EVE)
    life.plan(EVE)
    assert life.story(BIRTHDAY) == ["MessageScheduled"]


def test_a_planner_whose_position_went_astray_sends_nothing_twice() -> None:
    memory_scene = MemoryScene(PlannerMemory())
    life = ada(memory_scene)
    life.plan(EVE)
    memory_scene.memory.positions.clear()
    life.plan(EVE)
    assert life.story(BIRTHDAY) == ["MessageScheduled"]


class TestTzdata:
    """docs/calendar.md 7: a newer tzdata moves what is planned."""

    def planned_long_ago(self, scene: Scene, hours_off: int) -> Life:
        """As an older tzdata planned it, `hours_off` from what is right now."""
        life = ada(scene, birthday=None)
        words: dict[str, Any] = {"message_type": "BIRTHDAY", "occasion": BIRTHDAY, "timezone": "Europe/London"}
        due_at = utc("2027-05-15 08:00") + timedelta(hours=hours_off)
        old = MessageScheduled(**words, user_id=life.user_id, due_at=due_at, rule="plain", tzdata="1999a", type_version=1)
        scene.tell("messages", life.id_of(BIRTHDAY), old, at=EVE, who="planner")
        life.plan(EVE)
        row = PlannedMessage(life.user_id, "BIRTHDAY", BIRTHDAY, life.id_of(BIRTHDAY), tzdata="1999a", type_version=1)
        with scene.begin() as work:
            work.put_planned([row])
        scene.tell("users", life.user_id, BirthdayChanged("1990-05-15"), at=EVE)
        with scene.begin() as work:
            work.followed("users", work.follow("users", 10_000).position)
        return life

    def test_a_pending_message_follows_the_newer_rules(self, scene: Scene) -> None:
        life = self.planned_long_ago(scene, hours_off=1)
        life.plan(LATER)
        message = life.message(BIRTHDAY)
        assert message
        assert (message.due_at, message.reason, message.tzdata) == (utc("2027-05-15 08:00"), "tzdata", TZDATA_VERSION)
        assert [row.tzdata for row in planned(scene, life)] == [TZDATA_VERSION]

    def test_what_is_no_longer_wanted_is_looked_at_once(self, scene: Scene) -> None:
        life = self.planned_long_ago(scene, hours_off=0)
        scene.tell("users", life.user_id, BirthdayChanged(None), at=LATER)
        Planner(scene.begin, life.types).rederive(LATER)
        with scene.begin() as work:
            assert work.planned_under_other(TZDATA_VERSION, date(2027, 1, 1), None, 10_000) == []

    def test_the_same_instant_under_newer_rules_is_no_news(self, scene: Scene) -> None:
        life = self.planned_long_ago(scene, hours_off=0)
        life.plan(LATER)
        assert life.story(BIRTHDAY) == ["MessageScheduled"]
        assert [row.tzdata for row in planned(scene, life)] == [TZDATA_VERSION]


class TestErasure:
    def test_nothing_is_left_in_the_planners_tables(self, scene: Scene) -> None:
        life = ada(scene)
        life.plan(EVE)
        life.say(UserErased(), at=LATER)
        life.plan(LATER)
        assert life.seen(BIRTHDAY) == "cancelled erased"
        assert planned(scene, life) == []
        assert occasions(scene, life) == []

    def test_what_is_being_sent_is_looked_at_again_and_then_forgotten(self, scene: Scene) -> None:
        life = ada(scene)
        life.plan(EVE)
        dispatch_id = life.becomes("claimed", BIRTHDAY, EVE)
        life.say(UserErased(), at=LATER)
        life.plan(LATER)
        assert len(planned(scene, life)) == 1
        life.comes_out("retrying", BIRTHDAY, dispatch_id, LATER)
        life.plan(LATER)
        assert life.seen(BIRTHDAY) == "cancelled erased"
        assert planned(scene, life) == []

    def test_whoever_is_sent_to_meanwhile_is_forgotten_by_the_sweep_of_the_next_day(self, scene: Scene) -> None:
        life = ada(scene)
        life.plan(EVE)
        dispatch_id = life.becomes("claimed", BIRTHDAY, EVE)
        life.say(UserErased(), at=LATER)
        life.plan(LATER)
        next_day = LATER + timedelta(days=1)
        life.plan(next_day)
        assert len(planned(scene, life)) == 1, "it may still fail, and be cancelled then"
        life.comes_out("sent", BIRTHDAY, dispatch_id, next_day)
        life.plan(next_day + timedelta(days=1))
        assert life.story(BIRTHDAY)[-1] == "MessageSent"
        assert (planned(scene, life), occasions(scene, life)) == ([], [])

    def test_an_old_doubt_is_cancelled_too(self, scene: Scene) -> None:
        life = ada(scene)
        life.plan(EVE)
        life.becomes("in_doubt", BIRTHDAY, EVE)
        life.say(UserErased(), at=EVE + timedelta(days=100))
        life.plan(EVE + timedelta(days=100))
        assert life.seen(BIRTHDAY) == "cancelled erased"
