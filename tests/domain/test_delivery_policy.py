"""When is tried again, and when is it too late? (docs/calendar.md 4, 14)"""

from datetime import date, datetime, time, timedelta

import pytest

from domain.delivery_policy import retry_delay, send_before
from domain.send_time import due_instant

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
