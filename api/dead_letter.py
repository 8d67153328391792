"""The dead letter over HTTP: try a message again, or many, and say what became of one in doubt."""

import logging
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from api.endpoint import Call
from api.http_wire import Instant, Zone, answer
from api.messages import known_names, message_after, page_of
from api.request_wire import NoParameters, decode_body
from application import redrive_messages
from application.redrive_found import MOST_PER_MINUTE, USUAL_PER_MINUTE, redrive_found
from application.redrive_messages import LONGEST_REASON, redrive_message
from application.resolve_doubt import resolve_doubt
from domain.errors import Invalid, Problem
from domain.scheduled_message import Reason
from projections import message_log
from projections.message_filter import Asked, to_redrive
from projections.message_log import MESSAGE_LOG

log: Final = logging.getLogger(__name__)


class Redrive(Struct, frozen=True, kw_only=True):
    """How a message is tried again: at once, within its type's late window but at least 12 h, if nothing else is said.

    `reason` says why in a few words. It is kept for ever: nothing about a person may stand in it.
    """

    reason: Annotated[str, Meta(max_length=LONGEST_REASON)] = ""
    due_at: Instant | None = None
    late_window_seconds: Annotated[int, Meta(ge=60, le=366 * 86_400)] | None = None
    accept_duplicates: bool = False


class RedriveMany(Redrive, frozen=True, kw_only=True):
    """Which messages are tried again, and how: the abandoned ones, if no other status is said.

    `message_reason` is the reason that a message shows, `error` what went wrong, `failed_from` and `failed_to` when.
    """

    reason: Annotated[str, Meta(min_length=1, max_length=LONGEST_REASON)]
    status: Literal["abandoned", "expired", "in_doubt"] = "abandoned"
    message_reason: Reason | None = None
    type: str | None = None
    timezone: Zone | None = None
    error: str | None = None
    since: Instant | None = msgspec.field(name="from", default=None)
    until: Instant | None = msgspec.field(name="to", default=None)
    failed_from: Instant | None = None
    failed_to: Instant | None = None
    per_minute: Annotated[int, Meta(ge=1, le=MOST_PER_MINUTE)] = USUAL_PER_MINUTE
    dry_run: bool = False


class Resolution(Struct, frozen=True, kw_only=True):
    """What became of a message in doubt."""

    outcome: Literal["sent", "not_sent"]


class RefusedShown(Struct, frozen=True):
    """Why so many messages stay as they are."""

    why: str
    messages: int


class RedrivenShown(Struct, frozen=True, kw_only=True):
    """What came of a redrive by filter."""

    matched: int
    redriven: int
    refused: list[RefusedShown]
    last_due_at: datetime | None


def resolve(call: Call[NoParameters]) -> Response:
    """Say what became of a message in doubt: `sent` records it as sent, `not_sent` has it tried again now."""
    outcome = decode_body(call.body, Resolution).outcome
    return message_after(call, resolve_doubt(call.id, outcome, call.service.store, call.origin, call.now))


def redrive(call: Call[NoParameters]) -> Response:
    """Try an abandoned or expired message again; one in doubt only with `accept_duplicates`."""
    service = call.service
    how = _redrive_of(decode_body(call.body, Redrive))
    return message_after(call, redrive_message(call.id, how, service.planning, service.types, call.origin, call.now))


def redrive_many(call: Call[NoParameters]) -> Response:
    """Try again whatever the filter finds, spread over minutes. Safe to repeat: what was redriven is found no more."""
    service, body = call.service, decode_body(call.body, RedriveMany)
    if body.status == "in_doubt" and not body.accept_duplicates:
        raise Invalid([Problem("accept_duplicates", "must be true to send again what may have been accepted")])
    asked = _asked(call, body)
    call.wait_for(MESSAGE_LOG)
    with service.reading() as (cursor, _):
        matched = message_log.count(cursor, asked)
    if body.dry_run:
        return answer(RedrivenShown(matched=matched, redriven=0, refused=[], last_due_at=None), position=service.store.head())
    done = redrive_found(
        message_log.id_pages(lambda after: page_of(call, asked, after)),
        _redrive_of(body),
        body.per_minute,
        service.planning,
        service.types,
        call.origin,
        service.clock,
        lambda redriven, _: log.info("%s has redriven %d messages so far", call.origin.who, redriven),
    )
    refused = [RefusedShown(why, messages) for why, messages in sorted(done.refused.items())]
    shown = RedrivenShown(matched=matched, redriven=done.redriven, refused=refused, last_due_at=done.last_due_at)
    return answer(shown, position=done.position if done.redriven else service.store.head())


def _asked(call: Call[NoParameters], body: RedriveMany) -> Asked:
    known_names(call, body.timezone, body.type)
    meant = Asked(
        status=body.status,
        reason=body.message_reason,
        message_type=body.type,
        timezone=body.timezone,
        due_from=body.since,
        due_before=body.until,
        error=body.error,
        failed_from=body.failed_from,
        failed_before=body.failed_to,
    )
    return to_redrive(meant, accept_duplicates=body.accept_duplicates, until=call.now)


def _redrive_of(body: Redrive) -> redrive_messages.Redrive:
    return redrive_messages.Redrive(
        reason=body.reason,
        due_at=body.due_at,
        late_window=timedelta(seconds=body.late_window_seconds) if body.late_window_seconds else None,
        accept_duplicates=body.accept_duplicates,
    )
