"""ScheduledMessage: one occasion's message, from scheduled to sent, or to a recorded reason why not."""

from datetime import date, datetime
from typing import Final, Literal, assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.event import Event

Status = Literal["scheduled", "requested", "retrying", "sent", "cancelled", "expired", "abandoned", "in_doubt"]
PENDING: Final = frozenset[Status](("scheduled", "requested", "retrying"))
"""Still to be sent."""

Reason = Literal[
    "late",
    "late_window",
    "zone_moved",
    "birthday_changed",
    "type_removed",
    "suppressed",
    "erased",
    "already_sent",
    "tzdata",
    "operator",
    "not_allowed",
    "rejected",
    "retries_exhausted",
    "doubt",
    "restored",
    "plugin_error",
]


class MessageEvent(Event, frozen=True, kw_only=True):
    """Repeats what a projection or the dispatcher needs, so that it reads only its own tables."""

    message_type: str
    timezone: str  # the user's own spelling
    due_at: datetime  # UTC


class MessageScheduled(MessageEvent, frozen=True, kw_only=True, tag="message.scheduled.v1"):
    user_id: UUID
    occasion: date
    rule: str  # which calendar rule fired: plain, gap, overlap, skipped_day, leap_feb28, leap_mar1
    tzdata: str
    type_version: int


class MessageRescheduled(MessageEvent, frozen=True, kw_only=True, tag="message.rescheduled.v1"):
    reason: Reason
    rule: str
    tzdata: str


class MessageCancelled(MessageEvent, frozen=True, kw_only=True, tag="message.cancelled.v1"):
    reason: Reason


class MessageExpired(MessageEvent, frozen=True, kw_only=True, tag="message.expired.v1"):
    reason: Reason


class MessageReinstated(MessageEvent, frozen=True, kw_only=True, tag="message.reinstated.v1"):
    reason: Reason | Literal[""]
    rule: str
    tzdata: str


class SendRequested(MessageEvent, frozen=True, kw_only=True, tag="message.send_requested.v1"):
    attempt: int  # 1 is the first try
    channel: str
    dispatch_id: UUID
    repeat_of: UUID | None = None  # the dispatch in doubt whose calls are made again with the same key


class MessageSent(MessageEvent, frozen=True, kw_only=True, tag="message.sent.v1"):
    sent_at: datetime
    response_code: int
    provider_id: str
    template_version: int
    dispatch_id: UUID


class MessageFailed(MessageEvent, frozen=True, kw_only=True, tag="message.failed.v1"):
    error: str  # a code from a fixed list, plus the status: never the provider's words
    retry_count: int  # failures that count as a try, this one included
    retry_at: datetime
    dispatch_id: UUID


class LateResultRecorded(MessageEvent, frozen=True, kw_only=True, tag="message.late_result_recorded.v1"):
    dispatch_id: UUID
    result: str


class MessageReleased(MessageEvent, frozen=True, kw_only=True, tag="message.released.v1"):
    dispatch_id: UUID
    reason: str


class DeliveryInDoubt(MessageEvent, frozen=True, kw_only=True, tag="message.in_doubt.v1"):
    reason: str
    channel: str
    dispatch_id: UUID | None


class DoubtResolved(MessageEvent, frozen=True, kw_only=True, tag="message.doubt_resolved.v1"):
    outcome: Literal["sent", "not_sent"]
    by: str


class FailedOver(MessageEvent, frozen=True, kw_only=True, tag="message.failed_over.v1"):
    from_channel: str
    to_channel: str


class MessageAbandoned(MessageEvent, frozen=True, kw_only=True, tag="message.abandoned.v1"):
    reason: Reason
    error: str
    dispatch_id: UUID | None = None  # whose answer said so; at first it was not stored


class MessageRedriven(MessageEvent, frozen=True, kw_only=True, tag="message.redriven.v2"):
    by: str
    send_before: datetime
    reason: str = ""  # in a few words of whoever did it


ScheduledMessageEvent = (
    MessageScheduled
    | MessageRescheduled
    | MessageCancelled
    | MessageExpired
    | MessageReinstated
    | SendRequested
    | MessageSent
    | MessageFailed
    | LateResultRecorded
    | MessageReleased
    | DeliveryInDoubt
    | DoubtResolved
    | FailedOver
    | MessageAbandoned
    | MessageRedriven
)

STATUS_AFTER: Final[dict[type[MessageEvent], Status]] = {
    MessageScheduled: "scheduled",
    MessageRescheduled: "scheduled",
    MessageCancelled: "cancelled",
    MessageExpired: "expired",
    MessageReinstated: "scheduled",
    SendRequested: "requested",
    MessageSent: "sent",
    MessageFailed: "retrying",
    MessageReleased: "retrying",
    DeliveryInDoubt: "in_doubt",
    FailedOver: "retrying",
    MessageAbandoned: "abandoned",
    MessageRedriven: "scheduled",
}
"""Where each event leads. DoubtResolved leads to sent or retrying; LateResultRecorded nowhere."""


def status_after(event: MessageEvent) -> Status | None:
    """Where this event leads; None when the status stays as it was."""
    if isinstance(event, DoubtResolved):
        return "sent" if event.outcome == "sent" else "retrying"
    return STATUS_AFTER.get(type(event))


class ScheduledMessage(Struct, frozen=True, kw_only=True):
    """What the decisions about one message read (see send_decisions and message_decisions)."""

    status: Status
    user_id: UUID
    message_type: str
    occasion: date
    timezone: str
    due_at: datetime
    rule: str
    tzdata: str
    type_version: int
    reason: str = ""
    attempts: int = 0  # the number of the latest try
    retry_count: int = 0
    retry_at: datetime | None = None
    send_before: datetime | None = None  # set by a redrive; else the type's late window says
    channel: str = ""
    dispatch_id: UUID | None = None  # of the latest SendRequested
    attempted: bool = False  # a provider may have heard of it
    doubts: tuple[UUID | None, ...] = ()  # dispatches whose calls may have been accepted; None for a restored backup
    doubted_for: str = ""  # the reason of the latest doubt
    duplicates_accepted: bool = False  # by whoever redrove it in doubt, until another doubt
    sent_at: datetime | None = None

    @property
    def in_doubt(self) -> bool:
        """Sticky: stays until accepted, looked up, or resolved."""
        return bool(self.doubts)

    @property
    def waits_for_a_person(self) -> bool:
        """In doubt, and nobody has said that it may go out all the same."""
        return self.in_doubt and not self.duplicates_accepted

    @property
    def pending(self) -> bool:
        """Still to be sent."""
        return self.status in PENDING

    @property
    def uses_year_up(self) -> bool:
        """Whether it bars an annual type from the occasion's year, as far as this stream knows (a claimed dispatch does too)."""
        return self.status == "sent" or self.in_doubt


def evolve(message: ScheduledMessage | None, event: ScheduledMessageEvent) -> ScheduledMessage | None:
    """Fold one fact in. Never refuses."""
    if isinstance(event, MessageScheduled):
        return ScheduledMessage(
            status="scheduled",
            user_id=event.user_id,
            message_type=event.message_type,
            occasion=event.occasion,
            timezone=event.timezone,
            due_at=event.due_at,
            rule=event.rule,
            tzdata=event.tzdata,
            type_version=event.type_version,
        )
    if message is None:
        return None
    status = STATUS_AFTER.get(type(event), message.status)
    match event:
        case MessageRescheduled() | MessageReinstated():
            moved = {"timezone": event.timezone, "due_at": event.due_at, "rule": event.rule, "tzdata": event.tzdata}
            return replace(message, status=status, reason=event.reason, retry_at=None, **moved)
        case MessageCancelled() | MessageExpired():
            return replace(message, status=status, reason=event.reason)
        case MessageAbandoned():
            doubts = _without(message.doubts, event.dispatch_id) if event.dispatch_id else message.doubts
            return replace(message, status=status, reason=event.reason, doubts=doubts)
        case SendRequested():
            return replace(message, status=status, attempts=event.attempt, channel=event.channel, dispatch_id=event.dispatch_id)
        case MessageSent():
            return replace(message, status=status, sent_at=event.sent_at, attempted=True, doubts=())
        case MessageFailed():
            doubts = _without(message.doubts, event.dispatch_id)
            return replace(
                message, status=status, retry_count=event.retry_count, retry_at=event.retry_at, attempted=True, doubts=doubts
            )
        case MessageReleased():
            return replace(message, status=status, retry_at=None, doubts=_without(message.doubts, event.dispatch_id))
        case DeliveryInDoubt():
            doubts = (*_without(message.doubts, event.dispatch_id), event.dispatch_id)
            reason = "restored" if event.reason == "restored" else "doubt"
            doubted = {"attempted": True, "doubts": doubts, "doubted_for": event.reason, "duplicates_accepted": False}
            return replace(message, status=status, reason=reason, **doubted)
        case DoubtResolved():
            return replace(message, status="sent" if event.outcome == "sent" else "retrying", retry_at=None, doubts=())
        case FailedOver():
            return replace(message, status=status, channel=event.to_channel)
        case MessageRedriven():
            again = {"due_at": event.due_at, "send_before": event.send_before, "retry_count": 0, "retry_at": None}
            return replace(message, status=status, reason="", duplicates_accepted=message.in_doubt, **again)
        case LateResultRecorded():
            return message
        case _:
            assert_never(event)


def _without(doubts: tuple[UUID | None, ...], dispatch_id: UUID | None) -> tuple[UUID | None, ...]:
    return tuple(doubt for doubt in doubts if doubt != dispatch_id)
