"""Messages over HTTP: find them, see what happened to one, cancel it, move it."""

from functools import reduce
from typing import Any
from uuid import UUID

import msgspec
from starlette.responses import Response

from api import http_wire
from api.endpoint import Call
from api.http_wire import (
    Listed,
    Reschedule,
    answer,
    event_page,
    logged_shown,
    message_shown,
)
from api.request_wire import AtThatTime, NoParameters, Paging, decode_body, known_zone, moment_of
from application.cancel_message import cancel_message
from application.ports import Position
from application.reschedule_message import RescheduleMessage, reschedule_message
from application.time_travel import Moment, as_of
from domain.errors import Invalid, MessageUnknown, Problem
from domain.scheduled_message import Reason, ScheduledMessage, Status, evolve
from projections import message_log
from projections.message_filter import Asked
from projections.message_log import MESSAGE_LOG, Page
from projections.projection import MOST_ROWS


class ListMessages(Paging, frozen=True, kw_only=True):
    """Which messages are asked for; `from` and `to` are instants on due_at, half-open."""

    status: Status | None = None
    reason: Reason | None = None
    type: str | None = None
    timezone: http_wire.Zone | None = None
    user_id: UUID | None = None
    since: http_wire.Instant | None = msgspec.field(name="from", default=None)
    until: http_wire.Instant | None = msgspec.field(name="to", default=None)
    error: str | None = None
    failed_from: http_wire.Instant | None = None
    failed_to: http_wire.Instant | None = None


def list_messages(call: Call[ListMessages]) -> Response:
    """Messages by due instant. `error` is what went wrong last, `failed_from` and `failed_to` when it did."""
    asked = call.query
    known_names(call, asked.timezone, asked.type)
    wanted = Asked(
        status=asked.status,
        reason=asked.reason,
        message_type=asked.type,
        timezone=asked.timezone,
        user_id=asked.user_id,
        due_from=asked.since,
        due_before=asked.until,
        error=asked.error,
        failed_from=asked.failed_from,
        failed_before=asked.failed_to,
    )
    call.wait_for(MESSAGE_LOG)
    page = page_of(call, wanted, asked.cursor, asked.limit)
    return answer(Listed([logged_shown(message) for message in page.items], page.next))


def get_message(call: Call[AtThatTime]) -> Response:
    """One message, now or as it was."""
    if moment := moment_of(call.query):
        return _message_as_of(call, moment)
    call.wait_for(MESSAGE_LOG)
    with call.service.reading() as (cursor, _):
        message = message_log.one(cursor, call.id)
    if message is None:
        call.service.store.load_messages([call.id])  # which says so, if its month was archived
        raise MessageUnknown
    return answer(logged_shown(message))


def _message_as_of(call: Call[AtThatTime], moment: Moment) -> Response:
    call.wait_for_log("messages")
    history = call.service.store.history("messages", call.id)
    if not history:
        raise MessageUnknown
    state: ScheduledMessage | None = reduce(evolve, (one.event for one in as_of(history, moment)), None)  # type: ignore[arg-type]
    if state is None:
        raise MessageUnknown
    return answer(message_shown(call.id, state))


def list_message_events(call: Call[Paging]) -> Response:
    """What happened to a message, oldest first."""
    call.wait_for_log("messages")
    history = call.service.store.history("messages", call.id)
    if not history:
        raise MessageUnknown
    return answer(event_page(history, call.query.cursor, call.query.limit))


def cancel(call: Call[NoParameters]) -> Response:
    """Send nothing for this occasion; refused once a worker has the message."""
    return message_after(call, cancel_message(call.id, call.service.store, call.origin, call.now))


def reschedule(call: Call[NoParameters]) -> Response:
    """Send this message at another instant; refused once a worker has it."""
    command = RescheduleMessage(call.id, decode_body(call.body, Reschedule).due_at)
    return message_after(call, reschedule_message(command, call.service.store, call.origin, call.now))


def known_names(call: Call[Any], timezone: str | None, message_type: str | None) -> None:
    """Raises Invalid for a zone or a type that there is not."""
    known_zone(timezone)
    if message_type is not None and message_type not in call.service.types:
        raise Invalid([Problem("type", f"is none of {', '.join(call.service.types)}")])


def page_of(call: Call[Any], asked: Asked, after: str | None, limit: int = MOST_ROWS) -> Page:
    """From after the cursor on, in a transaction of its own."""
    with call.service.reading() as (cursor, _):
        return message_log.page(cursor, asked, after, limit)


def message_after(call: Call[NoParameters], position: Position) -> Response:
    """The message as its stream says, as no read model may have come so far yet."""
    state = call.service.store.load_messages([call.id])[call.id].state
    if state is None:
        raise MessageUnknown
    return answer(message_shown(call.id, state), position=position)
