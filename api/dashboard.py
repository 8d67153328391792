"""What do the dashboards show? Numbers only, from the read models."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from api import http_wire
from api.endpoint import Call
from api.http_wire import Listed, answer
from api.request_wire import NoParameters, known_zone
from application.forecast_load import forecast_load
from domain.errors import Invalid, Problem
from domain.scheduled_message import Status
from projections import analytics_view, message_log, messages_by_timezone
from projections.analytics_view import ANALYTICS_VIEW, LatenessBucket, Step, Throughput
from projections.message_log import MESSAGE_LOG
from projections.messages_by_timezone import MESSAGES_BY_TIMEZONE, ZoneLoad

MOST_DAYS: Final = 366
A_MONTH: Final = timedelta(days=31)
TWO_DAYS: Final = timedelta(hours=48)

Instant = Annotated[datetime, Meta(tz=True)]


class SummaryShown(Struct, frozen=True):
    """How many messages are in each status now."""

    messages: dict[Status, int]


class ThroughputShown(Struct, frozen=True):
    """What came into each status, by UTC hour or day, and how late what was sent was."""

    hours: list[Throughput]
    lateness: list[LatenessBucket]


class AskFailures(NoParameters, frozen=True, kw_only=True):
    """Which UTC days, both included; the last seven if not said."""

    first: date | None = msgspec.field(name="from", default=None)
    last: date | None = msgspec.field(name="to", default=None)
    type: str | None = None

    def days(self, today: date) -> tuple[date, date]:
        """The first and the last of them. Raises Invalid."""
        last = self.last or today
        first = self.first or last - timedelta(days=6)
        _within(first, last, timedelta(days=MOST_DAYS))
        return first, last


class AskThroughput(AskFailures, frozen=True, kw_only=True):
    """Which UTC days, both included; the last seven if not said."""

    timezone: http_wire.Zone | None = None
    by: Step | None = None


class AskForecast(NoParameters, frozen=True, kw_only=True):
    """Which due instants, half-open; the next 48 hours if not said."""

    start: Instant | None = msgspec.field(name="from", default=None)
    end: Instant | None = msgspec.field(name="to", default=None)


def summary(call: Call[NoParameters]) -> Response:
    """How many messages are in each status now."""
    call.wait_for(MESSAGE_LOG)
    with call.service.reading() as (cursor, _):
        return answer(SummaryShown(message_log.totals(cursor)))


def timezones(call: Call[NoParameters]) -> Response:
    """What waits in each zone, the one that is due first at the top."""
    call.wait_for(MESSAGES_BY_TIMEZONE)
    with call.service.reading() as (cursor, _):
        zones: list[ZoneLoad] = messages_by_timezone.zones(cursor)
    return answer(Listed(zones, None))


def throughput(call: Call[AskThroughput]) -> Response:
    """What came into each status hour by hour, and how late what was sent was; day by day where it is more than a month."""
    asked = call.query
    known_zone(asked.timezone)
    first, last = asked.days(call.now.date())
    call.wait_for(ANALYTICS_VIEW)
    with call.service.reading() as (cursor, _):
        step = asked.by or ("hour" if last - first < A_MONTH else "day")
        hours = analytics_view.throughput(cursor, first, last, by=step, timezone=asked.timezone, message_type=asked.type)
        return answer(ThroughputShown(hours, analytics_view.lateness(cursor, first, last, message_type=asked.type)))


def failures(call: Call[AskFailures]) -> Response:
    """What kept messages from being sent, the most frequent reason first; a failed try counts as often as it was made."""
    first, last = call.query.days(call.now.date())
    call.wait_for(ANALYTICS_VIEW)
    with call.service.reading() as (cursor, _):
        return answer(Listed(analytics_view.failures(cursor, first, last, message_type=call.query.type), None))


def forecast(call: Call[AskForecast]) -> Response:
    """What falls due, by minute and zone, and how long each herd takes to leave."""
    now = call.now
    start = call.query.start or now
    end = call.query.end or start + TWO_DAYS
    _within(start, end, timedelta(days=MOST_DAYS))
    call.wait_for(MESSAGES_BY_TIMEZONE)
    with call.service.reading() as (cursor, _):
        loads = messages_by_timezone.load(cursor, end)
    service = call.service
    return answer(forecast_load(loads, service.types, service.channels, now=now, start=start, end=end))


def _within(start: Any, end: Any, most: timedelta) -> None:
    """Raises Invalid."""
    if not timedelta(0) <= end - start <= most:
        raise Invalid([Problem("to", f"must not lie before `from`, nor more than {most.days} days after it")])
