"""Is what is planned derived again when a type, its settings or the holidays change, and by nobody who knows less?"""

from datetime import date, time
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from application import plan_messages
from application.calendar_rules import CalendarRules, TypeRules, rules_of, to_derive
from application.planner_ports import Derived
from domain.message_type import MessageTypes, registry
from domain.message_types.birthday import BIRTHDAY as KIND
from tests.calendar_cases.page import instant
from tests.planner_scene import BIRTHDAY, EVE, LATER, Life, Scene, ada

AT_NINE = MessageTypes(KIND)
AT_EIGHT = MessageTypes(replace(KIND, send_time=time(8)))
ON_MARCH_FIRST = MessageTypes(replace(KIND, leap_day="mar1"))


def planned_with(life: Life, types: MessageTypes, at: str) -> None:
    life.types = types
    life.plan(instant(at))


def test_another_send_time_moves_what_is_planned(scene: Scene) -> None:
    life = ada(scene)
    planned_with(life, AT_NINE, "2027-05-14 12:00")
    planned_with(life, AT_EIGHT, "2027-05-14 12:01")
    message = life.message(BIRTHDAY)
    assert message
    assert (message.status, message.due_at) == ("scheduled", instant("2027-05-15 07:00"))


def test_another_leap_day_rule_finds_the_date_that_now_comes_first(scene: Scene) -> None:
    life = Life(scene, instant("2027-01-05"), birthday="1992-02-29")
    planned_with(life, ON_MARCH_FIRST, "2027-01-05")
    planned_with(life, AT_NINE, "2027-01-06")
    planned_with(life, AT_NINE, "2027-02-27")
    planned_with(life, AT_NINE, "2027-03-01")
    assert (life.seen(date(2027, 2, 28)), life.seen(date(2027, 3, 1))) == ("scheduled", "nothing")


def test_everybody_is_looked_at_page_by_page(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_messages, "PEOPLE_AT_ONCE", 2)
    lives = [ada(scene) for _ in range(5)]
    planned_with(lives[0], AT_NINE, "2027-05-14 12:00")
    planned_with(lives[0], AT_EIGHT, "2027-05-14 12:01")
    assert {life.message(BIRTHDAY).due_at for life in lives} == {instant("2027-05-15 07:00")}  # type: ignore[union-attr]


def test_an_operator_may_have_everybody_derived_again(scene: Scene) -> None:
    life = ada(scene)
    life.plan(EVE)
    with scene.begin() as work:
        work.put_occasions([life.user_id], [])  # as a fault would leave it
        known = work.derived()
        assert known
        assert known.done
        work.put_derived(replace(known, reached=None, done=False))
    life.plan(LATER)
    life.plan(instant("2028-05-14"))
    assert life.seen(date(2028, 5, 15)) == "scheduled"
    with scene.begin() as work:
        assert work.derived() == known


MINE = rules_of(registry())


def derived(rules: CalendarRules) -> Derived:
    return Derived(msgspec.json.encode(rules).decode(), None, done=True)


@pytest.mark.parametrize(
    ("theirs", "again"),
    [
        pytest.param(MINE, False, id="the-same"),
        pytest.param(replace(MINE, holidays="0.1"), True, id="other-holidays"),
        pytest.param(rules_of(AT_EIGHT), True, id="another-send-time"),
        pytest.param(replace(MINE, types=MINE.types | {"BIRTHDAY": TypeRules(0, "")}), True, id="an-older-type"),
        pytest.param(replace(MINE, types=MINE.types | {"BIRTHDAY": TypeRules(2, "")}), False, id="a-newer-type"),
    ],
)
def test_only_what_is_older_or_differs_is_derived_again(theirs: CalendarRules, again: bool) -> None:
    assert to_derive(derived(theirs), MINE).done is not again


def test_what_is_under_way_goes_on_where_it_was() -> None:
    halfway = replace(derived(MINE), reached=UUID(int=7), done=False)
    assert to_derive(halfway, MINE) == halfway
    assert to_derive(halfway, rules_of(AT_EIGHT)).reached is None
