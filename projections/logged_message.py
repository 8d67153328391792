"""What do a message's events make of its row in the log, and of the totals?"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from application.ports import Recorded
from domain.delivery_policy import ITS_MINUTE
from domain.event import Event
from domain.scheduled_message import (
    DeliveryInDoubt,
    DoubtResolved,
    MessageAbandoned,
    MessageCancelled,
    MessageExpired,
    MessageFailed,
    MessageRedriven,
    MessageSent,
    ScheduledMessage,
    Status,
    evolve,
)
from domain.timezones import canonical
from projections.message_filter import BAD_ENDS

ERRORS: Final[Mapping[type[Event], Callable[[Any], str]]] = {
    MessageFailed: attrgetter("error"),
    MessageAbandoned: attrgetter("error"),
    DeliveryInDoubt: attrgetter("reason"),
    **dict.fromkeys((MessageSent, DoubtResolved, MessageRedriven), lambda _: ""),
}
"""What each event says of what went wrong; the others leave it as it is."""
FAILED: Final = frozenset((MessageFailed, MessageAbandoned, MessageCancelled, MessageExpired, DeliveryInDoubt))
"""After these, something went wrong."""


class LoggedMessage(Struct, frozen=True):
    """A message as it stands."""

    id: UUID
    user_id: UUID
    message_type: str
    occasion: date
    timezone: str  # the user's own spelling
    due_at: datetime
    status: Status
    reason: str  # see `reason_shown`
    attempts: int
    channel: str  # empty until requested
    sent_at: datetime | None
    doubts: tuple[UUID | None, ...]  # as in ScheduledMessage
    updated_at: datetime  # when its last event was recorded
    error: str  # the code of what went wrong last; empty once that is over
    failed_at: datetime | None  # when something last went wrong, whatever came of it

    @property
    def in_doubt(self) -> bool:
        """Whether a provider may have accepted it without our knowing, whatever its status."""
        return bool(self.doubts)


class Row(LoggedMessage, frozen=True):
    """A row as it is written."""

    ended_badly: Status | None  # the status, where it is one of BAD_ENDS: an index knows these
    canonical_timezone: str


class Total(Struct, frozen=True):
    """How many messages of an occasion's date are in a status now."""

    occasion: date
    status: Status
    messages: int


def reason_shown(message: ScheduledMessage) -> str:
    """Why the message stands where it stands, in one of the wire's words.

    Empty when sent within its minute, `late` when sent after it, `doubt` or `restored` when it counts as sent on somebody's word.
    """
    if message.sent_at is not None:
        return "late" if message.sent_at - message.due_at >= ITS_MINUTE else ""
    if message.pending and message.reason in ("doubt", "restored") and not message.in_doubt:
        return ""
    return message.reason


def rows_of(events: Sequence[Recorded[Any]], known: Mapping[UUID, LoggedMessage]) -> list[Row]:
    """What the events make of the rows so far: of none, where they are all there is of their messages."""
    states: dict[UUID, ScheduledMessage | None] = {message_id: _state(row) for message_id, row in known.items()}
    errors = {message_id: row.error for message_id, row in known.items()}
    failed = {message_id: row.failed_at for message_id, row in known.items()}
    for recorded in events:
        message_id = recorded.stream_id
        states[message_id] = evolve(states.get(message_id), recorded.event)
        if error := ERRORS.get(type(recorded.event)):
            errors[message_id] = error(recorded.event)
        if type(recorded.event) in FAILED:
            failed[message_id] = recorded.at
    at = {recorded.stream_id: recorded.at for recorded in events}
    return [
        _row(message_id, state, at[message_id], errors.get(message_id, ""), failed.get(message_id))
        for message_id, state in states.items()
        if state
    ]


def _state(row: LoggedMessage) -> ScheduledMessage:
    return ScheduledMessage(
        status=row.status,
        user_id=row.user_id,
        message_type=row.message_type,
        occasion=row.occasion,
        timezone=row.timezone,
        due_at=row.due_at,
        rule="",  # this and the next two are no matter of the log, and no fold reads them
        tzdata="",
        type_version=0,
        reason=row.reason,
        attempts=row.attempts,
        channel=row.channel,
        doubts=tuple(row.doubts),
        sent_at=row.sent_at,
    )


def _row(message_id: UUID, state: ScheduledMessage, at: datetime, error: str, failed_at: datetime | None) -> Row:
    return Row(
        id=message_id,
        user_id=state.user_id,
        message_type=state.message_type,
        occasion=state.occasion,
        timezone=state.timezone,
        due_at=state.due_at,
        status=state.status,
        reason=reason_shown(state),
        attempts=state.attempts,
        channel=state.channel,
        sent_at=state.sent_at,
        doubts=state.doubts,
        updated_at=at,
        error=error,
        failed_at=failed_at,
        ended_badly=state.status if state.status in BAD_ENDS else None,
        canonical_timezone=canonical(state.timezone),
    )


def changed(before: Iterable[LoggedMessage], after: Iterable[LoggedMessage]) -> list[Total]:
    """What the totals gain and lose where these rows take the place of those."""
    changes = Counter((row.occasion, row.status) for row in after)
    changes.subtract(Counter((row.occasion, row.status) for row in before))
    return [Total(occasion, status, change) for (occasion, status), change in sorted(changes.items()) if change]
