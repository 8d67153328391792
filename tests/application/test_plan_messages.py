"""Do people's facts and the calendar become the right messages?"""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, Final

import pytest

from domain.event import Event
from domain.scheduled_message import MessageRescheduled
from domain.user import (
    AnniversaryChanged,
    BirthdayChanged,
    CountryChanged,
    MessageTypesChanged,
    PreferredTimeChanged,
    TimezoneChanged,
    UserErased,
    UserRenamed,
    UserSuppressed,
    UserUnsuppressed,
)
from tests.fakes import PlannerMemory
from tests.planner_scene import Life, MemoryScene, PostgresScene, Scene, postgres_scene, utc
from tests.servers import create_database, drop_database

EVE: Final = utc("2027-05-14 12:00")
LATER: Final = EVE + timedelta(minutes=1)
BIRTHDAY: Final = date(2027, 5, 15)
NEXT_DAY: Final = date(2027, 5, 16)


@pytest.fixture(scope="module")
def shared_postgres(postgres_dsn: str, migrated_template: str) -> Iterator[PostgresScene]:
    dsn = create_database(postgres_dsn, "planner_stories", migrated_template)
    with postgres_scene(dsn) as scene:
        yield scene
    drop_database(postgres_dsn, "planner_stories")


@pytest.fixture(params=["memory", "postgres"])
def scene(request: pytest.FixtureRequest) -> Scene:
    if request.param == "memory":
        return MemoryScene(PlannerMemory())
    shared: PostgresScene = request.getfixturevalue("shared_postgres")
    return shared


def ada(scene: Scene, registered_at: datetime = EVE, **facts: Any) -> Life:
    return Life(scene, registered_at, **{"birthday": "1990-05-15", **facts})


def test_a_birthday_within_the_window_is_scheduled_for_nine_local(scene: Scene) -> None:
    life = ada(scene, timezone="Asia/Kathmandu")
    life.plan(EVE)
    message = life.message(BIRTHDAY)
    assert message
    assert (message.status, message.due_at, message.rule) == ("scheduled", utc("2027-05-15 03:15"), "plain")
    (scheduled,) = scene.history("messages", life.id_of(BIRTHDAY))
    (registered,) = scene.history("users", life.user_id)
    assert (scheduled.origin.who, scheduled.origin.causation_id) == ("planner", f"users:{registered.position}")


def test_planning_again_changes_nothing(scene: Scene) -> None:
    life = ada(scene)
    life.plan(EVE)
    life.say(UserRenamed("Augusta", "King"), PreferredTimeChanged(time(9)), at=LATER)
    life.plan(LATER)
    assert life.story(BIRTHDAY) == ["MessageScheduled"]


def test_what_lies_beyond_the_window_waits_for_the_sweep(scene: Scene) -> None:
    life = ada(scene, registered_at=utc("2027-03-01 00:00"))
    life.plan(utc("2027-03-01 00:00"))
    life.plan(utc("2027-05-12 09:00"))
    assert life.message(BIRTHDAY) is None
    life.plan(utc("2027-05-12 10:00"))
    assert life.story(BIRTHDAY) == ["MessageScheduled"]
    life.plan(utc("2028-05-14 00:00"))
    assert life.story(date(2028, 5, 15)) == ["MessageScheduled"]


@pytest.mark.parametrize("timezone", ["Pacific/Kiritimati", "Etc/GMT+12", "Pacific/Chatham", "Asia/Kathmandu"])
def test_everybody_is_planned_48_hours_ahead(scene: Scene, timezone: str) -> None:
    life = ada(scene, registered_at=utc("2027-01-01 00:00"), timezone=timezone)
    life.plan(utc("2027-01-01 00:00"))
    planned_at = utc("2027-05-10 00:00")
    while not life.message(BIRTHDAY):
        planned_at += timedelta(hours=1)
        life.plan(planned_at)
    message = life.message(BIRTHDAY)
    assert message
    assert message.due_at - planned_at >= timedelta(hours=48)


def test_two_occasions_on_one_day_are_two_messages(scene: Scene) -> None:
    life = ada(scene, anniversary=date(2015, 5, 15), message_types=("BIRTHDAY", "ANNIVERSARY"))
    life.plan(EVE)
    assert life.message(BIRTHDAY)
    assert life.message(BIRTHDAY, "ANNIVERSARY")


def test_holidays_follow_the_country(scene: Scene) -> None:
    life = ada(scene, registered_at=utc("2027-07-02 00:00"), country="FR", message_types=("HOLIDAY_GREETING",))
    life.plan(utc("2027-07-02 00:00"))
    life.plan(utc("2027-07-13 00:00"))
    assert life.story(date(2027, 7, 14), "HOLIDAY_GREETING") == ["MessageScheduled"]
    life.say(CountryChanged("IT"), at=utc("2027-07-13 01:00"))
    life.plan(utc("2027-07-13 01:00"))
    assert life.story(date(2027, 7, 14), "HOLIDAY_GREETING") == ["MessageScheduled", "MessageCancelled birthday_changed"]


def test_nothing_is_planned_before_the_first_occasion(scene: Scene) -> None:
    life = ada(scene, first_occasion=date(2027, 5, 16))
    life.plan(EVE)
    assert life.message(BIRTHDAY) is None


@pytest.mark.parametrize(
    ("at", "seconds_late"), [("2027-05-15 07:59:59", -1), ("2027-05-15 08:00:01", 1)], ids=["before", "after"]
)
def test_whoever_registers_on_the_day_is_greeted_on_the_day(scene: Scene, at: str, seconds_late: int) -> None:
    life = ada(scene, registered_at=utc(at))
    life.plan(utc(at))
    message = life.message(BIRTHDAY)
    assert message
    assert (message.status, utc(at) - message.due_at) == ("scheduled", timedelta(seconds=seconds_late))


def test_after_an_outage_of_any_length_nothing_is_skipped(scene: Scene) -> None:
    life = ada(
        scene, registered_at=utc("2027-03-01 00:00"), anniversary=date(2015, 9, 1), message_types=("BIRTHDAY", "ANNIVERSARY")
    )
    life.plan(utc("2027-03-01 00:00"))
    life.say(PreferredTimeChanged(time(10)), at=utc("2028-01-02 00:00"))
    life.plan(utc("2028-01-03 00:00"))
    assert life.story(BIRTHDAY) == ["MessageScheduled", "MessageExpired late_window"]
    assert life.story(date(2027, 9, 1), "ANNIVERSARY") == ["MessageScheduled", "MessageExpired late_window"]


def test_what_fell_due_while_the_planner_was_down_is_expired_visibly(scene: Scene) -> None:
    life = ada(scene, registered_at=EVE)
    life.plan(utc("2027-05-20 00:00"))
    assert life.story(BIRTHDAY) == ["MessageScheduled", "MessageExpired late_window"]


def test_the_preferred_time_stands_above_the_types(scene: Scene) -> None:
    life = ada(scene)
    life.plan(EVE)
    life.say(PreferredTimeChanged(time(18, 30)), at=LATER)
    life.plan(LATER)
    message = life.message(BIRTHDAY)
    assert message
    assert message.due_at == utc("2027-05-15 17:30")


class TestMoving:
    """EDGE-CASES 9 to 11."""

    def test_the_send_time_past_but_still_that_date_is_sent_at_once(self, scene: Scene) -> None:
        life = ada(scene, timezone="America/New_York")
        life.plan(EVE)
        life.say(TimezoneChanged("Europe/London"), at=utc("2027-05-15 12:00"))
        life.plan(utc("2027-05-15 12:00"))
        message = life.message(BIRTHDAY)
        assert message
        assert (message.status, message.due_at, message.reason) == ("scheduled", utc("2027-05-15 08:00"), "zone_moved")

    def test_another_date_by_now_expires_it(self, scene: Scene) -> None:
        life = ada(scene, timezone="America/Los_Angeles")
        life.plan(EVE)
        life.say(TimezoneChanged("Pacific/Kiritimati"), at=utc("2027-05-15 15:00"))
        life.plan(utc("2027-05-15 15:00"))
        assert life.story(BIRTHDAY) == ["MessageScheduled", "MessageExpired zone_moved"]

    def test_moving_back_in_time_reinstates_it(self, scene: Scene) -> None:
        life = ada(scene, timezone="America/Los_Angeles")
        life.plan(EVE)
        for timezone, at in (("Pacific/Kiritimati", "2027-05-15 15:00"), ("America/Los_Angeles", "2027-05-15 15:30")):
            life.say(TimezoneChanged(timezone), at=utc(at))
            life.plan(utc(at))
        assert life.story(BIRTHDAY) == ["MessageScheduled", "MessageExpired zone_moved", "MessageReinstated"]

    def test_the_send_time_that_comes_again_after_sending_brings_nothing_more(self, scene: Scene) -> None:
        life = ada(scene, timezone="Asia/Tokyo")
        life.plan(EVE)
        life.becomes("sent", BIRTHDAY, utc("2027-05-15 00:00"))
        life.say(TimezoneChanged("America/New_York"), at=utc("2027-05-15 01:00"))
        life.plan(utc("2027-05-15 01:00"))
        assert life.story(BIRTHDAY) == ["MessageScheduled", "SendRequested", "MessageSent"]

    def test_an_instant_that_an_operator_chose_stays_in_its_zone(self, scene: Scene) -> None:
        life = ada(scene)
        life.plan(EVE)
        chosen = utc("2027-05-15 14:00")
        words: dict[str, Any] = {"message_type": "BIRTHDAY", "timezone": "Europe/London", "due_at": chosen}
        moved = MessageRescheduled(**words, reason="operator", rule="plain", tzdata="2026f")
        scene.tell("messages", life.id_of(BIRTHDAY), moved, at=EVE)
        life.say(CountryChanged("GB"), at=LATER)
        life.plan(LATER)
        message = life.message(BIRTHDAY)
        assert message
        assert message.due_at == chosen


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


def seen(life: Life, occasion: date = BIRTHDAY) -> str:
    message = life.message(occasion)
    return f"{message.status} {message.reason}".strip() if message else "nothing"


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
    before = seen(life)
    life.say(CHANGES[change], at=LATER)
    life.plan(LATER)
    expected = MATRIX[change][STATES.index(state)]
    assert seen(life) == (before if expected == SAME else expected)


@pytest.mark.parametrize("state", STATES)
def test_a_moved_birthday_is_planned_unless_the_year_is_used_up(scene: Scene, state: str) -> None:
    life = found_in(scene, state)
    life.say(CHANGES["birthday"], at=LATER)
    life.plan(LATER)
    assert seen(life, NEXT_DAY) == ("nothing" if state in BARS_THE_YEAR else "scheduled")


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
    assert (seen(life), seen(life, NEXT_DAY)) == ("requested", "nothing")
    life.comes_out(outcome, BIRTHDAY, dispatch_id, LATER)
    life.plan(LATER)
    assert (seen(life), seen(life, NEXT_DAY)) == (old, new)


@pytest.mark.parametrize("state", ["scheduled", "requested", "retrying"])
def test_a_birthday_moved_away_and_back_is_planned_once_more(scene: Scene, state: str) -> None:
    life = found_in(scene, state)
    for minute, birthday in enumerate(("1990-05-16", "1990-05-15", "1990-09-01", "1990-05-15"), start=1):
        life.say(BirthdayChanged(birthday), at=EVE + timedelta(minutes=minute))
        life.plan(EVE + timedelta(minutes=minute))
    tried = state == "retrying"  # a provider may have heard of it
    assert seen(life) == (GONE if tried else "scheduled")
    assert seen(life, NEXT_DAY) == GONE


def test_away_and_back_before_anybody_looked_is_no_news(scene: Scene) -> None:
    life = found_in(scene, "requested")
    life.say(BirthdayChanged("1990-09-01"), BirthdayChanged("1990-05-15"), at=LATER)
    life.plan(LATER)
    assert seen(life) == "requested"


def test_unsuppressed_again_it_is_sent_after_all(scene: Scene) -> None:
    life = found_in(scene, "scheduled")
    life.say(UserSuppressed("bounce"), at=LATER)
    life.plan(LATER)
    life.say(UserUnsuppressed(), at=LATER)
    life.plan(LATER)
    assert life.story(BIRTHDAY) == ["MessageScheduled", "MessageCancelled suppressed", "MessageReinstated"]


def test_unsuppressed_too_late_it_stays_cancelled(scene: Scene) -> None:
    life = found_in(scene, "scheduled")
    life.say(UserSuppressed("bounce"), at=LATER)
    life.plan(LATER)
    life.say(UserUnsuppressed(), at=utc("2027-05-16 01:00"))
    life.plan(utc("2027-05-16 01:00"))
    assert seen(life) == NO_MORE
    life.plan(utc("2028-05-14 00:00"))
    assert seen(life, date(2028, 5, 15)) == "scheduled"


def test_a_birthday_moved_after_sending_brings_nothing_more_this_year(scene: Scene) -> None:
    life = ada(scene)
    life.plan(EVE)
    life.becomes("sent", BIRTHDAY, utc("2027-05-15 08:00"))
    life.say(BirthdayChanged("1990-10-10"), at=utc("2027-05-20 00:00"))
    life.plan(utc("2027-05-20 00:00"))
    life.plan(utc("2027-10-09 00:00"))
    assert seen(life, date(2027, 10, 10)) == "nothing"
    life.plan(utc("2028-10-09 00:00"))
    assert seen(life, date(2028, 10, 10)) == "scheduled"


def test_a_leap_day_birthday_is_greeted_in_every_year(scene: Scene) -> None:
    life = ada(scene, registered_at=utc("2027-02-27 00:00"), birthday="1992-02-29")
    life.plan(utc("2027-02-27 00:00"))
    message = life.message(date(2027, 2, 28))
    assert message
    assert message.rule == "leap_feb28"
    life.plan(utc("2028-02-28 00:00"))
    assert life.message(date(2028, 2, 29))


def test_a_withdrawn_message_leaves_its_dispatch(scene: Scene) -> None:
    life = ada(scene)
    life.plan(EVE)
    dispatch_id = life.becomes("requested", BIRTHDAY, EVE)
    life.say(CHANGES["zone"], at=LATER)
    life.plan(LATER)
    dispatch = scene.reader().load_dispatches([dispatch_id])[dispatch_id].state
    assert dispatch
    assert life.id_of(BIRTHDAY) not in dispatch.members
