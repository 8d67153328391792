"""What does each change of a person's facts make of a message, in whichever state it finds it?"""

from datetime import date, timedelta
from typing import Final

import pytest

from domain.event import Event
from domain.message_type import MessageTypes, Occasion, Rendered, Settings
from domain.user import (
    AnniversaryChanged,
    BirthdayChanged,
    CountryChanged,
    MessageTypesChanged,
    TimezoneChanged,
    User,
    UserErased,
    UserSuppressed,
    UserUnsuppressed,
)
from tests.planner_scene import BIRTHDAY, EVE, LATER, NEXT_DAY, Life, Scene, ada, utc

CHANGES: Final[dict[str, Event]] = {
    "zone": TimezoneChanged("Asia/Tokyo"),
    "birthday": BirthdayChanged("1990-05-16"),
    "no birthday": BirthdayChanged(None),
    "anniversary": AnniversaryChanged(date(2016, 7, 1)),
    "country": CountryChanged("FR"),
    "types": MessageTypesChanged(("ANNIVERSARY",)),
    "suppress": UserSuppressed("complaint"),
    "erase": UserErased(),
}
STATES: Final = (
    *("scheduled", "requested", "claimed", "sent", "retrying", "in_doubt"),
    *("cancelled", "cancelled by operator", "expired", "abandoned"),
)
SAME: Final = "same"
MOVED: Final = "scheduled zone_moved"
BACK: Final = "scheduled"
GONE: Final = "cancelled birthday_changed"
NO_TYPE: Final = "cancelled type_removed"
NO_MORE: Final = "cancelled suppressed"
ERASED: Final = "cancelled erased"
# What each change makes of the message for May 15, by the state it finds it in. A cancelled or expired one that is still
# wanted comes back; a claimed one is left to its outcome, and so is doubt, unless the person wants nothing more.
MATRIX: Final = {
    #              scheduled requested claimed sent  retrying in_doubt cancelled operator expired abandoned
    "zone":        (MOVED,   MOVED,   SAME,   SAME, MOVED,   SAME,    BACK,     SAME,    BACK,   SAME),
    "birthday":    (GONE,    GONE,    SAME,   SAME, GONE,    SAME,    SAME,     SAME,    SAME,   SAME),
    "no birthday": (GONE,    GONE,    SAME,   SAME, GONE,    SAME,    SAME,     SAME,    SAME,   SAME),
    "anniversary": (SAME,    SAME,    SAME,   SAME, SAME,    SAME,    BACK,     SAME,    BACK,   SAME),
    "country":     (SAME,    SAME,    SAME,   SAME, SAME,    SAME,    BACK,     SAME,    BACK,   SAME),
    "types":       (NO_TYPE, NO_TYPE, SAME,   SAME, NO_TYPE, NO_TYPE, SAME,     SAME,    SAME,   SAME),
    "suppress":    (NO_MORE, NO_MORE, SAME,   SAME, NO_MORE, NO_MORE, SAME,     SAME,    SAME,   SAME),
    "erase":       (ERASED,  ERASED,  SAME,   SAME, ERASED,  ERASED,  SAME,     SAME,    SAME,   SAME),
}  # fmt: skip
BARS_THE_YEAR: Final = ("claimed", "sent", "in_doubt")


def found_in(scene: Scene, state: str) -> Life:
    """Ada on the eve of her birthday, her message led into a state that the planner has not looked at yet."""
    life = ada(scene)
    life.plan(EVE)
    life.becomes(state, BIRTHDAY, EVE)
    return life


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("change", CHANGES)
def test_each_change_meets_each_state(scene: Scene, change: str, state: str) -> None:
    life = found_in(scene, state)
    before = life.seen(BIRTHDAY)
    life.say(CHANGES[change], at=LATER)
    life.plan(LATER)
    expected = MATRIX[change][STATES.index(state)]
    assert life.seen(BIRTHDAY) == (before if expected == SAME else expected)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_elsewhere_plans_nothing(scene: Scene, change: str) -> None:
    life = ada(scene, birthday="1990-09-01")
    life.plan(EVE)
    life.say(CHANGES[change], at=LATER)
    life.plan(LATER)
    assert life.seen(BIRTHDAY) == "nothing"
    assert life.seen(NEXT_DAY) == ("scheduled" if change == "birthday" else "nothing")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("scheduled", BACK),
        ("requested", BACK),
        ("claimed", "requested"),
        ("sent", "sent"),
        ("retrying", NO_MORE),
        ("in_doubt", NO_MORE),
        ("cancelled", BACK),
        ("cancelled by operator", "cancelled operator"),
        ("expired", BACK),
        ("abandoned", "abandoned rejected"),
    ],
)
def test_unsuppressed_again_only_what_no_provider_heard_of_comes_back(scene: Scene, state: str, expected: str) -> None:
    life = found_in(scene, state)
    for fact in (UserSuppressed("bounce"), UserUnsuppressed()):
        life.say(fact, at=LATER)
        life.plan(LATER)
    assert life.seen(BIRTHDAY) == expected


@pytest.mark.parametrize("state", STATES)
def test_a_moved_birthday_is_planned_unless_the_year_is_used_up(scene: Scene, state: str) -> None:
    life = found_in(scene, state)
    life.say(CHANGES["birthday"], at=LATER)
    life.plan(LATER)
    assert life.seen(NEXT_DAY) == ("nothing" if state in BARS_THE_YEAR else "scheduled")


@pytest.mark.parametrize(
    ("outcome", "old", "new"),
    [
        ("sent", "sent", "nothing"),
        ("retrying", GONE, "scheduled"),
        ("abandoned", "abandoned rejected", "scheduled"),
        ("in_doubt", "in_doubt doubt", "nothing"),
    ],
)
def test_the_outcome_decides_over_a_moved_birthday(scene: Scene, outcome: str, old: str, new: str) -> None:
    life = ada(scene)
    life.plan(EVE)
    dispatch_id = life.becomes("claimed", BIRTHDAY, EVE)
    life.say(CHANGES["birthday"], at=LATER)
    life.plan(LATER)
    assert (life.seen(BIRTHDAY), life.seen(NEXT_DAY)) == ("requested", "nothing")
    life.comes_out(outcome, BIRTHDAY, dispatch_id, LATER)
    life.plan(LATER)
    assert (life.seen(BIRTHDAY), life.seen(NEXT_DAY)) == (old, new)


@pytest.mark.parametrize("state", ["scheduled", "requested", "retrying"])
def test_a_birthday_moved_away_and_back_is_planned_once_more(scene: Scene, state: str) -> None:
    life = found_in(scene, state)
    for minute, birthday in enumerate(("1990-05-16", "1990-05-15", "1990-09-01", "1990-05-15"), start=1):
        life.say(BirthdayChanged(birthday), at=EVE + timedelta(minutes=minute))
        life.plan(EVE + timedelta(minutes=minute))
    tried = state == "retrying"  # a provider may have heard of it
    assert life.seen(BIRTHDAY) == (GONE if tried else "scheduled")
    assert life.seen(NEXT_DAY) == GONE


@pytest.mark.parametrize("state", ["requested", "claimed", "sent", "in_doubt"])
def test_moved_back_once_the_new_date_is_used_nothing_more_comes(scene: Scene, state: str) -> None:
    life = found_in(scene, "scheduled")
    life.say(CHANGES["birthday"], at=LATER)
    life.plan(LATER)
    life.becomes(state, NEXT_DAY, LATER)
    life.say(BirthdayChanged("1990-05-15"), at=LATER)
    life.plan(LATER)
    assert life.seen(BIRTHDAY) == ("scheduled" if state == "requested" else GONE)


def test_a_call_being_repeated_in_doubt_is_not_moved(scene: Scene) -> None:
    life = ada(scene)
    life.plan(EVE)
    life.becomes("repeated", BIRTHDAY, EVE)
    life.say(CHANGES["zone"], at=LATER)
    life.plan(LATER)
    assert life.seen(BIRTHDAY) == "requested doubt"


def test_an_old_message_tried_again_gives_way_to_a_moved_birthday(scene: Scene) -> None:
    life = found_in(scene, "abandoned")
    june, july = utc("2027-06-20 00:00"), utc("2027-07-20 00:00")
    life.redriven(BIRTHDAY, june, july)
    life.say(BirthdayChanged("1990-06-21"), at=june)
    life.plan(june)
    assert life.seen(BIRTHDAY) == GONE
    assert life.seen(date(2027, 6, 21)) == "scheduled"


class Solstices(Settings, frozen=True, kw_only=True):
    """Twice a year, of which one is greeted."""

    name: str = "SOLSTICE"

    def occasions(self, user: User, start: date, end: date) -> list[Occasion]:
        days = [date(year, month, 21) for year in range(start.year, end.year + 1) for month in (6, 12)]
        return [Occasion(day) for day in days if start <= day < end]

    def validate(self, user: User) -> str | None:
        return None

    def render(self, user: User, occasion: date) -> Rendered:
        return Rendered("Happy solstice!", "", 1)


@pytest.mark.parametrize(("state", "second"), [("sent", "nothing"), ("redriven", "nothing"), ("expired", "scheduled")])
def test_the_second_date_of_an_annual_type_comes_only_if_the_first_did_not(scene: Scene, state: str, second: str) -> None:
    june, december = date(2027, 6, 21), date(2027, 12, 21)
    life = Life(scene, utc("2027-06-19 12:00"), MessageTypes(Solstices()), message_types=("SOLSTICE",))
    life.plan(utc("2027-06-19 12:00"))
    life.becomes("abandoned" if state == "redriven" else state, june, utc("2027-06-21 12:00"), "SOLSTICE")
    if state == "redriven":
        life.redriven(june, utc("2027-12-19 00:00"), utc("2027-12-31 00:00"), "SOLSTICE")
    life.plan(utc("2027-12-19 12:00"))
    assert life.seen(december, "SOLSTICE") == second
    assert life.seen(june, "SOLSTICE").split()[0] == ("scheduled" if state == "redriven" else state)


def test_away_and_back_before_anybody_looked_is_no_news(scene: Scene) -> None:
    life = found_in(scene, "requested")
    life.say(BirthdayChanged("1990-09-01"), BirthdayChanged("1990-05-15"), at=LATER)
    life.plan(LATER)
    assert life.seen(BIRTHDAY) == "requested"


def test_unsuppressed_again_it_is_sent_after_all(scene: Scene) -> None:
    life = found_in(scene, "scheduled")
    life.say(UserSuppressed("bounce"), at=LATER)
    life.plan(LATER)
    life.say(UserUnsuppressed(), at=LATER)
    life.plan(LATER)
    assert life.story(BIRTHDAY) == ["MessageScheduled", "MessageCancelled suppressed", "MessageReinstated"]


def test_what_the_dispatcher_called_too_late_is_not_brought_back_by_a_slower_clock(scene: Scene) -> None:
    life = ada(scene)
    life.plan(EVE)
    life.becomes("too late", BIRTHDAY, utc("2027-05-15 23:00:01"))
    life.plan(utc("2027-05-15 22:59:59"))
    assert life.seen(BIRTHDAY) == "expired late_window"


def test_an_operators_deadline_stays(scene: Scene) -> None:
    life = found_in(scene, "expired")
    life.redriven(BIRTHDAY, EVE, LATER)
    life.becomes("expired", BIRTHDAY, LATER)
    life.plan(LATER)
    assert life.seen(BIRTHDAY) == "expired zone_moved"


def test_unsuppressed_too_late_it_stays_cancelled(scene: Scene) -> None:
    life = found_in(scene, "scheduled")
    life.say(UserSuppressed("bounce"), at=LATER)
    life.plan(LATER)
    life.say(UserUnsuppressed(), at=utc("2027-05-16 01:00"))
    life.plan(utc("2027-05-16 01:00"))
    assert life.seen(BIRTHDAY) == NO_MORE
    life.plan(utc("2028-05-14 00:00"))
    assert life.seen(date(2028, 5, 15)) == "scheduled"


def test_a_withdrawn_message_leaves_its_dispatch(scene: Scene) -> None:
    life = ada(scene)
    life.plan(EVE)
    dispatch_id = life.becomes("requested", BIRTHDAY, EVE)
    life.say(CHANGES["zone"], at=LATER)
    life.plan(LATER)
    dispatch = scene.reader().load_dispatches([dispatch_id])[dispatch_id].state
    assert dispatch
    assert life.id_of(BIRTHDAY) not in dispatch.members
