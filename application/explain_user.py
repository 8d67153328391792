"""Explain: what does a person get next, why then, and what became of each message? From the events and the calendar alone."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

from msgspec import Struct

from application.ports import EventStore, Recorded
from application.upcoming import failing, upcoming
from domain.errors import UserUnknown
from domain.event import Event
from domain.message_type import MessageTypes
from domain.scheduled_message import ScheduledMessage
from domain.timezones import local_date, zone
from domain.user import User, UserEvent, evolve
from domain.wanted_message import WantedMessage, why_silent

LOOK_BACK: Final = timedelta(days=400)


class ExplainedMessage(Struct, frozen=True, kw_only=True):
    """One occasion: what the calendar says of it, and its message's story, which is empty until it is planned."""

    message_type: str
    occasion: date
    timezone: str
    utc_offset: timedelta
    due_at: datetime
    rule: str
    tzdata: str
    message_id: UUID
    message: ScheduledMessage | None
    history: list[Recorded[Event]]


class Explanation(Struct, frozen=True, kw_only=True):
    """`silent`: by message type, why nothing of it ever comes."""

    user_id: UUID
    timezone: str
    message_types: tuple[str, ...]
    first_occasion: date
    suppressed: bool
    erased: bool
    silent: dict[str, str]
    messages: list[ExplainedMessage]


def explain_user(user_id: UUID, store: EventStore, types: MessageTypes, now: datetime, days: int) -> Explanation:
    """Occasions from 400 days ago, if they have a message, to `days` ahead. Raises UserUnknown."""
    history = [cast(UserEvent, recorded.event) for recorded in store.history("users", user_id)]
    lives = list(_lives(history))
    if not lives:
        raise UserUnknown
    user, today = lives[-1], local_date(now, lives[-1].timezone)
    ahead = {wanted.message_id: wanted for wanted in upcoming(user_id, user, types, today, days)}
    # What was planned under facts that have changed since has its story, too.
    known = {
        wanted.message_id: wanted
        for life in lives
        for wanted in upcoming(user_id, life, types, today - LOOK_BACK, LOOK_BACK.days + days)
    } | ahead
    streams = store.load_messages(known)
    return Explanation(
        user_id=user_id,
        timezone=user.timezone,
        message_types=user.message_types,
        first_occasion=user.first_occasion,
        suppressed=user.suppressed,
        erased=user.erased,
        silent=_silent(user, types, today, days),
        messages=[
            _explained(wanted, streams[message_id].state, store)
            for message_id, wanted in sorted(known.items(), key=lambda item: (item[1].due_at, item[1].message_type))
            if message_id in ahead or streams[message_id].state is not None
        ],
    )


def _silent(user: User, types: MessageTypes, today: date, days: int) -> dict[str, str]:
    """Nothing of somebody erased, whose facts are gone: `erased` says why."""
    if user.erased:
        return {}
    why = {name: said for name in user.message_types if name in types and (said := why_silent(user, types[name]))}
    for name, error in failing(user, types, today, days).items():
        why[name] = f"Its own code fails on this person ({error}); what was planned stays, and the planner asks it again daily."
    return why


def _lives(history: list[UserEvent]) -> Iterator[User]:
    user: User | None = None
    for event in history:
        user = evolve(user, event)
        if user is not None:
            yield user


def _explained(wanted: WantedMessage, message: ScheduledMessage | None, store: EventStore) -> ExplainedMessage:
    planned: Any = message or wanted
    return ExplainedMessage(
        message_type=wanted.message_type,
        occasion=wanted.occasion,
        timezone=planned.timezone,
        utc_offset=planned.due_at.astimezone(zone(planned.timezone)).utcoffset(),
        due_at=planned.due_at,
        rule=planned.rule,
        tzdata=planned.tzdata,
        message_id=wanted.message_id,
        message=message,
        history=store.history("messages", wanted.message_id) if message else [],
    )
