"""What bars a month of messages from being dropped: unfinished messages, followers that lag, what was left alone?"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

from psycopg import Cursor, sql

from application.audit_messages import Day
from application.audit_sums import Alike
from application.retain_months import MonthStanding, month_after
from domain.message_id import month_bounds
from domain.scheduled_message import PENDING
from infrastructure.audit_query import open_books
from infrastructure.audit_streams import in_statuses, on_day
from infrastructure.database import Database, Row
from infrastructure.month_tables import partition_of
from projections.registry import PROJECTIONS

UNFINISHED: Final = PENDING | {"in_doubt"}
NAMED: Final = 3
MANAGERS: Final = ("planner", "dispatcher")
CONCERNS: Final = timedelta(days=40)
"""What is said of a person may concern occasions that were so long before: more than any day differs by zone or window."""

BEHIND: Final = """
    SELECT follower FROM positions WHERE log = 'messages' AND position < %(last)s AND follower NOT LIKE '%%~previous'
    UNION SELECT name FROM unnest(%(known)s::text[]) AS name
        WHERE NOT EXISTS (SELECT FROM positions WHERE split_part(follower, '/', 1) = name AND log = 'messages') AND %(last)s > 0
    ORDER BY 1"""
UNPLANNED: Final = "SELECT count(*) FROM occasions WHERE occasion < %s"
UNREAD_PEOPLE: Final = """
    SELECT count(*) FROM users WHERE recorded_at < %s AND notification_id > coalesce(
        (SELECT position FROM positions WHERE follower = 'planner' AND log = 'users'), 0)"""
PARKED: Final = """
    SELECT (SELECT count(*) FROM parked_events JOIN {table} ON notification_id = position WHERE log = 'messages')
        + (SELECT count(*) FROM parked_events JOIN users ON notification_id = position
            WHERE log = 'users' AND follower = 'planner' AND recorded_at < %s)
        + (SELECT count(*) FROM parked_types WHERE first < %s)"""
IN_FLIGHT: Final = """
    SELECT count(*) FROM in_flight JOIN dispatches ON originator_id = dispatch_id AND originator_version = 1
    WHERE EXISTS (SELECT FROM jsonb_array_elements_text(convert_from(state, 'utf8')::jsonb #> '{event,message_ids}') AS id
        WHERE id::uuid >= %s AND id::uuid < %s)"""


def behind(cursor: Cursor[Row], last_position: int) -> list[str]:
    """The followers of the messages log that have not read so far; those that have never begun, too."""
    known = [*MANAGERS, *(name for name, projection in PROJECTIONS.items() if projection.log == "messages")]
    cursor.execute(BEHIND, {"last": last_position, "known": known})
    return [name for (name,) in cursor]


def standing_of(database: Database, month: date, days: Sequence[Day]) -> MonthStanding:
    """`days` is what the audit says of them. Raises StoreUnavailable."""
    end, bounds = month_after(month), month_bounds(month.year, month.month)
    said_until = datetime(end.year, end.month, end.day, tzinfo=UTC) + CONCERNS
    unfinished = Counter[str]()
    for one in alike_of(days):
        if one.status in UNFINISHED:
            unfinished[one.status] += one.messages
    with database.transaction() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        events, last_position = _extent(cursor, month)
        return MonthStanding(
            month=month,
            events=events,
            messages=sum(one.messages for one in alike_of(days)),
            last_position=last_position,
            unfinished=unfinished,
            such_as=_such_as(cursor, days) if unfinished else (),
            contradictions=[str(one) for day in days for one in (*day.faults, *day.differences)][:NAMED],
            behind=behind(cursor, last_position),
            unplanned=_count(cursor, sql.SQL(UNPLANNED), end) + _count(cursor, sql.SQL(UNREAD_PEOPLE), said_until),
            parked=_count(cursor, sql.SQL(PARKED).format(table=partition_of(month)), said_until, end),
            in_flight=_count(cursor, sql.SQL(IN_FLIGHT), *bounds),
        )


def audited_days(database: Database, month: date) -> list[Day]:
    """What the audit says of each day of the month that has messages."""
    found = []
    with open_books(database) as books:
        days = books.days(month, month_after(month))
    for day in days:  # a snapshot each: none is held for long
        with open_books(database) as books:
            found.append(books.day(day, examples=False))
    return found


def alike_of(days: Sequence[Day]) -> list[Alike]:
    return [one for day in days for one in day.alike]


def _extent(cursor: Cursor[Row], month: date) -> tuple[int, int]:
    query = sql.SQL("SELECT count(*), coalesce(max(notification_id), 0) FROM {}").format(partition_of(month))
    [(events, last_position)] = cursor.execute(query).fetchall()
    return int(events), int(last_position)


def _such_as(cursor: Cursor[Row], days: Sequence[Day]) -> list[UUID]:
    found: list[UUID] = []
    for day in days:
        if len(found) < NAMED and any(one.status in UNFINISHED for one in day.alike):
            found += in_statuses(cursor, on_day(day.day), sorted(UNFINISHED), NAMED - len(found))
    return found


def _count(cursor: Cursor[Row], query: sql.SQL | sql.Composed, *arguments: object) -> int:
    return int(cursor.execute(query, arguments).fetchall()[0][0])
