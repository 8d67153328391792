"""Which facts may follow in a message's life: plan, move, cancel, request, record; one decision per event."""

from datetime import date, datetime
from typing import Any, Final, Literal, NoReturn
from uuid import UUID

from domain.errors import AlreadyScheduled, AlreadySent, BeingSent, MessageUnknown, NotAllowed
from domain.scheduled_message import (
    DeliveryInDoubt,
    DoubtResolved,
    FailedOver,
    LateResultRecorded,
    MessageAbandoned,
    MessageCancelled,
    MessageExpired,
    MessageFailed,
    MessageRedriven,
    MessageReinstated,
    MessageReleased,
    MessageRescheduled,
    MessageScheduled,
    MessageSent,
    Reason,
    ScheduledMessage,
    ScheduledMessageEvent,
    SendRequested,
    Status,
)

Events = list[ScheduledMessageEvent]

ALLOWED: Final[dict[str, frozenset[Status]]] = {
    "reschedule": frozenset({"scheduled", "retrying", "requested"}),
    "cancel": frozenset({"scheduled", "retrying", "in_doubt", "requested"}),
    "expire": frozenset({"scheduled", "retrying", "requested"}),
    "reinstate": frozenset({"cancelled", "expired"}),
    "request": frozenset({"scheduled", "retrying", "in_doubt"}),
    "fail": frozenset({"requested", "in_doubt"}),
    "release": frozenset({"requested", "in_doubt"}),
    "put_in_doubt": frozenset({"requested", "scheduled", "retrying"}),
    "resolve_doubt": frozenset({"in_doubt", "scheduled", "retrying"}),
    "fail_over": frozenset({"scheduled", "retrying"}),
    "abandon": frozenset({"requested", "retrying", "in_doubt"}),
    "redrive": frozenset({"abandoned", "expired", "in_doubt"}),
}
"""From which states each command is taken; DESIGN §3 in one table. From requested, the first three need the dispatch given up;
a doubt is also resolved where it has outlived a redrive or a repeat that failed."""


def schedule(
    message: ScheduledMessage | None,
    *,
    user_id: UUID,
    message_type: str,
    occasion: date,
    timezone: str,
    due_at: datetime,
    rule: str,
    tzdata: str,
    type_version: int,
) -> Events:
    """Plan this occasion's message. Raises AlreadyScheduled."""
    if message is not None:
        raise AlreadyScheduled
    return [
        MessageScheduled(
            user_id=user_id,
            message_type=message_type,
            occasion=occasion,
            timezone=timezone,
            due_at=due_at,
            rule=rule,
            tzdata=tzdata,
            type_version=type_version,
        )
    ]


def reschedule(
    message: ScheduledMessage | None,
    *,
    due_at: datetime,
    timezone: str,
    rule: str,
    tzdata: str,
    reason: Reason,
    given_up: UUID | None = None,
) -> Events:
    """Move it to another instant or zone; the same ones are not news.

    `given_up` is the dispatch withdrawn in the same append, needed when the message is requested.
    Raises MessageUnknown, NotAllowed, BeingSent.
    """
    known = _taken("reschedule", message, given_up)
    if (known.due_at, known.timezone, known.tzdata) == (due_at, timezone, tzdata):
        return []
    return [
        MessageRescheduled(
            message_type=known.message_type, timezone=timezone, due_at=due_at, reason=reason, rule=rule, tzdata=tzdata
        )
    ]


def cancel(message: ScheduledMessage | None, reason: Reason, given_up: UUID | None = None) -> Events:
    """Send nothing for this occasion. `given_up`: the dispatch withdrawn, or claimed and not attempted, by the caller.

    Raises MessageUnknown, NotAllowed, BeingSent.
    """
    known = _taken("cancel", message, given_up)
    return [MessageCancelled(**_repeated(known), reason=reason)]


def expire(message: ScheduledMessage | None, reason: Reason, given_up: UUID | None = None) -> Events:
    """Too late to be sent. `given_up` as in cancel. Raises MessageUnknown, NotAllowed, BeingSent."""
    known = _taken("expire", message, given_up)
    return [MessageExpired(**_repeated(known), reason=reason)]


def reinstate(message: ScheduledMessage | None, *, due_at: datetime, timezone: str, rule: str, tzdata: str) -> Events:
    """Plan it again after all. The planner asks the once-a-year rule first.

    Raises MessageUnknown, NotAllowed: also for a message a provider may have heard of; an operator's cancellation sticks.
    """
    known = _taken("reinstate", message)
    if known.attempted:
        raise NotAllowed("reinstate", known.status, "a provider may have heard of it")
    if known.reason in ("operator", "not_allowed"):
        raise NotAllowed("reinstate", known.status, "an operator decided so")
    return [
        MessageReinstated(message_type=known.message_type, timezone=timezone, due_at=due_at, reason="", rule=rule, tzdata=tzdata)
    ]


def request(
    message: ScheduledMessage | None,
    *,
    channel: str,
    dispatch_id: UUID,
    repeat_of: UUID | None = None,
    may_repeat: bool = False,
) -> Events:
    """Hand it to the workers as a member of `dispatch_id`.

    `may_repeat`: the channel is idempotent and the key still lives, or the type prefers delivery; else doubt waits for a person.
    Raises MessageUnknown, NotAllowed.
    """
    known = _taken("request", message)
    if known.waits_for_a_person and not may_repeat:
        raise NotAllowed("request", known.status, "it may have been accepted already")
    return [
        SendRequested(
            **_repeated(known), attempt=known.retry_count + 1, channel=channel, dispatch_id=dispatch_id, repeat_of=repeat_of
        )
    ]


def record_sent(
    message: ScheduledMessage | None,
    *,
    sent_at: datetime,
    response_code: int,
    provider_id: str,
    template_version: int,
    dispatch_id: UUID,
) -> Events:
    """The provider accepted it, for whichever dispatch; a second acceptance is recorded as late. Raises MessageUnknown."""
    known = _known(message)
    if known.status == "sent":
        return record_late(known, dispatch_id, "accepted")
    return [
        MessageSent(
            **_repeated(known),
            sent_at=sent_at,
            response_code=response_code,
            provider_id=provider_id,
            template_version=template_version,
            dispatch_id=dispatch_id,
        )
    ]


def record_failed(message: ScheduledMessage | None, *, error: str, counts: bool, retry_at: datetime, dispatch_id: UUID) -> Events:
    """Known as not accepted, to be tried again at `retry_at`; of an old dispatch it no longer steers. Raises MessageUnknown."""
    known = _known(message)
    if not _current(known, dispatch_id, "fail"):
        return record_late(known, dispatch_id, error)
    retry_count = known.retry_count + counts
    return [MessageFailed(**_repeated(known), error=error, retry_count=retry_count, retry_at=retry_at, dispatch_id=dispatch_id)]


def record_late(message: ScheduledMessage | None, dispatch_id: UUID, result: str) -> Events:
    """Keep a result that no longer steers. Raises MessageUnknown."""
    return [LateResultRecorded(**_repeated(_known(message)), dispatch_id=dispatch_id, result=result)]


def release(message: ScheduledMessage | None, *, dispatch_id: UUID, reason: str) -> Events:
    """Claimed, never attempted: due again now, no try burnt. Of an old dispatch it is recorded as late. Raises MessageUnknown."""
    known = _known(message)
    if not _current(known, dispatch_id, "release"):
        return record_late(known, dispatch_id, "released")
    return [MessageReleased(**_repeated(known), dispatch_id=dispatch_id, reason=reason)]


def put_in_doubt(message: ScheduledMessage | None, *, reason: str, channel: str, dispatch_id: UUID | None) -> Events:
    """It may have been accepted. From scheduled and retrying only for `restored`; of an old dispatch it is recorded as late.

    Raises MessageUnknown, NotAllowed.
    """
    known = _known(message)
    if reason != "restored" and not (known.status == "requested" and known.dispatch_id == dispatch_id):
        if dispatch_id is None:
            _refuse("put_in_doubt", known)
        return record_late(known, dispatch_id, "ambiguous")
    known = _taken("put_in_doubt", known, given_up=known.dispatch_id)
    return [DeliveryInDoubt(**_repeated(known), reason=reason, channel=channel, dispatch_id=dispatch_id)]


def resolve_doubt(message: ScheduledMessage | None, outcome: Literal["sent", "not_sent"], by: str) -> Events:
    """The provider was asked, or a person knows. Raises MessageUnknown, NotAllowed."""
    known = _taken("resolve_doubt", message)
    if not known.in_doubt:
        _refuse("resolve_doubt", known)
    return [DoubtResolved(**_repeated(known), outcome=outcome, by=by)]


def clear_doubt(message: ScheduledMessage | None, *, dispatch_id: UUID, by: str) -> Events:
    """The provider was asked before the call for `dispatch_id` was made, and has never taken it.

    Not news without a doubt, nor when it has gone on without that dispatch: what came since is not what was asked for.
    Raises MessageUnknown.
    """
    known = _known(message)
    if not known.in_doubt or (known.status, known.dispatch_id) != ("requested", dispatch_id):
        return []
    return [DoubtResolved(**_repeated(known), outcome="not_sent", by=by)]


def fail_over(message: ScheduledMessage | None, *, from_channel: str, to_channel: str) -> Events:
    """Go on through another channel: only what no provider can have accepted. Raises MessageUnknown, NotAllowed."""
    known = _taken("fail_over", message)
    if known.in_doubt:
        raise NotAllowed("fail over", known.status, "it may have been accepted already")
    return [FailedOver(**_repeated(known), from_channel=from_channel, to_channel=to_channel)]


def abandon(message: ScheduledMessage | None, *, reason: Reason, error: str, dispatch_id: UUID | None = None) -> Events:
    """Give up, visibly: the dead letter. A result of an old dispatch is recorded as late. Raises MessageUnknown, NotAllowed."""
    known = _known(message)
    if dispatch_id is not None and known.dispatch_id != dispatch_id:
        return record_late(known, dispatch_id, error)
    if dispatch_id is not None and known.status not in ALLOWED["abandon"]:
        return record_late(known, dispatch_id, error)
    known = _taken("abandon", known)
    return [MessageAbandoned(**_repeated(known), reason=reason, error=error, dispatch_id=dispatch_id)]


def redrive(
    message: ScheduledMessage | None,
    *,
    by: str,
    due_at: datetime,
    send_before: datetime,
    reason: str = "",
    accept_duplicates: bool = False,
) -> Events:
    """Try again what was given up. Whoever calls holds the once-a-year guard. Raises MessageUnknown, NotAllowed."""
    known = _taken("redrive", message)
    if known.in_doubt and not accept_duplicates:
        raise NotAllowed("redrive", known.status, "it may have been accepted already; accept duplicates to send it all the same")
    return [
        MessageRedriven(
            message_type=known.message_type, timezone=known.timezone, due_at=due_at, by=by, reason=reason, send_before=send_before
        )
    ]


def _known(message: ScheduledMessage | None) -> ScheduledMessage:
    if message is None:
        raise MessageUnknown
    return message


GIVES_UP: Final = frozenset({"reschedule", "cancel", "expire"})


def _taken(command: str, message: ScheduledMessage | None, given_up: UUID | None = None) -> ScheduledMessage:
    known = _known(message)
    if known.status == "sent":
        raise AlreadySent
    if known.status not in ALLOWED[command]:
        _refuse(command, known)
    if command in GIVES_UP and known.status == "requested" and given_up != known.dispatch_id:
        raise BeingSent
    return known


def _refuse(command: str, message: ScheduledMessage) -> NoReturn:
    raise NotAllowed(command.replace("_", " "), message.status)


def _current(message: ScheduledMessage, dispatch_id: UUID, command: str) -> bool:
    return message.dispatch_id == dispatch_id and message.status in ALLOWED[command]


def _repeated(message: ScheduledMessage) -> dict[str, Any]:
    return {"message_type": message.message_type, "timezone": message.timezone, "due_at": message.due_at}
