"""How many messages went where and when, and how late?"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, Literal, LiteralString, get_args

from msgspec import Struct
from psycopg import sql

from application.ports import Recorded
from domain.scheduled_message import (
    MessageEvent,
    ScheduledMessageEvent,
    Status,
)
from domain.timezones import canonical
from projections.analytics_counts import BEYOND, BUCKETS, counted
from projections.projection import Cursor, History, Projection, Rows, Sealer, as_rows

Step = Literal["hour", "day"]

CREATE: Final[LiteralString] = """
-- How many messages came into a status: by zone, and summed up over the zones, by hour and by day. So no question reads much.
CREATE TABLE IF NOT EXISTS analytics_transitions (
    day date,              -- UTC, of the instant at which the event was recorded
    hour smallint,         -- likewise
    timezone text,         -- canonical
    message_type text,
    status text,           -- the one the event led to
    messages bigint NOT NULL,
    PRIMARY KEY (timezone, day, hour, message_type, status)
);
CREATE TABLE IF NOT EXISTS analytics_hours (
    day date,
    hour smallint,
    message_type text,
    status text,
    messages bigint NOT NULL,
    PRIMARY KEY (day, hour, message_type, status)
);
CREATE TABLE IF NOT EXISTS analytics_days (
    day date,
    message_type text,
    status text,
    messages bigint NOT NULL,
    PRIMARY KEY (day, message_type, status)
);
CREATE TABLE IF NOT EXISTS analytics_lateness (
    day date,              -- UTC, of the instant at which it was sent
    message_type text,
    up_to_seconds integer, -- the bucket's upper edge; 2147483647 where it has none
    messages bigint NOT NULL,
    PRIMARY KEY (day, message_type, up_to_seconds)
);
CREATE TABLE IF NOT EXISTS analytics_failures (
    day date,              -- UTC, of the instant at which the event was recorded
    message_type text,
    status text,           -- the one the event led to
    reason text,
    messages bigint NOT NULL,
    PRIMARY KEY (day, message_type, status, reason)
);
"""

ADD_TRANSITIONS: Final[LiteralString] = """
INSERT INTO analytics_transitions AS held SELECT * FROM json_populate_recordset(NULL::analytics_transitions, %s)
ON CONFLICT (timezone, day, hour, message_type, status) DO UPDATE SET messages = held.messages + excluded.messages
"""
ADD_HOURS: Final[LiteralString] = """
INSERT INTO analytics_hours AS held SELECT * FROM json_populate_recordset(NULL::analytics_hours, %s)
ON CONFLICT (day, hour, message_type, status) DO UPDATE SET messages = held.messages + excluded.messages
"""
ADD_DAYS: Final[LiteralString] = """
INSERT INTO analytics_days AS held SELECT * FROM json_populate_recordset(NULL::analytics_days, %s)
ON CONFLICT (day, message_type, status) DO UPDATE SET messages = held.messages + excluded.messages
"""
ADD_LATENESS: Final[LiteralString] = """
INSERT INTO analytics_lateness AS held SELECT * FROM json_populate_recordset(NULL::analytics_lateness, %s)
ON CONFLICT (day, message_type, up_to_seconds) DO UPDATE SET messages = held.messages + excluded.messages
"""
ADD_FAILURES: Final[LiteralString] = """
INSERT INTO analytics_failures AS held SELECT * FROM json_populate_recordset(NULL::analytics_failures, %s)
ON CONFLICT (day, message_type, status, reason) DO UPDATE SET messages = held.messages + excluded.messages
"""
TABLES: Final = ("analytics_transitions", "analytics_hours", "analytics_days", "analytics_lateness", "analytics_failures")
ADD: Final[Mapping[str, LiteralString]] = {
    "analytics_transitions": ADD_TRANSITIONS,
    "analytics_hours": ADD_HOURS,
    "analytics_days": ADD_DAYS,
    "analytics_lateness": ADD_LATENESS,
    "analytics_failures": ADD_FAILURES,
}


class FailureReason(Struct, frozen=True):
    """How often something kept messages from being sent; `status` is where it left them."""

    status: Status
    reason: str  # an error's code, or one of the wire's words
    messages: int


class Throughput(Struct, frozen=True):
    """How many messages came into a status in the hour, or the UTC day, that begins at `hour`."""

    hour: datetime
    status: Status
    messages: int


class LatenessBucket(Struct, frozen=True):
    """How many messages were sent up to so many seconds after their due instant, and later than the bucket before."""

    up_to_seconds: int | None  # None for what is later than the last edge
    messages: int


def project(cursor: Cursor, events: Sequence[Recorded[MessageEvent]], _: Sealer) -> None:
    """Count each change of status, and how late each message was sent."""
    for table, rows in counted(events).items():
        if rows:
            cursor.execute(ADD[table], [as_rows(rows)])


def fold(histories: Sequence[History], _: Sealer) -> Rows:
    """The same counts, of whole streams."""
    return counted([recorded for history in histories for recorded in history])


def throughput(
    cursor: Cursor,
    first: date,
    last: date,
    *,
    by: Step = "hour",
    timezone: str | None = None,
    message_type: str | None = None,
) -> list[Throughput]:
    """How many messages came into each status, step by step, on the UTC days from `first` to `last` inclusive."""
    table = "analytics_transitions" if timezone else "analytics_hours" if by == "hour" else "analytics_days"
    wanted: list[tuple[LiteralString, list[Any]]] = [
        ("day BETWEEN %s AND %s", [first, last]),
        ("timezone = %s", [canonical(timezone)] if timezone else []),
        ("message_type = %s", [message_type] if message_type else []),
    ]
    query = sql.SQL(
        "SELECT {step}, status, sum(messages)::bigint FROM {table} WHERE {wanted} GROUP BY 1, 2 ORDER BY 1, 2"
    ).format(
        step=sql.SQL("day + make_interval(hours => hour)" if by == "hour" else "day::timestamp"),
        table=sql.Identifier(table),
        wanted=sql.SQL(" AND ").join(sql.SQL(condition) for condition, values in wanted if values),
    )
    cursor.execute(query, [value for _, values in wanted for value in values])
    return [Throughput(start.replace(tzinfo=UTC), status, messages) for start, status, messages in cursor]


def lateness(cursor: Cursor, first: date, last: date, *, message_type: str | None = None) -> list[LatenessBucket]:
    """How late what was sent on the UTC days from `first` to `last` inclusive was; every bucket, the empty ones too."""
    cursor.execute(
        """
        SELECT up_to_seconds, sum(messages)::bigint FROM analytics_lateness
        WHERE day BETWEEN %s AND %s AND message_type = coalesce(%s, message_type) GROUP BY 1
        """,
        [first, last, message_type],
    )
    found: dict[int, int] = dict(cursor.fetchall())
    edges = [LatenessBucket(edge, found.get(edge, 0)) for edge in BUCKETS]
    return [*edges, LatenessBucket(None, found.get(BEYOND, 0))]


def failures(cursor: Cursor, first: date, last: date, *, message_type: str | None = None) -> list[FailureReason]:
    """What kept messages from being sent on the UTC days from `first` to `last` inclusive, the most frequent first."""
    cursor.execute(
        """
        SELECT status, reason, sum(messages)::bigint FROM analytics_failures
        WHERE day BETWEEN %s AND %s AND message_type = coalesce(%s, message_type)
        GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
        """,
        [first, last, message_type],
    )
    return [FailureReason(*row) for row in cursor]


def transitions(cursor: Cursor) -> dict[tuple[date, str], int]:
    """How many messages came into each status on each UTC day: for the audit."""
    cursor.execute("SELECT day, status, sum(messages)::bigint FROM analytics_days GROUP BY 1, 2")
    return {(day, status): messages for day, status, messages in cursor}


ANALYTICS_VIEW: Final = Projection(
    name="analytics_view",
    version=3,
    log="messages",
    kinds=frozenset(get_args(ScheduledMessageEvent)),
    tables=TABLES,
    create=CREATE,
    sums=TABLES,
    adds_up=True,
    project=project,
    fold=fold,
)
