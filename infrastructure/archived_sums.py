"""What stays of a month that was dropped: how many messages of each day ended how, and how many came into each status when?"""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Final

from msgspec import Struct
from psycopg import Cursor, sql

from application.audit_messages import Day
from application.audit_sums import Alike
from infrastructure.audit_streams import transitions_in
from infrastructure.database import Database, Row

PUT_SUMS: Final = """
    INSERT INTO archived_sums SELECT %s, * FROM unnest(
        %s::date[], %s::text[], %s::text[], %s::text[], %s::bool[], %s::bigint[])"""
PUT_TRANSITIONS: Final = """
    INSERT INTO archived_transitions SELECT %s, * FROM unnest(%s::date[], %s::text[], %s::bigint[])"""
OF_DAY: Final = """
    SELECT sums.timezone, sums.message_type, sums.status, sums.late, sums.messages FROM archived_months
    LEFT JOIN archived_sums AS sums ON sums.month = archived_months.month AND day = %(day)s
    WHERE archived_months.month = date_trunc('month', %(day)s::date)::date"""


class MonthSums(Struct, frozen=True):
    """A month's messages by where they ended, and its events by where they led and the UTC day on which they were recorded."""

    ended: Counter[tuple[date, str, str, str, bool]]  # day, zone, type, status, late
    transitions: Counter[tuple[date, str]]


def sums_of(database: Database, days: Sequence[Day], table: sql.Identifier) -> MonthSums:
    """Of a month in which nothing is unfinished or contradicts itself. Raises StoreUnavailable."""
    ended: Counter[tuple[date, str, str, str, bool]] = Counter()
    for day in days:
        for one in day.alike:
            ended[day.day, one.timezone, one.message_type, str(one.status), one.late] += one.messages
    with database.transaction() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        return MonthSums(ended, transitions_in(cursor, table, 2**63 - 1))


def keep_sums(cursor: Cursor[Row], month: date, sums: MonthSums) -> None:
    """In the transaction that drops the month."""
    for query, counted in ((PUT_SUMS, sums.ended), (PUT_TRANSITIONS, sums.transitions)):
        if counted:
            columns = zip(*((*key, messages) for key, messages in counted.items()), strict=True)
            cursor.execute(query, (month, *map(list, columns)))


def archived_days(cursor: Cursor[Row]) -> set[date]:
    """Every day of which an archived month had messages."""
    return {day for (day,) in cursor.execute("SELECT DISTINCT day FROM archived_sums")}


def archived_sums(cursor: Cursor[Row], day: date) -> list[Alike] | None:
    """How the day's messages had ended, if its month was archived."""
    rows = cursor.execute(OF_DAY, {"day": day}).fetchall()
    if not rows:
        return None
    return [
        Alike(timezone=timezone, message_type=message_type, status=status, late=late, messages=messages)
        for timezone, message_type, status, late, messages in rows
        if status
    ]


def archived_transitions(cursor: Cursor[Row]) -> Counter[tuple[date, str]]:
    """How many events of archived months led into each status, by the UTC day on which they were recorded."""
    cursor.execute("SELECT day, status, sum(messages)::bigint FROM archived_transitions GROUP BY 1, 2")
    return Counter({(day, status): messages for day, status, messages in cursor})
