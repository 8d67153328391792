"""Where does each stream of the messages log stand, and can that be right: counted by PostgreSQL, a stretch of IDs at a time?"""

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import date, datetime
from typing import Final
from uuid import UUID

import psycopg
from msgspec import Struct
from psycopg import Cursor, sql

from domain.delivery_policy import ITS_MINUTE
from domain.event import stored_name
from domain.message_id import date_bounds, occasion_of
from domain.scheduled_message import STATUS_AFTER, DoubtResolved, LateResultRecorded, MessageScheduled, MessageSent, Status
from infrastructure.database import Row

FIRST_ID: Final = UUID(int=0)
LAST_ID: Final = UUID(int=2**128 - 1)

# Where each stored name leads. What a resolved doubt leads to stands in the event.
_RESOLVED: Final = stored_name(DoubtResolved)
_LEADS: Final[dict[str, Status]] = {
    **{stored_name(kind): status for kind, status in STATUS_AFTER.items()},
    f"{_RESOLVED} sent": "sent",
    f"{_RESOLVED} not_sent": "retrying",
    "message.redriven.v1": "scheduled",  # without a reason, as it was stored at first
}
WORDS: Final[dict[str, sql.Composable]] = {
    "scheduled": sql.Literal(stored_name(MessageScheduled)),
    "sent": sql.Literal(stored_name(MessageSent)),
    "resolved": sql.Literal(_RESOLVED),
    "silent": sql.Literal(stored_name(LateResultRecorded)),
    "its_minute": sql.Literal(ITS_MINUTE),
    "leads": sql.SQL("unnest({}::text[], {}::text[]) AS leads (name, status)").format(
        sql.Literal(list(_LEADS)), sql.Literal(list(_LEADS.values()))
    ),
}

# What an event says. All have a type: one without could not be read.
TOLD: Final = sql.SQL(
    "jsonb_to_record(convert_from(state, 'utf8')::jsonb -> 'event')"
    " AS told (timezone text, message_type text, due_at timestamptz, sent_at timestamptz, outcome text)"
)
TOLD_IF_READABLE: Final = sql.SQL("event_told(state) AS told")
UNREADABLE: Final = (psycopg.DataError, psycopg.errors.ProgramLimitExceeded, psycopg.errors.StatementTooComplex)

# A row a stream: does it begin by being scheduled, is no version missing, was it sent once at most, and where does the last
# of its events lead that leads anywhere, if that can be read.
STREAMS: Final = """
WITH ends AS (
    SELECT originator_id AS id,
        bool_or(originator_version = 1 AND topic = {scheduled}) AS begun,
        min(originator_version) = 1 AND max(originator_version) = count(*) AS whole,
        count(*) FILTER (WHERE topic = {sent}) <= 1 AS once,
        (array_agg(topic ORDER BY originator_version DESC) FILTER (WHERE topic <> {silent}))[1] AS topic,
        (array_agg(state ORDER BY originator_version DESC) FILTER (WHERE topic <> {silent}))[1] AS state,
        (array_agg(recorded_at ORDER BY originator_version DESC) FILTER (WHERE topic <> {silent}))[1] AS at
    FROM {table} WHERE {which} GROUP BY originator_id
), streams AS (
    SELECT id, begun, whole, once, topic, at, status, timezone, message_type,
        coalesce(topic = {sent} AND sent_at - due_at >= {its_minute}, false) AS late
    FROM ends CROSS JOIN {told}
    LEFT JOIN {leads} ON message_type <> '' AND name = CASE topic WHEN {resolved} THEN topic || ' ' || outcome ELSE topic END
) """
CENSUS: Final = (
    STREAMS
    + """
SELECT left(id::text, 15), begun, whole, once, status, CASE WHEN status IS NULL THEN topic END,
    coalesce(timezone, ''), coalesce(message_type, ''), late, count(*), min(at) FILTER (WHERE status = 'in_doubt'), min(id::text)
FROM streams GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9"""
)

TRANSITIONS: Final = """
SELECT (recorded_at AT TIME ZONE 'UTC')::date, status, count(*) FROM {table} JOIN {leads} ON name = CASE topic
    WHEN {resolved} THEN topic || ' ' || (SELECT outcome FROM {told}) ELSE topic END
WHERE notification_id <= {read} GROUP BY 1, 2"""
IN_STATUSES: Final = STREAMS + "SELECT id FROM streams WHERE status = ANY({statuses}) ORDER BY id LIMIT {limit}"


class Counted(Struct, frozen=True):
    """Streams that are alike in everything that is asked."""

    date_of_id: str  # the first 15 characters of their IDs
    begun: bool
    whole: bool
    once: bool
    status: Status | None
    unknown: str | None  # the name of the last event, where the status is not known
    timezone: str  # as the last event spells it; empty, as the type is, where it can't be read
    message_type: str
    late: bool
    streams: int
    doubted_at: datetime | None  # when the first of them came into doubt
    example: str  # the ID of one of them

    @property
    def day(self) -> date | None:
        return day_of(self.date_of_id)


def census(cursor: Cursor[Row], which: sql.Composable, table: str = "messages") -> Iterator[Counted]:
    """The streams of which these events are the whole, as far as the condition goes."""
    ask(cursor, CENSUS, which=which, table=sql.Identifier(table))
    return (Counted(*row) for row in cursor)


def transitions_in(cursor: Cursor[Row], table: sql.Identifier, read: int) -> Counter[tuple[date, str]]:
    """How many events up to a position led into each status, by the UTC day on which they were recorded."""
    ask(cursor, TRANSITIONS, table=table, read=sql.Literal(read))
    return Counter({(day, status): messages for day, status, messages in cursor})


def in_statuses(cursor: Cursor[Row], which: sql.Composable, statuses: Collection[str], limit: int) -> list[UUID]:
    """Some of the streams that stand in one of these."""
    words = {"which": which, "statuses": sql.Literal(list(statuses)), "limit": sql.Literal(limit)}
    ask(cursor, IN_STATUSES, **words, table=sql.Identifier("messages"))
    return [message_id for (message_id,) in cursor]


def ask(cursor: Cursor[Row], query: str, **words: sql.Composable) -> None:
    """Run a query that has {told} in it; where an event can't be read, once more so that it is told from the others."""
    try:
        with cursor.connection.transaction():
            cursor.execute(sql.SQL(query).format(**WORDS, **words, told=TOLD))
    except UNREADABLE:
        cursor.execute(sql.SQL(query).format(**WORDS, **words, told=TOLD_IF_READABLE))


def day_of(date_of_id: str) -> date | None:
    """Of the occasion; None for what is no message's ID. These first 15 characters of one end with its version."""
    try:
        return occasion_of(UUID(date_of_id.replace("-", "") + "000" + "8" + 15 * "0"))
    except ValueError:
        return None


def on_day(day: date, column: str = "originator_id") -> sql.Composed:
    """The IDs of a day's messages.

    Written out rather than bound, so that only the month they lie in is locked: never the default partition, for which a month
    that is made meanwhile would wait, and everybody else behind it.
    """
    return _between(column, *date_bounds(day, day))


def days_of(cursor: Cursor[Row], table: str, column: str, lower: UUID = FIRST_ID, upper: UUID = LAST_ID) -> Iterator[date]:
    """Every day between the bounds of which the table has a message: one look at the index for each."""
    query = sql.SQL("SELECT {column} FROM {table} WHERE {which} ORDER BY {column} LIMIT 1")
    names = {"column": sql.Identifier(column), "table": sql.Identifier(table)}
    while rows := cursor.execute(query.format(**names, which=_between(column, lower, upper))).fetchall():
        [(found,)] = rows
        with suppress(ValueError):
            yield occasion_of(found)
        lower = UUID(int=min((found.int >> 80) + 1 << 80, upper.int))  # past everything that begins with the same date


def _between(column: str, lower: UUID, upper: UUID) -> sql.Composed:
    condition = sql.SQL("{column} >= {lower} AND {column} < {upper}")
    return condition.format(column=sql.Identifier(column), lower=sql.Literal(lower), upper=sql.Literal(upper))
