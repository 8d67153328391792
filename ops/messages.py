"""`ninebell messages`: find them, cancel or move one, say what became of one in doubt."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from api.http_wire import logged_shown
from application.cancel_message import cancel_message
from application.ports import Origin, Position
from application.redrive_found import why
from application.reschedule_message import RescheduleMessage, reschedule_message
from application.resolve_doubt import resolve_doubt
from domain.errors import Conflict, Invalid, MonthArchived, Refusal
from domain.scheduled_message import Reason, Status
from domain.timezones import NAMES
from ops.at_hand import at_hand
from ops.cli_messages import Filter
from ops.explain import user_id_of
from ops.instants import given_instant
from ops.settings import Settings, WrongSettings
from ops.wiring import Parts
from projections import message_log
from projections.logged_message import LoggedMessage, reason_shown
from projections.message_filter import Asked
from projections.message_log import MESSAGE_LOG
from projections.page_cursor import BadCursor
from projections.projection import MOST_ROWS

CLI: Final = Origin("cli")
CATCH_UP_SECONDS: Final = 2.0
COLUMNS: Final = ("id", "type", "occasion", "zone", "due", "status", "since", "channel", "reason", "error")


def list_messages(
    settings: Settings,
    meant: Filter,
    status: Status | None,
    reason: Reason | None,
    user: str | None,
    limit: int,
    cursor: str | None,
    *,
    as_json: bool,
) -> int:
    """Always 0. Raises WrongSettings for a filter that makes no sense."""
    if not 1 <= limit <= MOST_ROWS:
        raise WrongSettings(f"--limit: must be from 1 to {MOST_ROWS}")
    with at_hand(settings, "messages") as parts, wrong_usage_named():
        user_id = user_id_of(user, parts.store) if user else None
        asked = asked_of(parts, meant, status=status, reason=reason, user_id=user_id)
        told_if_behind(parts)
        with parts.database.transaction() as reading:
            page = message_log.page(reading, asked, cursor, limit)
    if as_json:
        print_json({"items": [_as_json(message) for message in page.items], "next": page.next})
    else:
        _show(page)
    return 0


def cancel(settings: Settings, message_id: UUID) -> int:
    """1 if it is refused."""
    return _changed(settings, message_id, lambda parts: cancel_message(message_id, parts.store, CLI, parts.clock.now()))


def reschedule(settings: Settings, message_id: UUID, due_at: str) -> int:
    """1 if it is refused. Raises WrongSettings for an instant that is none, or too far off."""
    at = given_instant("--due-at", due_at)
    assert at is not None
    command = RescheduleMessage(message_id, at)
    return _changed(settings, message_id, lambda parts: reschedule_message(command, parts.store, CLI, parts.clock.now()))


def resolve(settings: Settings, message_id: UUID, outcome: Literal["sent", "not_sent"]) -> int:
    """1 if it is refused."""
    return _changed(settings, message_id, lambda parts: resolve_doubt(message_id, outcome, parts.store, CLI, parts.clock.now()))


def asked_of(parts: Parts, meant: Filter, *, status: Status | None, reason: Reason | None, user_id: UUID | None = None) -> Asked:
    """Raises WrongSettings for a type or a zone that there is not."""
    if meant.type is not None and meant.type not in parts.types:
        raise WrongSettings(f"--type: is none of {', '.join(parts.types)}")
    if meant.timezone is not None and meant.timezone not in NAMES:
        raise WrongSettings(f"--timezone: {meant.timezone} is not an IANA zone")
    return Asked(
        status=status,
        reason=reason,
        message_type=meant.type,
        timezone=meant.timezone,
        user_id=user_id,
        due_from=given_instant("--from", meant.from_),
        due_before=given_instant("--to", meant.to),
        error=meant.error,
        failed_from=given_instant("--failed-from", meant.failed_from),
        failed_before=given_instant("--failed-to", meant.failed_to),
    )


def told_if_behind(parts: Parts) -> None:
    """Let the read model catch up; where nobody feeds it, say so on standard error."""
    head = parts.store.head().messages
    if not parts.followers.wait_for(MESSAGE_LOG, Position(messages=head), CATCH_UP_SECONDS):
        print("message_log has not read all there is yet: are the projections running?", file=sys.stderr)


@contextmanager
def wrong_usage_named() -> Iterator[None]:
    """What is refused otherwise than by the message's own state, or for its month was archived, is wrong usage.

    Raises WrongSettings.
    """
    try:
        yield
    except Invalid as refused:
        raise WrongSettings("\n".join(f"--{one.field.replace('_', '-')}: {one.reason}" for one in refused.problems)) from refused
    except BadCursor as refused:
        raise WrongSettings("--cursor: is not one that a list gave out") from refused
    except (Conflict, MonthArchived):
        raise
    except Refusal as refused:
        raise WrongSettings(why(refused)) from refused


def print_json(value: Any) -> None:
    """As a script reads it."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")


def _changed(settings: Settings, message_id: UUID, change: Callable[[Parts], Position]) -> int:
    with at_hand(settings, "messages") as parts, wrong_usage_named():
        try:
            change(parts)
        except Conflict as refused:
            print(why(refused), file=sys.stderr)
            return 1
        state = parts.store.load_messages([message_id])[message_id].state
    if state is not None:
        words = f"{message_id} {state.message_type} of {state.occasion}: {state.status} {reason_shown(state)}"
        print(f"{words.rstrip()}, due {_instant(state.due_at)}")
    return 0


def _as_json(message: LoggedMessage) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(logged_shown(message))
    return {**shown, "since": message.updated_at, "error": message.error}


def _show(page: message_log.Page) -> None:
    rows = [COLUMNS, *map(_cells, page.items)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if page.next:
        print(f"There are more: --cursor {page.next}")


def _cells(message: LoggedMessage) -> tuple[str, ...]:
    doubt = " (in doubt)" if message.in_doubt and message.status != "in_doubt" else ""
    return (
        str(message.id),
        message.message_type,
        str(message.occasion),
        message.timezone,
        _instant(message.due_at),
        message.status + doubt,
        _instant(message.updated_at),
        message.channel,
        message.reason,
        message.error,
    )


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
