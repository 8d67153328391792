"""Does each case of the calendar go by its rule when facts go in and messages come out? Their numbers are the page's."""

from datetime import date, time, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.event import Event
from domain.message_type import registry
from domain.timezones import TZDATA_VERSION
from domain.user import BirthdayChanged, MessageTypesChanged, TimezoneChanged, UserErased, UserSuppressed
from tests.calendar_cases.page import instant, vectors, who
from tests.fakes import PlannerMemory
from tests.planner_scene import BIRTHDAY, EVE, TYPES, Life, MemoryScene, Scene, ada

A_DAY_AND_A_HALF = timedelta(hours=36)


@pytest.mark.parametrize(("kind", "text", "occasion", "due", "rule"), vectors("Instants"))
def test_a_message_is_planned(kind: str, text: str, occasion: str, due: str, rule: str) -> None:
    day, person = date.fromisoformat(occasion), who(text)
    eve = instant(occasion) - A_DAY_AND_A_HALF
    life = Life(MemoryScene(PlannerMemory()), eve, person.types, **person.facts)
    life.plan(eve)

    message = life.message(day, kind)
    if due == "none":
        assert message is None
    else:
        assert message
        assert (message.status, message.due_at, message.rule) == ("scheduled", instant(due), rule)
        assert (message.timezone, message.tzdata) == (person.facts["timezone"], TZDATA_VERSION)


@pytest.mark.parametrize(("story", "occasion", "becomes", "due"), vectors("Stories"))
def test_a_message_becomes(scene: Scene, story: str, occasion: str, becomes: str, due: str) -> None:
    life = lived(scene, story)

    assert life.seen(date.fromisoformat(occasion)) == becomes
    if due:
        message = life.message(date.fromisoformat(occasion))
        assert message
        assert message.due_at == instant(due)


def lived(scene: Scene, story: str) -> Life:
    """What the page tells, step by step; the planner looks after each."""
    life: Life | None = None
    claimed: UUID | None = None
    for step in story.split("; "):
        day, clock, what, *rest = step.split(" ", 3)
        at, detail = instant(f"{day} {clock}"), " ".join(rest)
        if life is None:
            assert what == "registers"
            facts = who(detail, birthday="1990-05-15") if "birthday" not in detail else who(detail)
            life = Life(scene, at, TYPES, **(facts.facts | {"message_types": ("BIRTHDAY",)}))
        elif what in CHANGES:
            life.say(CHANGES[what](detail), at=at)
        elif what in ("requested", "claimed", "sent"):
            claimed = life.becomes(what, BIRTHDAY, at)
        elif what == "comes":
            assert claimed
            life.comes_out(detail.removeprefix("out "), BIRTHDAY, claimed, at)
        else:
            assert what == "looks"
        life.plan(at)
    assert life
    return life


CHANGES: dict[str, Any] = {
    "zone": TimezoneChanged,
    "birthday": BirthdayChanged,
    "types": lambda names: MessageTypesChanged(tuple(names.split("+"))),
    "erased": lambda _: UserErased(),
    "suppressed": lambda _: UserSuppressed("complaint"),
}


@pytest.mark.parametrize(
    "change",
    [UserErased(), UserSuppressed("bounce"), MessageTypesChanged(("HOLIDAY_GREETING",))],
    ids=["erased", "suppressed", "out"],
)
def test_case_16_whoever_is_gone_before_the_next_sweep_gets_nothing(scene: Scene, change: Event) -> None:
    life = ada(scene, registered_at=EVE - timedelta(days=60))
    life.plan(EVE - timedelta(days=60))
    life.say(change, at=EVE - timedelta(days=30))
    life.plan(EVE)
    assert life.seen(BIRTHDAY) == "nothing"


def test_case_19_two_occasions_of_a_day_are_each_planned_once(scene: Scene) -> None:
    life = ada(scene, anniversary=date(2015, 5, 15), message_types=("BIRTHDAY", "ANNIVERSARY"))
    life.plan(EVE)
    life.plan(EVE)
    assert life.story(BIRTHDAY) == life.story(BIRTHDAY, "ANNIVERSARY") == ["MessageScheduled"]
    life.becomes("sent", BIRTHDAY, EVE)
    life.plan(EVE)
    assert (life.seen(BIRTHDAY), life.seen(BIRTHDAY, "ANNIVERSARY")) == ("sent", "scheduled")


def test_case_20_two_users_with_one_address_get_a_message_each(scene: Scene) -> None:
    one, other = ada(scene), ada(scene)
    one.plan(EVE)
    assert one.story(BIRTHDAY) == other.story(BIRTHDAY) == ["MessageScheduled"]
    one.becomes("sent", BIRTHDAY, EVE)
    other.plan(EVE)
    assert other.seen(BIRTHDAY) == "scheduled"


def test_the_types_that_the_stories_take_are_sent_at_nine() -> None:
    assert {kind.send_time for kind in registry().values()} == {time(9)}
