"""What became of each message?"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final, LiteralString, get_args
from uuid import UUID

from msgspec import Struct
from psycopg import sql

from application.ports import Recorded
from domain.delivery_policy import ITS_MINUTE
from domain.message_id import date_bounds
from domain.scheduled_message import (
    MessageScheduled,
    Reason,
    ScheduledMessage,
    ScheduledMessageEvent,
    Status,
    evolve,
)
from domain.timezones import NAMES, canonical
from projections import page_cursor
from projections.page_cursor import ByDueInstant
from projections.projection import MOST_ROWS, Cursor, Projection, Sealer, as_rows, id_range

# The status is in no index on purpose: so requested and sent find room on the page of the row they replace and touch no index,
# which makes them cost a third less (see fillfactor below).
CREATE: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS message_log (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    message_type text NOT NULL,
    occasion date NOT NULL,
    timezone text NOT NULL,
    due_at timestamptz NOT NULL,
    status text NOT NULL,
    reason text NOT NULL,
    attempts integer NOT NULL,
    channel text NOT NULL,
    sent_at timestamptz,
    doubts uuid[] NOT NULL,
    updated_at timestamptz NOT NULL
) PARTITION BY RANGE (id);
-- For foreign IDs only, as in the log itself.
CREATE TABLE IF NOT EXISTS message_log_default PARTITION OF message_log DEFAULT;
-- The list of all messages pages by due instant.
CREATE INDEX IF NOT EXISTS message_log_due ON message_log (due_at, id);
-- One person's messages, the same way.
CREATE INDEX IF NOT EXISTS message_log_user ON message_log (user_id, due_at, id);
CREATE TABLE IF NOT EXISTS message_totals (
    occasion date,
    status text,
    messages bigint NOT NULL,
    PRIMARY KEY (occasion, status)
);
"""

PUT: Final[LiteralString] = """
INSERT INTO message_log SELECT * FROM json_populate_recordset(NULL::message_log, %s)
ON CONFLICT (id) DO UPDATE SET
    timezone = excluded.timezone, due_at = excluded.due_at, status = excluded.status, reason = excluded.reason,
    attempts = excluded.attempts, channel = excluded.channel, sent_at = excluded.sent_at, doubts = excluded.doubts,
    updated_at = excluded.updated_at
"""
COUNT: Final[LiteralString] = """
INSERT INTO message_totals AS total SELECT * FROM json_populate_recordset(NULL::message_totals, %s)
ON CONFLICT (occasion, status) DO UPDATE SET messages = total.messages + excluded.messages
"""
SELECT: Final[LiteralString] = """
SELECT id, user_id, message_type, occasion, timezone, due_at, status, reason, attempts, channel, sent_at, doubts, updated_at
FROM message_log WHERE """

STANDING: Final[LiteralString] = "SELECT id, status FROM message_log WHERE {which}"
"""For the audit, which trusts no running total: where each message stands."""


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

    @property
    def in_doubt(self) -> bool:
        """Whether a provider may have accepted it without our knowing, whatever its status."""
        return bool(self.doubts)


class Total(Struct, frozen=True):
    """How many messages of an occasion's date are in a status now."""

    occasion: date
    status: Status
    messages: int


class Asked(Struct, frozen=True, kw_only=True):
    """Which messages a list is to hold; what is None does not matter."""

    status: Status | None = None
    reason: Reason | None = None  # as shown
    message_type: str | None = None
    timezone: str | None = None  # under any of the zone's names
    user_id: UUID | None = None
    due_from: datetime | None = None
    due_before: datetime | None = None


class Page(Struct, frozen=True):
    """A stretch of a list, and the cursor for the next one."""

    items: list[LoggedMessage]
    next: str | None


def reason_shown(message: ScheduledMessage) -> str:
    """Why the message stands where it stands, in one of the wire's words.

    Empty when sent within its minute, `late` when sent after it, `doubt` when it counts as sent on somebody's word.
    """
    if message.sent_at is not None:
        return "late" if message.sent_at - message.due_at >= ITS_MINUTE else ""
    if message.pending and message.reason == "doubt" and not message.in_doubt:
        return ""
    return message.reason


def project(cursor: Cursor, events: Sequence[Recorded[Any]], _: Sealer) -> None:
    """Fold the events into the messages' rows by the aggregate's own rules, and count what changed status."""
    known = _known(cursor, events)
    states: dict[UUID, ScheduledMessage | None] = {**known}
    for recorded in events:
        states[recorded.stream_id] = evolve(states.get(recorded.stream_id), recorded.event)
    at = {recorded.stream_id: recorded.at for recorded in events}
    rows = [_row(message_id, state, at[message_id]) for message_id, state in states.items() if state]
    if rows:
        cursor.execute(PUT, [as_rows(rows)])
    if changed := _changed(known.values(), states.values()):
        cursor.execute(COUNT, [as_rows(changed)])


def _known(cursor: Cursor, events: Sequence[Recorded[Any]]) -> Mapping[UUID, ScheduledMessage]:
    """The states so far of the messages that these events go on with."""
    new = {recorded.stream_id for recorded in events if isinstance(recorded.event, MessageScheduled)}
    ids = list({recorded.stream_id for recorded in events} - new)
    if not ids:
        return {}
    cursor.execute(SELECT + "id = ANY(%s) AND id BETWEEN %s AND %s", id_range(ids), binary=True)
    return {row[0]: _state(LoggedMessage(*row)) for row in cursor}


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


def _row(message_id: UUID, state: ScheduledMessage, at: datetime) -> LoggedMessage:
    return LoggedMessage(
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
    )


def _changed(before: Iterable[ScheduledMessage], after: Iterable[ScheduledMessage | None]) -> list[Total]:
    changes = Counter((state.occasion, state.status) for state in after if state)
    changes.subtract(Counter((state.occasion, state.status) for state in before))
    return [Total(occasion, status, change) for (occasion, status), change in sorted(changes.items()) if change]


def one(cursor: Cursor, message_id: UUID) -> LoggedMessage | None:
    """The message of this ID."""
    row = cursor.execute(SELECT + "id = %s", [message_id]).fetchone()
    return LoggedMessage(*row) if row else None


def page(cursor: Cursor, asked: Asked, after: str | None = None, limit: int = MOST_ROWS) -> Page:
    """Messages by due instant, from after the cursor on; `limit` is cut to MOST_ROWS.

    Raises BadCursor.
    """
    limit = max(1, min(limit, MOST_ROWS))
    conditions, arguments = _conditions(asked, page_cursor.decode(after) if after else None)
    if asked.status:
        # No index knows the status, but the totals know the dates between which there is any such message.
        conditions.append(sql.SQL("id >= %s AND id < %s"))
        arguments += _ids_in(cursor, asked.status)
    query = sql.SQL("{} {} ORDER BY due_at, id LIMIT {}").format(
        sql.SQL(SELECT), sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true"), sql.Literal(limit + 1)
    )
    items = [LoggedMessage(*row) for row in cursor.execute(query, arguments)]
    if len(items) <= limit:
        return Page(items, None)
    last = items[limit - 1]
    return Page(items[:limit], page_cursor.encode(ByDueInstant(last.due_at, last.id)))


def _conditions(asked: Asked, after: ByDueInstant | None) -> tuple[list[sql.Composable], list[Any]]:
    """Only what was asked stands in the statement, so that the planner sees which index answers it."""
    wanted: list[tuple[LiteralString, Any]] = [
        ("status = %s", asked.status),
        # As it is shown: `late` is written when it is known. In no index, like the status; from and to bound the search.
        ("reason = %s", asked.reason),
        ("message_type = %s", asked.message_type),
        ("timezone = ANY(%s)", asked.timezone and _spellings(canonical(asked.timezone))),
        ("user_id = %s", asked.user_id),
        ("due_at >= %s", asked.due_from),
        ("due_at < %s", asked.due_before),
    ]
    conditions: list[sql.Composable] = [sql.SQL(condition) for condition, value in wanted if value is not None]
    arguments = [value for _, value in wanted if value is not None]
    if after:
        conditions.append(sql.SQL("(due_at, id) > (%s, %s)"))
        arguments += [after.due_at, after.message_id]
    return conditions, arguments


def _ids_in(cursor: Cursor, status: Status) -> tuple[UUID, UUID]:
    """Bounds of the IDs of all messages in this status; empty ones where there is none."""
    cursor.execute("SELECT min(occasion), max(occasion) FROM message_totals WHERE status = %s AND messages > 0", [status])
    [(first, last)] = cursor.fetchall()
    return date_bounds(first, last) if first else (UUID(int=0), UUID(int=0))


@lru_cache(maxsize=1024)
def _spellings(zone: str) -> list[str]:
    return sorted(name for name in NAMES if canonical(name) == zone) or [zone]


def totals(cursor: Cursor) -> dict[Status, int]:
    """How many messages are in each status now."""
    cursor.execute("SELECT status, sum(messages)::bigint FROM message_totals GROUP BY 1")
    found: dict[Status, int] = dict(cursor.fetchall())
    return {status: found.get(status, 0) for status in get_args(Status)}


MESSAGE_LOG: Final = Projection(
    name="message_log",
    version=1,
    log="messages",
    kinds=frozenset(get_args(ScheduledMessageEvent)),
    tables=("message_log", "message_totals"),
    create=CREATE,
    monthly=("message_log",),
    fillfactor=35,  # a row is written three times as a rule: scheduled, requested, sent
    project=project,
)
