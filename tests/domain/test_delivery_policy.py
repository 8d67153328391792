"""When is tried again, and when is it too late? (EDGE-CASES 4, 5, 14)"""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.delivery_policy import planning_dates, retry_delay, send_before
from domain.send_time import due_instant
from domain.timezones import NAMES

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("retry_count", "seconds"), [(0, 5), (1, 20), (2, 80), (3, 320), (4, 1280), (5, 3600), (99, 3600), (10**6, 3600)]
)
def test_retries_wait_longer_each_time_up_to_an_hour(retry_count: int, seconds: int) -> None:
    assert retry_delay(retry_count, lambda: 0.5) == timedelta(seconds=seconds / 2)
    assert retry_delay(retry_count, lambda: 0.0) == timedelta()


@pytest.mark.parametrize(
    ("timezone", "occasion", "local_time", "late_window", "too_late_from"),
    [
        pytest.param("Europe/London", date(2027, 7, 15), time(9), None, "2027-07-15T23:00Z", id="14-end-of-the-local-day"),
        pytest.param("Europe/London", date(2027, 7, 15), time(18), None, "2027-07-16T05:00Z", id="14-at-least-twelve-hours"),
        pytest.param("Europe/London", date(2027, 7, 15), time(9), 2 * HOUR, "2027-07-15T10:00Z", id="14-a-window-of-its-own"),
        pytest.param("Pacific/Apia", date(2011, 12, 30), time(9), None, "2011-12-31T10:00Z", id="4-the-day-it-was-carried-into"),
    ],
)
def test_it_is_too_late_from(
    timezone: str, occasion: date, local_time: time, late_window: timedelta | None, too_late_from: str
) -> None:
    due_at = due_instant(occasion, local_time, timezone).due_at

    assert send_before(occasion, timezone, due_at, late_window) == datetime.fromisoformat(too_late_from)


@settings(deadline=None)
@given(
    occasion=st.dates(date(1993, 1, 1), date(2060, 1, 1)),
    local_time=st.times(),
    timezone=st.sampled_from(sorted(NAMES)),
    late_window=st.one_of(st.none(), st.timedeltas(timedelta(), timedelta(days=3))),
    ahead=st.floats(0, 1),
)
def test_5_all_that_may_still_go_out_or_falls_due_within_48_hours_is_planned(
    occasion: date, local_time: time, timezone: str, late_window: timedelta | None, ahead: float
) -> None:
    due_at = due_instant(occasion, local_time, timezone).due_at
    too_late_from = send_before(occasion, timezone, due_at, late_window)
    first_look = due_at - 48 * HOUR
    now = first_look + (too_late_from - first_look) * ahead * 0.999999

    start, end = planning_dates(now, timezone, late_window)

    assert start <= occasion < end


def test_4_what_a_skipped_day_carried_over_is_still_in_the_window() -> None:
    half_past_ten_on_new_year = datetime(2011, 12, 31, 20, 30, tzinfo=UTC)  # due at 23:00 on the 31st, in place of the 30th

    start, _ = planning_dates(half_past_ten_on_new_year, "Pacific/Apia", None)

    assert start <= date(2011, 12, 30)


@pytest.mark.parametrize(("timezone", "last"), [("Pacific/Kiritimati", date(2027, 3, 4)), ("Etc/GMT+12", date(2027, 3, 2))])
def test_5_the_window_is_in_local_dates(timezone: str, last: date) -> None:
    _, end = planning_dates(datetime(2027, 3, 1, 11, 30, tzinfo=UTC), timezone, None)

    assert end - timedelta(days=1) == last
