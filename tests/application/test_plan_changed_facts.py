"""Do anniversary and holiday messages follow their own facts in every state, and shows what changed before in what is planned?"""

from datetime import date, timedelta
from typing import Any, Final

import pytest

from domain.event import Event
from domain.user import AnniversaryChanged, CountryChanged, MessageTypesChanged
from tests.application.test_plan_changes import CHANGES, MATRIX, SAME, STATES
from tests.planner_scene import BIRTHDAY, EVE, NEXT_DAY, Scene, ada, utc

LONG_BEFORE: Final = EVE - timedelta(days=60)
KINDS: Final[dict[str, tuple[date, dict[str, Any]]]] = {
    "ANNIVERSARY": (date(2027, 5, 15), {"anniversary": date(2015, 5, 15)}),
    "HOLIDAY_GREETING": (date(2027, 7, 14), {"country": "FR"}),
}
# What is said, and which change it is like in the matrix of the birthday message.
CHANGED: Final[dict[tuple[str, str], tuple[Event, str]]] = {
    ("ANNIVERSARY", "anniversary"): (AnniversaryChanged(date(2015, 5, 16)), "birthday"),
    ("ANNIVERSARY", "no anniversary"): (AnniversaryChanged(None), "no birthday"),
    ("ANNIVERSARY", "birthday"): (CHANGES["birthday"], "anniversary"),
    ("ANNIVERSARY", "country"): (CHANGES["country"], "country"),
    ("HOLIDAY_GREETING", "country"): (CountryChanged("IT"), "birthday"),
    ("HOLIDAY_GREETING", "no country"): (CountryChanged(None), "no birthday"),
    ("HOLIDAY_GREETING", "birthday"): (CHANGES["birthday"], "anniversary"),
    ("HOLIDAY_GREETING", "anniversary"): (CHANGES["anniversary"], "anniversary"),
    **{(kind, "types"): (MessageTypesChanged(("BIRTHDAY",)), "types") for kind in KINDS},
    **{(kind, like): (CHANGES[like], like) for kind in KINDS for like in ("zone", "suppress", "erase")},
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("kind", "change"), CHANGED)
def test_each_change_meets_each_state_of_the_other_types(scene: Scene, kind: str, change: str, state: str) -> None:
    occasion, facts = KINDS[kind]
    eve = utc(f"{occasion - timedelta(days=1)} 12:00")
    life = ada(scene, eve, birthday=None, message_types=(kind,), **facts)
    life.plan(eve)
    life.becomes(state, occasion, eve, kind)
    before, (said, like) = life.seen(occasion, kind), CHANGED[kind, change]
    life.say(said, at=eve + timedelta(minutes=1))
    life.plan(eve + timedelta(minutes=1))
    expected = MATRIX[like][STATES.index(state)]
    assert life.seen(occasion, kind) == (before if expected == SAME else expected)


@pytest.mark.parametrize(
    ("change", "on_the_day", "on_the_next"),
    [
        ("zone", "2027-05-15 00:00", None),
        ("birthday", None, "2027-05-16 08:00"),
        ("no birthday", None, None),
        ("anniversary", "2027-05-15 08:00", None),
        ("country", "2027-05-15 08:00", None),
        ("types", None, None),
        ("suppress", None, None),
        ("erase", None, None),
    ],
)
def test_what_changed_before_planning_is_what_is_planned(
    scene: Scene, change: str, on_the_day: str | None, on_the_next: str | None
) -> None:
    life = ada(scene, LONG_BEFORE)
    life.plan(LONG_BEFORE)
    life.say(CHANGES[change], at=LONG_BEFORE + timedelta(days=1))
    life.plan(LONG_BEFORE + timedelta(days=1))
    life.plan(EVE)
    found = [life.message(day) for day in (BIRTHDAY, NEXT_DAY)]
    assert [message and message.due_at for message in found] == [due and utc(due) for due in (on_the_day, on_the_next)]
