"""Which message types fail on which people? The part of the planner's transaction that keeps them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from application.planner_ports import ParkedType
from infrastructure.work import PostgresWork

PARKED: Final = "SELECT user_id, message_type, first, error FROM parked_types WHERE user_id = ANY(%b)"
PARKED_AFTER: Final = """
    SELECT user_id, message_type, first, error FROM parked_types
    WHERE user_id > %b ORDER BY user_id, message_type LIMIT %b FOR UPDATE"""
DROP: Final = "DELETE FROM parked_types WHERE user_id = ANY(%b)"
PUT: Final = """
    INSERT INTO parked_types (user_id, message_type, first, error, at)
    SELECT *, %b::timestamptz FROM unnest(%b::uuid[], %b::text[], %b::date[], %b::text[])"""
EVENTS_ASKED: Final = """
    (follower, log, position) IN (
        SELECT follower, log, position FROM parked_events WHERE follower = %b AND again ORDER BY log, position LIMIT %b)"""
TYPES_ASKED: Final = """
    user_id IN (
        SELECT user_id FROM parked_types WHERE again ORDER BY user_id LIMIT %b - (SELECT count(*) FROM events))"""
ASKED_AGAIN: Final = f"""
    WITH events AS (DELETE FROM parked_events WHERE {EVENTS_ASKED} RETURNING log, position),
    types AS (UPDATE parked_types SET again = false WHERE {TYPES_ASKED} RETURNING user_id, at)
    SELECT user_id, min(since) FROM (
        SELECT user_id, at AS since FROM types
        UNION ALL SELECT originator_id, recorded_at FROM events JOIN users ON notification_id = position WHERE log = 'users'
        UNION ALL SELECT user_id, recorded_at FROM events JOIN messages ON notification_id = position
            JOIN planned ON message_id = originator_id WHERE log = 'messages') AS asked
    GROUP BY user_id"""
ASK_NO_MORE: Final = f"""
    WITH events AS (UPDATE parked_events SET again = false WHERE {EVENTS_ASKED} RETURNING 1)
    UPDATE parked_types SET again = false WHERE {TYPES_ASKED}"""


class ParkedTypeWork(PostgresWork):
    """The part of `application.ports.PlannerWork` that is about who was left alone."""

    def parked(self, user_ids: Sequence[UUID]) -> list[ParkedType]:
        self.cursor.execute(PARKED, (list(user_ids),), prepare=True)
        return [ParkedType(*row) for row in self.cursor]

    def parked_after(self, after: UUID | None, limit: int) -> list[ParkedType]:
        self.cursor.execute(PARKED_AFTER, (after or UUID(int=0), limit), prepare=True)
        return [ParkedType(*row) for row in self.cursor]

    def put_parked(self, user_ids: Sequence[UUID], rows: Sequence[ParkedType], now: datetime) -> None:
        self.cursor.execute(DROP, (list(user_ids),), prepare=True)
        if rows:
            columns = (
                [row.user_id for row in rows],
                [row.message_type for row in rows],
                [row.first for row in rows],
                [row.error for row in rows],
            )
            self.cursor.execute(PUT, (now, *columns), prepare=True)

    def people_asked_again(self, limit: int) -> dict[UUID, datetime]:
        self.cursor.execute(ASKED_AGAIN, (self._follower, limit, limit), prepare=True)
        return dict(self.cursor.fetchall())

    def ask_no_more(self, limit: int) -> None:
        self.cursor.execute(ASK_NO_MORE, (self._follower, limit, limit), prepare=True)
