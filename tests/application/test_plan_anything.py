"""Whatever is said and whatever happens, in any order: is a message sent at most once a year, and as the facts say?"""

from collections import defaultdict
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.message_type import registry
from domain.user import (
    BirthdayChanged,
    CountryChanged,
    MessageTypesChanged,
    PreferredTimeChanged,
    TimezoneChanged,
    UserErased,
    UserSuppressed,
    UserUnsuppressed,
)
from domain.wanted_message import occasions, taken_types, wanted_message
from tests.fakes import PlannerMemory
from tests.planner_scene import Life, MemoryScene, utc

START: Final = utc("2027-05-13 00:00")
DAYS: Final = tuple(date(2027, 5, day) for day in range(13, 19))
FACTS: Final = st.one_of(
    st.sampled_from(["Pacific/Kiritimati", "Asia/Tokyo", "Europe/London", "America/Los_Angeles", "Etc/GMT+12"]).map(
        TimezoneChanged
    ),
    st.sampled_from([None, *(f"1990-05-{day.day}" for day in DAYS)]).map(BirthdayChanged),
    st.sampled_from([None, time(0, 30), time(9), time(23)]).map(PreferredTimeChanged),
    st.sampled_from([("BIRTHDAY",), ("BIRTHDAY", "HOLIDAY_GREETING"), ("ANNIVERSARY",)]).map(MessageTypesChanged),
    st.sampled_from(["FR", "NO", None]).map(CountryChanged),
    st.just(UserSuppressed("complaint")),
    st.just(UserUnsuppressed()),
    st.just(UserErased()),
)
LED_TO: Final = ("requested", "claimed", "sent", "retrying", "in_doubt", "abandoned", "expired")
OUTCOMES: Final = ("sent", "retrying", "in_doubt", "abandoned")
BIRTHDAYS: Final = st.sampled_from([f"1990-05-{day.day}" for day in DAYS]).map(BirthdayChanged)
STEPS: Final = st.lists(
    st.one_of(
        st.tuples(st.just("said"), BIRTHDAYS),
        st.tuples(st.just("said"), FACTS),
        st.tuples(st.just("led to"), st.sampled_from(LED_TO)),
        st.tuples(st.just("came out"), st.sampled_from(OUTCOMES)),
        st.tuples(st.just("later"), st.integers(1, 30)),
        st.tuples(st.just("planned"), st.none()),
    ),
    min_size=4,
    max_size=20,
)
TRIED: Final = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def told(steps: list[tuple[str, Any]]) -> tuple[Life, datetime]:
    """A life in which all of this happened, and when it ended; others do only what their own rules let them."""
    life, now = Life(MemoryScene(PlannerMemory()), START, birthday="1990-05-15"), START
    life.plan(now)
    claimed: list[tuple[date, UUID]] = []
    for what, detail in steps:
        now += timedelta(minutes=1)
        waiting = [day for day, message in every_message(life).items() if message.status in ("scheduled", "retrying")]
        if what == "said":
            life.say(detail, at=now)
        elif what == "planned":
            life.plan(now)
        elif what == "later":
            now += timedelta(hours=detail)
        elif what == "led to" and waiting:
            dispatch_id = life.becomes(detail, waiting[0], now)
            claimed += [(waiting[0], dispatch_id)] if detail == "claimed" else []
        elif what == "came out" and claimed:
            life.comes_out(detail, *claimed.pop(), now)
    life.plan(now)
    return life, now


def every_message(life: Life) -> dict[date, Any]:
    known = {day: life.message(day) for day in DAYS}
    return {day: message for day, message in known.items() if message}


@TRIED
@given(STEPS)
def test_at_most_one_birthday_message_stands_in_a_year(steps: list[tuple[str, Any]]) -> None:
    life, _ = told(steps)
    standing = [day for day, message in every_message(life).items() if message.pending or message.uses_year_up]
    assert len(standing) <= 1


@TRIED
@given(STEPS)
def test_planning_again_finds_nothing_to_do(steps: list[tuple[str, Any]]) -> None:
    life, now = told(steps)
    before = {day: life.story(day) for day in DAYS}
    life.say(TimezoneChanged("Asia/Tokyo"), at=now)
    life.plan(now)
    moved = {day: life.story(day) for day in DAYS}
    life.say(TimezoneChanged("Asia/Tokyo"), at=now)
    life.plan(now)
    assert {day: life.story(day) for day in DAYS} == moved
    assert all(moved[day][: len(before[day])] == before[day] for day in DAYS)


@TRIED
@given(STEPS)
def test_whatever_waits_to_be_sent_is_what_the_person_wants_now(steps: list[tuple[str, Any]]) -> None:
    life, now = told(steps)
    user = life.scene.reader().load_users([life.user_id])[life.user_id].state
    assert user
    wanted = defaultdict(set)
    for kind in taken_types(user, registry()):
        for occasion in occasions(user, kind, DAYS[0], DAYS[-1]):
            wanted[kind.name].add((occasion.date, wanted_message(life.user_id, user, kind, occasion).due_at))
    waiting = {day: message for day, message in every_message(life).items() if message.status in ("scheduled", "retrying")}
    for day, message in waiting.items():
        if not message.in_doubt and now < message.due_at + timedelta(days=2):
            assert (day, message.due_at) in wanted["BIRTHDAY"]
