"""Is a herd spread after its send time, each person in the same place every year, and nobody past the day or the window?"""

from collections import Counter
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.message_type import Occasion
from domain.message_types.birthday import BIRTHDAY
from domain.timezones import local_date
from domain.user import User
from domain.wanted_message import WantedMessage, wanted_message

DAY = date(2027, 5, 15)
HERD = [UUID(int=number) for number in range(3000)]
HOUR = timedelta(hours=1)


def ada(**facts: Any) -> User:
    told: dict[str, Any] = {
        "first_name": "Ada",
        "email": "ada@example.org",
        "timezone": "Europe/London",
        "first_occasion": date(2020, 1, 1),
    }
    return User(**(told | facts))


def wanted(user_id: UUID, day: date = DAY, user: User | None = None, **settings: Any) -> WantedMessage:
    return wanted_message(user_id, user or ada(), replace(BIRTHDAY, **settings), Occasion(day))


def delays(**settings: Any) -> list[timedelta]:
    sharp = wanted(HERD[0], **settings | {"spread_minutes": 0}).due_at
    return [wanted(user_id, **settings).due_at - sharp for user_id in HERD]


def test_without_a_spread_everybody_is_due_at_the_send_time():
    assert set(delays(spread_minutes=0)) == {timedelta()}


def test_a_herd_is_spread_evenly_and_never_before_the_send_time():
    found = delays(spread_minutes=60)
    assert timedelta() <= min(found) < timedelta(minutes=2)
    assert timedelta(minutes=58) < max(found) < HOUR
    tenths = Counter(delay // timedelta(minutes=6) for delay in found)
    assert all(220 < tenths[tenth] < 380 for tenth in range(10))
    assert all(delay.microseconds == 0 for delay in found)


def test_everybody_keeps_their_place_from_year_to_year():
    for user_id in HERD[:50]:
        this_year, next_year = (wanted(user_id, date(year, 5, 15), spread_minutes=30).due_at for year in (2027, 2028))
        assert this_year.time() == next_year.time()


def test_a_person_has_another_place_in_every_type():
    places = {wanted(HERD[7], name=name, spread_minutes=60).due_at for name in ("BIRTHDAY", "ANNIVERSARY", "HOLIDAY_GREETING")}
    assert len(places) == 3


def test_nobody_is_spread_into_the_next_local_day():
    late_evening: dict[str, Any] = {"send_time": time(23, 50), "spread_minutes": 60}
    dues = [wanted(user_id, **late_evening) for user_id in HERD]
    assert {local_date(message.due_at, "Europe/London") for message in dues} == {DAY}
    assert len({message.due_at for message in dues}) > 500  # of the ten minutes that are left, each in their place


def test_nobody_is_spread_past_the_late_window():
    found = delays(spread_minutes=60, late_window=timedelta(minutes=10))
    assert timedelta(minutes=9) < max(found) < timedelta(minutes=10)


def test_the_late_window_begins_where_the_message_is_due():
    message = wanted(HERD[3], spread_minutes=60, late_window=timedelta(hours=2))
    assert message.send_before - message.due_at == timedelta(hours=2)


def test_who_asked_for_a_time_of_their_own_gets_it_sharp():
    message = wanted(HERD[3], user=ada(preferred_time=time(7, 30)), spread_minutes=60)
    assert message.due_at == datetime.fromisoformat("2027-05-15T06:30:00+00:00")


@pytest.mark.parametrize(
    ("timezone", "day", "send_time", "earliest"),
    [
        ("Europe/London", date(2027, 3, 28), time(1, 15), "2027-03-28T01:15:00+00:00"),
        ("Europe/London", date(2027, 10, 31), time(1, 15), "2027-10-31T00:15:00+00:00"),
        ("Pacific/Apia", date(2011, 12, 30), time(9), "2011-12-30T19:00:00+00:00"),
    ],
    ids=["gap", "overlap", "skipped-day"],
)
def test_a_spread_begins_where_a_change_of_the_clocks_puts_the_send_time(timezone, day, send_time, earliest):
    start = datetime.fromisoformat(earliest)
    user = ada(timezone=timezone, first_occasion=date(2000, 1, 1))
    dues = [wanted(user_id, day, user, send_time=send_time, spread_minutes=60).due_at for user_id in HERD[:300]]
    assert start <= min(dues) < start + timedelta(minutes=2)
    assert max(dues) < start + HOUR


def test_the_offset_told_is_the_one_in_force_when_the_message_is_due():
    # Clocks go back from 02:00 to 01:00 at 01:00Z: whoever is spread beyond it is told the winter offset.
    dues = [wanted(user_id, date(2027, 10, 31), send_time=time(1, 15), spread_minutes=60) for user_id in HERD[:300]]
    turn = datetime.fromisoformat("2027-10-31T01:00:00+00:00")
    assert {message.utc_offset for message in dues if message.due_at < turn} == {HOUR}
    assert {message.utc_offset for message in dues if message.due_at >= turn} == {timedelta()}
