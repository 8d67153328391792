"""Which messages does somebody mean: of a list, a count, a redrive?"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from psycopg import sql

from application.reschedule_message import FARTHEST
from domain.message_id import date_bounds
from domain.scheduled_message import Reason, Status
from domain.timezones import canonical
from projections.page_cursor import ByDueInstant
from projections.projection import Cursor

NONE: Final = (UUID(int=0), UUID(int=0))
"""Bounds between which no ID lies."""

YEARS: Final = (1970, 9997)
"""Of which an ID can have the dates, and those that FARTHEST leads to."""
BAD_ENDS: Final = frozenset[Status](("cancelled", "expired", "abandoned", "in_doubt"))
"""Few messages are in these, and an index leads to them."""


class Asked(Struct, frozen=True, kw_only=True):
    """Which messages a list is to hold; what is None does not matter."""

    status: Status | None = None
    reason: Reason | None = None  # as shown
    message_type: str | None = None
    timezone: str | None = None  # under any of the zone's names
    user_id: UUID | None = None
    due_from: datetime | None = None
    due_before: datetime | None = None
    error: str | None = None  # what went wrong last
    failed_from: datetime | None = None  # when something last went wrong with it
    failed_before: datetime | None = None
    in_doubt: bool | None = None  # whatever its status

    @property
    def prepare(self) -> bool | None:
        """As psycopg takes it: False where it hangs on the values how many rows there are, and each query is planned for its own.

        From the eleventh time on PostgreSQL may run a prepared query by a plan for values of the usual number, and read the whole
        log for rare ones.
        """
        by_value = (self.status, self.reason, self.message_type, self.timezone, self.error, self.in_doubt)
        return None if by_value == (None,) * len(by_value) else False


def to_redrive(asked: Asked, *, accept_duplicates: bool, until: datetime) -> Asked:
    """Of these what was given up by `until`, so that what is given up again meanwhile is not taken twice.

    What may have been accepted is left out unless duplicates are.
    """
    before = until + timedelta(microseconds=1)
    failed_before = before if asked.failed_before is None else min(before, asked.failed_before)
    return replace(asked, failed_before=failed_before, in_doubt=None if accept_duplicates else False)


def condition(cursor: Cursor, asked: Asked, after: ByDueInstant | None = None) -> tuple[sql.Composable, list[Any]]:
    """What stands after WHERE, and its arguments: the rows of `message_log` that are meant, those after a cursor alone.

    Only what was asked stands there, so that PostgreSQL's planner sees which index answers it.
    """
    wanted: list[tuple[LiteralString, Any]] = [
        ("ended_badly = %s" if asked.status in BAD_ENDS else "status = %s", asked.status),
        # What is said twice of a reason and an error tells PostgreSQL's planner that their indexes hold every such row.
        ("reason = %s AND reason <> ''", asked.reason),
        ("message_type = %s", asked.message_type),
        ("canonical_timezone = %s", asked.timezone and canonical(asked.timezone)),
        ("user_id = %s", asked.user_id),
        ("due_at >= %s", asked.due_from),
        ("due_at < %s", asked.due_before),
        ("error = %s AND error <> ''", asked.error),
        ("failed_at >= %s", asked.failed_from),
        ("failed_at < %s", asked.failed_before),
        ("(cardinality(doubts) > 0) = %s", asked.in_doubt),
    ]
    conditions: list[sql.Composable] = [sql.SQL(condition) for condition, value in wanted if value is not None]
    arguments = [value for _, value in wanted if value is not None]
    if after:
        conditions.append(sql.SQL("(due_at, id) > (%s, %s)"))
        arguments += [after.due_at, after.message_id]
    if asked.due_before and YEARS[0] <= asked.due_before.year <= YEARS[1]:
        # The partitions stand by date. Nothing falls due further ahead of its date than an operator may move it; given up and
        # begun again, it may long after.
        conditions.append(sql.SQL("id < %s"))
        latest = (asked.due_before.astimezone(UTC) + FARTHEST).date()
        arguments.append(date_bounds(latest, latest)[1])
    if asked.status:
        # No index knows the status, but the totals know the dates between which there is any such message.
        conditions.append(sql.SQL("id >= %s AND id < %s"))
        arguments += _ids_in(cursor, asked.status)
    return sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true"), arguments


def _ids_in(cursor: Cursor, status: Status) -> tuple[UUID, UUID]:
    """Bounds of the IDs of all messages in this status; empty ones where there is none."""
    cursor.execute("SELECT min(occasion), max(occasion) FROM message_totals WHERE status = %s AND messages > 0", [status])
    [(first, last)] = cursor.fetchall()
    return date_bounds(first, last) if first else NONE
