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
from domain.errors import Invalid, Problem, UserUnknown
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
    days = _days_of(year)
    history = store.history("users", user_id)
    lives = _lives(history)
    if not lives:
        raise UserUnknown
    # Whatever the facts were, and whether anybody can still read them: a message of that year has one of these IDs.
    streams = store.load_messages({message_id(user_id, message_type, day) for day in days})
    messages = {state.occasion: (each, state) for each, stream in streams.items() if (state := stream.state)}
    told = {
        day: told_message(each, state, store.history("messages", each), history, pauses)
        for day, (each, state) in messages.items()
    }
    never = NeverPlanned(user_id, message_type, types, lives, now)
    left = never.occasions(days[0], days[-1], [state for _, state in messages.values()])
    told |= {day: because for day, because in left.items() if day not in told}
    because = [told[day] for day in sorted(told)] or [never.year(days[0], days[-1])]
    return YearExplained(
        user_id=user_id,
        message_type=message_type,
        year=year,
        got=sum(_is_sent(state) for _, state in messages.values()),
        because=because,
    )


def _is_sent(message: ScheduledMessage) -> bool:
    return message.status == "sent"


def _days_of(year: int) -> list[date]:
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
