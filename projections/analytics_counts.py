"""What do the analytics count of a batch of events?"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date
from operator import attrgetter
from typing import Any, Final

from msgspec import Struct

from application.ports import Recorded
from domain.scheduled_message import (
    STATUS_AFTER,
    DeliveryInDoubt,
    MessageAbandoned,
    MessageCancelled,
    MessageEvent,
    MessageExpired,
    MessageFailed,
    MessageSent,
    Status,
    status_after,
)
from domain.timezones import canonical
from projections.projection import Rows

BUCKETS: Final = (1, 2, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600)
"""Upper edges of the lateness histogram in seconds, inclusive; what is later still has a bucket without an edge."""
BEYOND: Final = 2**31 - 1
"""Stands for the edge of that last bucket."""

FAILURES: Final[Mapping[type[MessageEvent], Callable[[Any], str]]] = {
    MessageFailed: attrgetter("error"),
    MessageAbandoned: lambda event: event.error or event.reason,
    MessageCancelled: attrgetter("reason"),
    MessageExpired: attrgetter("reason"),
    DeliveryInDoubt: attrgetter("reason"),
}
"""The events after which a message was not sent, and what each says of why."""


class Transitions(Struct, frozen=True, order=True):
    """How many messages came into a status within one UTC hour."""

    day: date
    hour: int
    timezone: str  # canonical
    message_type: str
    status: Status
    messages: int


class Hours(Struct, frozen=True, order=True):
    """The same over all zones."""

    day: date
    hour: int
    message_type: str
    status: Status
    messages: int


class Days(Struct, frozen=True, order=True):
    """The same over all hours."""

    day: date
    message_type: str
    status: Status
    messages: int


class Lateness(Struct, frozen=True, order=True):
    """How many messages were sent within a bucket of the histogram."""

    day: date
    message_type: str
    up_to_seconds: int
    messages: int


class Failures(Struct, frozen=True, order=True):
    """How often a message was not sent on a day, and why: a failed try counts as often as it was made."""

    day: date
    message_type: str
    status: Status
    reason: str
    messages: int


def counted(events: Sequence[Recorded[MessageEvent]]) -> Rows:
    """By table, one row for each key, in order."""
    changes = ((recorded, status_after(recorded.event)) for recorded in events)
    transitions = Counter(_transition(recorded, status) for recorded, status in changes if status)
    hours, days = Counter[tuple[Any, ...]](), Counter[tuple[Any, ...]]()
    for (day, hour, _zone, message_type, status), messages in transitions.items():
        hours[day, hour, message_type, status] += messages
        days[day, message_type, status] += messages
    lateness = Counter(_lateness(recorded.event) for recorded in events if isinstance(recorded.event, MessageSent))
    failures = Counter(_failure(recorded) for recorded in events if type(recorded.event) in FAILURES)
    return {
        "analytics_transitions": _rows(Transitions, transitions),
        "analytics_hours": _rows(Hours, hours),
        "analytics_days": _rows(Days, days),
        "analytics_lateness": _rows(Lateness, lateness),
        "analytics_failures": _rows(Failures, failures),
    }


def _rows(kind: Callable[..., Struct], counted: Counter[Any]) -> list[Struct]:
    """In one order, so that two who count at once don't wait for each other in a circle."""
    return [kind(*key, messages) for key, messages in sorted(counted.items())]


def _transition(recorded: Recorded[MessageEvent], status: Status) -> tuple[date, int, str, str, Status]:
    at = recorded.at.astimezone(UTC)
    return at.date(), at.hour, canonical(recorded.event.timezone), recorded.event.message_type, status


def _lateness(event: MessageSent) -> tuple[date, str, int]:
    seconds = (event.sent_at - event.due_at).total_seconds()
    return event.sent_at.astimezone(UTC).date(), event.message_type, (*BUCKETS, BEYOND)[bisect_left(BUCKETS, seconds)]


def _failure(recorded: Recorded[MessageEvent]) -> tuple[date, str, Status, str]:
    kind = type(recorded.event)
    reason = FAILURES[kind](recorded.event)
    return recorded.at.astimezone(UTC).date(), recorded.event.message_type, STATUS_AFTER[kind], reason
