"""Explain a year: why did, or didn't, a person get a message type in it? From the events and the calendar alone."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import cast
from uuid import UUID

from msgspec import Struct

from application.never_planned import Because, Life, NeverPlanned
from application.pause_sending import PastPause
from application.ports import EventStore, Recorded
from application.told_message import told_message
from domain.errors import Invalid, MonthArchived, Problem, UserUnknown
from domain.event import Event
from domain.message_id import message_id
from domain.message_type import MessageTypes
from domain.scheduled_message import ScheduledMessage
from domain.user import UserEvent, evolve


class YearExplained(Struct, frozen=True, kw_only=True):
    """`got` is how many were sent; `because` says of each occasion, or of the year, what came of it and why."""

    user_id: UUID
    message_type: str
    year: int
    got: int
    because: list[Because]


def explain_year(
    user_id: UUID,
    message_type: str,
    year: int,
    store: EventStore,
    types: MessageTypes,
    pauses: Sequence[PastPause],
    now: datetime,
) -> YearExplained:
    """Raises UserUnknown, Invalid for a year that no calendar has, BrokenStreams."""
    days = days_of(year)
    history = store.history("users", user_id)
    lives = _lives(history)
    if not lives:
        raise UserUnknown
    messages, archived = _stored(user_id, message_type, days, store)
    told = {
        day: told_message(each, state, store.history("messages", each), history, pauses)
        for day, (each, state) in messages.items()
    }
    never = NeverPlanned(user_id, message_type, types, lives, now)
    left = never.occasions(days[0], days[-1], [state for _, state in messages.values()])
    told |= {day: archived.get(day, because) for day, because in left.items() if day not in told}
    because = [told[day] for day in sorted(told)] or [*archived.values()][:1] or [never.year(days[0], days[-1])]
    return YearExplained(
        user_id=user_id,
        message_type=message_type,
        year=year,
        got=sum(_is_sent(state) for _, state in messages.values()),
        because=because,
    )


def _stored(
    user_id: UUID, message_type: str, days: Sequence[date], store: EventStore
) -> tuple[dict[date, tuple[UUID, ScheduledMessage]], dict[date, Because]]:
    """The year's messages by date, and what is to be said of the dates whose month is archived.

    Whatever the facts were, and whether anybody can still read them: a message has one of these IDs.
    """
    messages: dict[date, tuple[UUID, ScheduledMessage]] = {}
    archived: dict[date, Because] = {}
    for month in range(1, 13):
        ids = {message_id(user_id, message_type, day): day for day in days if day.month == month}
        try:
            found = store.load_messages(ids)
        except MonthArchived as error:
            said = f"What was planned is out of reach: {error}."
            archived |= {day: Because(code="archived", sentence=said, occasion=day) for day in ids.values()}
        else:
            messages |= {ids[each]: (each, stream.state) for each, stream in found.items() if stream.state}
    return messages, archived


def _is_sent(message: ScheduledMessage) -> bool:
    return message.status == "sent"


def days_of(year: int) -> list[date]:
    """Raises Invalid."""
    if not 1970 <= year <= 2199:
        raise Invalid([Problem("year", "must be from 1970 to 2199")])
    first = date(year, 1, 1)
    return [first + timedelta(days=number) for number in range((date(year + 1, 1, 1) - first).days)]


def _lives(history: Sequence[Recorded[Event]]) -> list[Life]:
    """What was known of the person after each event, and until when."""
    lives: list[Life] = []
    user = None
    for number, fact in enumerate(history):
        user = evolve(user, cast(UserEvent, fact.event))
        if user is not None:
            until = history[number + 1].at if number + 1 < len(history) else None
            lives.append(Life(user=user, fact=fact, until=until))
    return lives
