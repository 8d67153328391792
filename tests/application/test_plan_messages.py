"""Do people's facts and the calendar become the right messages?"""

from contextlib import AbstractContextManager
from datetime import date, time, timedelta
from typing import Any

import pytest

from application import plan_messages
from application.plan_messages import Planner
from application.planner_ports import PlannerWork
from domain.scheduled_message import MessageRescheduled
from domain.user import (
    BirthdayChanged,
    CountryChanged,
    PreferredTimeChanged,
    TimezoneChanged,
    UserRenamed,
)
from tests.planner_scene import BIRTHDAY, EVE, LATER, TYPES, Scene, ada, utc


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


def test_a_planner_with_nothing_to_do_looks_once(scene: Scene) -> None:
    ada(scene).plan(EVE)
    opened = []

    def begin() -> AbstractContextManager[PlannerWork]:
        opened.append(EVE)
        return scene.begin()

    planner = Planner(begin, TYPES)
    while planner.step(EVE):
        pass
    opened.clear()
    assert not planner.step(EVE)
    assert len(opened) == 1


def test_what_lies_beyond_the_window_waits_for_the_sweep(scene: Scene) -> None:
    life = ada(scene, registered_at=utc("2027-03-01 00:00"))
    life.plan(utc("2027-03-01 00:00"))
    life.plan(utc("2027-05-12 09:00"))
    assert life.message(BIRTHDAY) is None
    life.plan(utc("2027-05-12 10:00"))
    assert life.story(BIRTHDAY) == ["MessageScheduled"]
    life.plan(utc("2028-05-14 00:00"))
    assert life.story(date(2028, 5, 15)) == ["MessageScheduled"]


def test_what_was_planned_is_known_for_400_days_and_forgotten_page_by_page(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_messages, "FORGOTTEN_AT_ONCE", 1)
    lives = [ada(scene) for _ in range(3)]

    def known() -> int:
        with scene.begin() as work:
            rows = work.planned([life.user_id for life in lives], BIRTHDAY)
        return sum(row.occasion == BIRTHDAY for row in rows)

    lives[0].plan(EVE)
    the_last_day = utc("2027-05-15 23:59") + timedelta(days=400)
    lives[0].plan(the_last_day)
    assert known() == 3
    lives[0].plan(the_last_day + timedelta(minutes=1))
    assert known() == 0


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
    """docs/calendar.md 9 to 11."""

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

    def test_inside_the_late_window_but_on_the_next_date_it_expires_too(self, scene: Scene) -> None:
        life = ada(scene, timezone="America/New_York", preferred_time=time(22))
        life.plan(EVE)
        life.say(TimezoneChanged("Europe/London"), at=utc("2027-05-16 00:00"))
        life.plan(utc("2027-05-16 00:00"))
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


def test_a_birthday_moved_after_sending_brings_nothing_more_this_year(scene: Scene) -> None:
    life = ada(scene)
    life.plan(EVE)
    life.becomes("sent", BIRTHDAY, utc("2027-05-15 08:00"))
    life.say(BirthdayChanged("1990-10-10"), at=utc("2027-05-20 00:00"))
    life.plan(utc("2027-05-20 00:00"))
    life.plan(utc("2027-10-09 00:00"))
    assert life.seen(date(2027, 10, 10)) == "nothing"
    life.plan(utc("2028-10-09 00:00"))
    assert life.seen(date(2028, 10, 10)) == "scheduled"


def test_a_leap_day_birthday_is_greeted_in_every_year(scene: Scene) -> None:
    life = ada(scene, registered_at=utc("2027-02-27 00:00"), birthday="1992-02-29")
    life.plan(utc("2027-02-27 00:00"))
    message = life.message(date(2027, 2, 28))
    assert message
    assert message.rule == "leap_feb28"
    life.plan(utc("2028-02-28 00:00"))
    assert life.message(date(2028, 2, 29))
