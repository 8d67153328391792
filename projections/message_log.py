"""What became of each message?"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, LiteralString, get_args
from uuid import UUID

from msgspec import Struct
from psycopg import sql

from application.ports import Recorded
from domain.scheduled_message import (
    MessageScheduled,
    ScheduledMessageEvent,
    Status,
)
from projections import page_cursor
from projections.logged_message import LoggedMessage, Row, changed, rows_of
from projections.message_filter import Asked, condition
from projections.page_cursor import ByDueInstant
from projections.projection import MOST_ROWS, Cursor, History, Projection, Rows, Sealer, as_rows, id_range

# The status is in no index on purpose: so requested and sent find room on the page of the row they replace and touch no index,
# which makes them cost a third less (see fillfactor below). What went another way is rare, and has columns of its own that are.
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
    updated_at timestamptz NOT NULL,
    error text NOT NULL,
    failed_at timestamptz,
    ended_badly text,
    canonical_timezone text NOT NULL
) PARTITION BY RANGE (id);
-- For foreign IDs only, as in the log itself.
CREATE TABLE IF NOT EXISTS message_log_default PARTITION OF message_log DEFAULT;
-- The list of all messages pages by due instant.
CREATE INDEX IF NOT EXISTS message_log_due ON message_log (due_at, id);
-- One person's messages, the same way.
CREATE INDEX IF NOT EXISTS message_log_user ON message_log (user_id, due_at, id);
-- A zone's, and a type's: few may be of it, and those anywhere.
CREATE INDEX IF NOT EXISTS message_log_zone ON message_log (canonical_timezone, due_at, id);
CREATE INDEX IF NOT EXISTS message_log_type ON message_log (message_type, due_at, id);
-- Whoever looks into what did not go as it should begins with one of these.
CREATE INDEX IF NOT EXISTS message_log_reason ON message_log (reason, due_at, id) WHERE reason <> '';
CREATE INDEX IF NOT EXISTS message_log_ended_badly ON message_log (ended_badly, due_at, id) WHERE ended_badly IS NOT NULL;
CREATE INDEX IF NOT EXISTS message_log_error ON message_log (error, due_at, id) WHERE error <> '';
CREATE INDEX IF NOT EXISTS message_log_failed ON message_log (failed_at) WHERE failed_at IS NOT NULL;
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
    updated_at = excluded.updated_at, error = excluded.error, failed_at = excluded.failed_at, ended_badly = excluded.ended_badly,
    canonical_timezone = excluded.canonical_timezone
"""
# Half the cost, where many rows change alike but for two instants: in a herd, all that are requested, or sent, at a time,
# whichever zones they are in.
PUT_ALIKE: Final[LiteralString] = """
UPDATE message_log AS held SET
    status = %s, reason = %s, attempts = %s, channel = %s, doubts = %s::uuid[], error = %s, failed_at = %s, ended_badly = %s,
    sent_at = message.sent_at, updated_at = message.updated_at
FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[]) AS message (id, sent_at, updated_at)
WHERE held.id = message.id AND held.id BETWEEN %s AND %s
"""
PART: Final = 4_000
"""Events whose messages' rows are read and written at a time."""
ALIKE: Final = 20
"""Rows that are worth a statement of their own."""
SHARED: Final = attrgetter("status", "reason", "attempts", "channel", "doubts", "error", "failed_at", "ended_badly")
"""Of a row, in the order of PUT_ALIKE."""
COUNT: Final[LiteralString] = """
INSERT INTO message_totals AS total SELECT * FROM json_populate_recordset(NULL::message_totals, %s)
ON CONFLICT (occasion, status) DO UPDATE SET messages = total.messages + excluded.messages
"""
SELECT: Final[LiteralString] = """
SELECT id, user_id, message_type, occasion, timezone, due_at, status, reason, attempts, channel, sent_at, doubts, updated_at,
       error, failed_at
FROM message_log WHERE """

STANDING: Final[LiteralString] = "SELECT id, status FROM message_log WHERE {which}"
"""For the audit, which trusts no running total: where each message stands."""


class Page(Struct, frozen=True):
    """A stretch of a list, and the cursor for the next one."""

    items: list[LoggedMessage]
    next: str | None


def project(cursor: Cursor, events: Sequence[Recorded[Any]], _: Sealer) -> None:
    """Fold the events into the messages' rows by the aggregate's own rules, and count what changed status."""
    for told in _in_parts(events):
        known = _known(cursor, told)
        rows = rows_of(told, known)
        _put(cursor, rows, known)
        if counted := changed(known.values(), rows):
            cursor.execute(COUNT, [as_rows(counted)])


def _in_parts(events: Sequence[Recorded[Any]]) -> Iterator[Sequence[Recorded[Any]]]:
    """All that is told of a message together, so that it is one write; some messages at a time, as their rows take memory."""
    if len(events) <= PART:
        yield events
        return
    histories: defaultdict[int, list[Recorded[Any]]] = defaultdict(list)
    for recorded in events:
        histories[recorded.stream_id.int].append(recorded)  # an ID's own hash is computed in Python
    part: list[Recorded[Any]] = []
    for history in histories.values():
        part += history
        if len(part) >= PART:
            yield part
            part = []
    yield part


def _put(cursor: Cursor, rows: Sequence[Row], known: Mapping[UUID, LoggedMessage]) -> None:
    others: list[Row] = []
    groups: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if _stays(row, known.get(row.id)):
            groups[SHARED(row)].append(row)
        else:
            others.append(row)
    for shared, alike in groups.items():
        if len(alike) >= ALIKE:
            cursor.execute(PUT_ALIKE, [*map(_as_array, shared), *_columns(alike)])
        else:
            others += alike
    if others:
        cursor.execute(PUT, [as_rows(others)])


def _stays(row: Row, before: LoggedMessage | None) -> bool:
    """Where and when it is due is as it was."""
    return before is not None and row.due_at == before.due_at and row.timezone == before.timezone


def _as_array(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _columns(rows: Sequence[Row]) -> tuple[Any, ...]:
    ids, first, last = id_range([row.id for row in rows])
    sent_at = [row.sent_at for row in rows]
    # what an array lacks is NULL to unnest, and one of NULLs alone is dear to make
    return ids, sent_at if any(sent_at) else [], [row.updated_at for row in rows], first, last


def fold(histories: Sequence[History], _: Sealer) -> Rows:
    """The same of whole streams."""
    rows = rows_of([recorded for history in histories for recorded in history], {})
    return {"message_log": rows, "message_totals": changed((), rows)}


def _known(cursor: Cursor, events: Sequence[Recorded[Any]]) -> Mapping[UUID, LoggedMessage]:
    """The rows so far of the messages that these events go on with."""
    new = {recorded.stream_id for recorded in events if isinstance(recorded.event, MessageScheduled)}
    ids = list({recorded.stream_id for recorded in events} - new)
    if not ids:
        return {}
    cursor.execute(SELECT + "id = ANY(%s) AND id BETWEEN %s AND %s", id_range(ids), binary=True)
    return {row[0]: LoggedMessage(*row) for row in cursor}


def one(cursor: Cursor, message_id: UUID) -> LoggedMessage | None:
    """The message of this ID."""
    row = cursor.execute(SELECT + "id = %s", [message_id]).fetchone()
    return LoggedMessage(*row) if row else None


def page(cursor: Cursor, asked: Asked, after: str | None = None, limit: int = MOST_ROWS) -> Page:
    """Messages by due instant, from after the cursor on; `limit` is cut to MOST_ROWS.

    Raises BadCursor.
    """
    limit = max(1, min(limit, MOST_ROWS))
    where, arguments = condition(cursor, asked, page_cursor.decode(after) if after else None)
    query = sql.SQL("{}{} ORDER BY due_at, id LIMIT {}").format(sql.SQL(SELECT), where, sql.Literal(limit + 1))
    items = [LoggedMessage(*row) for row in cursor.execute(query, arguments, prepare=asked.prepare)]
    if len(items) <= limit:
        return Page(items, None)
    last = items[limit - 1]
    return Page(items[:limit], page_cursor.encode(ByDueInstant(last.due_at, last.id)))


def count(cursor: Cursor, asked: Asked) -> int:
    """How many messages a list of all pages would hold."""
    where, arguments = condition(cursor, asked)
    cursor.execute(sql.SQL("SELECT count(*) FROM message_log WHERE {}").format(where), arguments, prepare=asked.prepare)
    return int(cursor.fetchall()[0][0])


def id_pages(turn: Callable[[str | None], Page]) -> Iterator[list[UUID]]:
    """The IDs of a whole list; `turn` gives the page after a cursor."""
    after: str | None = None
    while True:
        found = turn(after)
        if found.items:
            yield [message.id for message in found.items]
        if (after := found.next) is None:
            return


def totals(cursor: Cursor) -> dict[Status, int]:
    """How many messages are in each status now."""
    cursor.execute("SELECT status, sum(messages)::bigint FROM message_totals GROUP BY 1")
    found: dict[Status, int] = dict(cursor.fetchall())
    return {status: found.get(status, 0) for status in get_args(Status)}


MESSAGE_LOG: Final = Projection(
    name="message_log",
    version=4,
    log="messages",
    kinds=frozenset(get_args(ScheduledMessageEvent)),
    tables=("message_log", "message_totals"),
    create=CREATE,
    monthly=("message_log",),
    sums=("message_totals",),
    fillfactor=35,  # a row is written three times as a rule: scheduled, requested, sent
    project=project,
    fold=fold,
)
