"""Does a local send time become the right instant, whatever the clocks there do? (docs/calendar.md 2-5)"""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.send_time import due_instant, end_of_local_day
from domain.timezones import NAMES, local_date, zone

HOUR = timedelta(hours=1)
NINE = time(9)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("timezone", "occasion", "local_time", "due_at", "rule"),
    [
        pytest.param("Europe/London", date(2027, 1, 15), NINE, "2027-01-15T09:00Z", "plain", id="winter"),
        pytest.param("Europe/London", date(2027, 7, 15), NINE, "2027-07-15T08:00Z", "plain", id="summer"),
        pytest.param("Pacific/Kiritimati", date(2027, 7, 15), NINE, "2027-07-14T19:00Z", "plain", id="5-first-on-earth"),
        pytest.param("Etc/GMT+12", date(2027, 7, 15), NINE, "2027-07-15T21:00Z", "plain", id="5-last-on-earth"),
        pytest.param("Asia/Kathmandu", date(2027, 7, 15), NINE, "2027-07-15T03:15Z", "plain", id="5-quarter-hour"),
        pytest.param("Pacific/Chatham", date(2027, 1, 15), NINE, "2027-01-14T19:15Z", "plain", id="5-chatham-summer"),
        pytest.param("America/New_York", date(2027, 3, 14), time(2, 30), "2027-03-14T07:30Z", "gap", id="2-one-hour"),
        pytest.param("America/New_York", date(2027, 3, 14), time(2), "2027-03-14T07:00Z", "gap", id="2-its-first-instant"),
        pytest.param("America/New_York", date(2027, 3, 14), time(3), "2027-03-14T07:00Z", "plain", id="2-just-after"),
        pytest.param("Australia/Lord_Howe", date(2027, 10, 3), time(2, 15), "2027-10-02T15:45Z", "gap", id="2-half-an-hour"),
        pytest.param("Antarctica/Troll", date(2027, 3, 28), time(1, 30), "2027-03-28T01:30Z", "gap", id="2-two-hours"),
        pytest.param("Africa/Cairo", date(2027, 4, 30), time(0), "2027-04-29T22:00Z", "gap", id="2-at-midnight"),
        pytest.param("America/New_York", date(2027, 11, 7), time(1, 30), "2027-11-07T05:30Z", "overlap", id="3-one-hour"),
        pytest.param("Australia/Lord_Howe", date(2027, 4, 4), time(1, 45), "2027-04-03T14:45Z", "overlap", id="3-half-an-hour"),
        pytest.param("Pacific/Apia", date(2011, 12, 30), NINE, "2011-12-30T19:00Z", "skipped_day", id="4-apia"),
        pytest.param("Pacific/Apia", date(2011, 12, 30), time(0), "2011-12-30T10:00Z", "skipped_day", id="4-apia-midnight"),
        pytest.param("Pacific/Apia", date(2011, 12, 31), NINE, "2011-12-30T19:00Z", "plain", id="4-apia-the-day-after"),
        pytest.param("Pacific/Kwajalein", date(1993, 8, 21), NINE, "1993-08-21T21:00Z", "skipped_day", id="4-kwajalein"),
        pytest.param("Pacific/Kiritimati", date(1994, 12, 31), NINE, "1994-12-31T19:00Z", "skipped_day", id="4-kiritimati"),
    ],
)
def test_a_send_time_falls_at(timezone: str, occasion: date, local_time: time, due_at: str, rule: str) -> None:
    due = due_instant(occasion, local_time, timezone)

    assert (due.due_at, due.rule) == (instant(due_at), rule)
    assert due.due_at.tzinfo is UTC


def test_the_offset_is_the_one_in_force_at_that_instant() -> None:
    assert due_instant(date(2027, 3, 14), time(2, 30), "America/New_York").utc_offset == -4 * HOUR
    assert due_instant(date(2027, 11, 7), time(1, 30), "America/New_York").utc_offset == -4 * HOUR
    assert due_instant(date(2011, 12, 30), NINE, "Pacific/Apia").utc_offset == 14 * HOUR


@given(
    occasion=st.dates(date(1993, 1, 1), date(2060, 12, 31)),
    local_time=st.times().map(lambda t: t.replace(microsecond=0)),
    timezone=st.sampled_from(sorted(NAMES)),
)
def test_the_clock_on_the_wall_shows_the_send_time_unless_a_gap_swallowed_it(
    occasion: date, local_time: time, timezone: str
) -> None:
    due = due_instant(occasion, local_time, timezone)
    wall = due.due_at.astimezone(zone(timezone))

    asked = datetime.combine(occasion, local_time)
    shown = wall.replace(tzinfo=None)
    assert wall.utcoffset() == due.utc_offset
    assert shown > asked if due.rule in ("gap", "skipped_day") else (shown, wall.fold) == (asked, 0)


@pytest.mark.parametrize("timezone", sorted(NAMES))
def test_nine_in_the_morning_is_plain_on_every_day_of_the_year_everywhere(timezone: str) -> None:
    for day in range(366):
        occasion = date(2027, 1, 1) + timedelta(days=day)
        due = due_instant(occasion, NINE, timezone)
        assert due.rule == "plain"
        assert due.due_at.astimezone(zone(timezone)).replace(tzinfo=None) == datetime.combine(occasion, NINE)


@pytest.mark.parametrize(
    ("timezone", "day", "end"),
    [
        pytest.param("Europe/London", date(2027, 7, 15), "2027-07-15T23:00Z", id="plain"),
        pytest.param("Africa/Cairo", date(2027, 4, 29), "2027-04-29T22:00Z", id="2-midnight-starts-a-gap"),
        pytest.param("America/Scoresbysund", date(2027, 3, 27), "2027-03-28T01:00Z", id="2-the-gap-ends-at-midnight"),
        pytest.param("Antarctica/Casey", date(2011, 10, 27), "2011-10-27T16:00Z", id="2-an-ordinary-day-before-a-gap"),
        pytest.param("America/Toronto", date(1919, 3, 30), "1919-03-31T04:30Z", id="2-midnight-inside-a-gap"),
        pytest.param("America/Havana", date(2027, 11, 6), "2027-11-07T04:00Z", id="3-midnight-comes-twice"),
        pytest.param("America/St_Johns", date(2010, 11, 6), "2010-11-07T03:30Z", id="3-the-old-date-comes-back"),
        pytest.param("Pacific/Apia", date(2011, 12, 29), "2011-12-30T10:00Z", id="4-before-a-skipped-day"),
        pytest.param("Pacific/Apia", date(2011, 12, 30), "2011-12-30T10:00Z", id="4-the-skipped-day-itself"),
    ],
)
def test_a_local_day_ends_at(timezone: str, day: date, end: str) -> None:
    assert end_of_local_day(day, timezone) == instant(end)


@given(day=st.dates(date(1950, 1, 1), date(2060, 12, 31)), timezone=st.sampled_from(sorted(NAMES)))
def test_from_the_end_of_a_day_on_it_is_never_that_day_again(day: date, timezone: str) -> None:
    end = end_of_local_day(day, timezone)

    assert local_date(end, timezone) > day
    assert all(local_date(end + minutes * HOUR / 60, timezone) > day for minutes in (1, 31, 61, 121))
    assert local_date(end - timedelta(microseconds=1), timezone) <= day
