"""Which messages does a person want, and when?"""

from datetime import date, time, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.upcoming import upcoming
from domain.message_id import message_id
from domain.message_type import MessageType, MessageTypes, registry
from domain.message_types.birthday import BIRTHDAY
from domain.user import User
from domain.wanted_message import next_occasion, taken_types

ADA_ID = UUID(int=1)
ALL = ("BIRTHDAY", "ANNIVERSARY", "HOLIDAY_GREETING")


def person(**facts: Any) -> User:
    told: dict[str, Any] = {"timezone": "Europe/London", "birthday": "1990-05-15", "first_occasion": date(2020, 1, 1)} | facts
    return User(first_name="Ada", email="ada@example.org", **told)


@pytest.mark.parametrize(
    ("facts", "taken"),
    [
        ({}, ["BIRTHDAY"]),
        ({"message_types": ALL}, ["BIRTHDAY"]),
        ({"message_types": ALL, "anniversary": date(2015, 1, 1), "country": "FR"}, list(ALL)),
        ({"message_types": ("ANNIVERSARY",)}, []),
        ({"message_types": ("BIRTHDAY", "GONE_PLUGIN")}, ["BIRTHDAY"]),
        ({"suppressed": True}, []),
        ({"erased": True}, []),
    ],
    ids=["birthday", "no facts for the rest", "all", "not chosen", "unknown type", "suppressed", "erased"],
)
def test_a_type_is_taken_when_it_is_chosen_and_its_facts_are_known(facts: dict[str, Any], taken: list[str]) -> None:
    assert [kind.name for kind in taken_types(person(**facts), registry())] == taken


@pytest.mark.parametrize(
    ("birthday", "kind", "after", "expected"),
    [
        ("1990-05-15", BIRTHDAY, date(2027, 5, 14), date(2027, 5, 15)),
        ("1990-05-15", BIRTHDAY, date(2027, 5, 15), date(2028, 5, 15)),
        ("1992-02-29", BIRTHDAY, date(2027, 1, 1), date(2027, 2, 28)),
        ("1992-02-29", replace(BIRTHDAY, leap_day="mar1"), date(2027, 2, 28), date(2027, 3, 1)),
        ("1992-02-29", replace(BIRTHDAY, leap_day="skip"), date(2028, 2, 29), date(2032, 2, 29)),
        ("1992-02-29", replace(BIRTHDAY, leap_day="skip"), date(2096, 2, 29), date(2104, 2, 29)),
        (None, BIRTHDAY, date(2027, 1, 1), None),
    ],
    ids=["tomorrow", "next year", "feb28", "mar1", "leap years only", "eight years", "never"],
)
def test_the_next_occasion_is_found_however_far_it_is(
    birthday: str | None, kind: MessageType, after: date, expected: date | None
) -> None:
    assert next_occasion(person(birthday=birthday), kind, after) == expected


def test_nothing_comes_before_the_first_occasion() -> None:
    later = person(first_occasion=date(2027, 5, 16))
    assert next_occasion(later, BIRTHDAY, date(2027, 5, 1)) == date(2028, 5, 15)
    assert upcoming(ADA_ID, later, registry(), date(2027, 5, 15), 1) == []


def test_a_person_who_starts_at_the_end_of_the_calendar_has_no_next_occasion() -> None:
    assert next_occasion(person(first_occasion=date.max), BIRTHDAY, date(2027, 5, 1)) is None


def test_upcoming_says_date_zone_offset_instant_and_rule() -> None:
    (message,) = upcoming(ADA_ID, person(timezone="Asia/Kathmandu"), registry(), date(2027, 5, 1), 15)
    assert (message.occasion, message.timezone, message.utc_offset) == (
        date(2027, 5, 15),
        "Asia/Kathmandu",
        timedelta(minutes=345),
    )
    assert message.due_at.isoformat() == "2027-05-15T03:15:00+00:00"
    assert (message.rule, message.message_id) == ("plain", message_id(ADA_ID, "BIRTHDAY", date(2027, 5, 15)))


def test_upcoming_days_are_counted_from_the_first() -> None:
    assert upcoming(ADA_ID, person(), registry(), date(2027, 5, 1), 14) == []
    assert upcoming(ADA_ID, person(), registry(), date(2027, 5, 15), 1)
    assert upcoming(ADA_ID, person(), registry(), date(2027, 5, 16), 365) == []


def test_upcoming_is_sorted_by_instant() -> None:
    ada = person(anniversary=date(2015, 5, 16), country="FR", message_types=ALL)
    found = upcoming(ADA_ID, ada, registry(), date(2027, 5, 1), 30)
    assert [message.due_at for message in found] == sorted(message.due_at for message in found)
    assert {message.message_type for message in found} == set(ALL)


@pytest.mark.parametrize(
    ("facts", "occasion", "rule"),
    [
        ({"birthday": "1992-02-29"}, date(2027, 2, 28), "leap_feb28"),
        ({"birthday": "1990-03-28", "preferred_time": time(1, 30)}, date(2027, 3, 28), "gap"),
        ({"birthday": "1990-10-31", "preferred_time": time(1, 30)}, date(2027, 10, 31), "overlap"),
    ],
    ids=["leap day", "gap", "overlap"],
)
def test_the_rule_that_fired_is_told(facts: dict[str, Any], occasion: date, rule: str) -> None:
    (message,) = upcoming(ADA_ID, person(**facts), registry(), occasion, 1)
    assert message.rule == rule


def test_a_type_of_ones_own_time_and_window() -> None:
    evening = MessageTypes(replace(BIRTHDAY, send_time=time(20), late_window=timedelta(hours=2)))
    (message,) = upcoming(ADA_ID, person(), evening, date(2027, 5, 15), 1)
    assert (message.due_at.hour, message.send_before - message.due_at) == (19, timedelta(hours=2))
