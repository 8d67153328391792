"""Which spans has the database lost, and is anybody at work on it just now?"""

from datetime import datetime
from typing import Final

from psycopg import Cursor

from application.dispatcher_ports import LostSpan
from application.recover_restored import Counters
from infrastructure.database import Database, Row

BEGIN: Final = "INSERT INTO lost_spans (restored_to, found_at, who) VALUES (%b, %b, %b) ON CONFLICT DO NOTHING"
FIND: Final = "SELECT restored_to, found_at, recovered_at FROM lost_spans WHERE restored_to = %b"
ALL: Final = "SELECT restored_to, found_at FROM lost_spans ORDER BY restored_to"
END: Final = "UPDATE lost_spans SET recovered_at = %b WHERE restored_to = %b"
COUNTERS: Final = """
    SELECT 'worker', worker, incarnation::text, counter FROM workers
    UNION ALL SELECT role, '', epoch::text, counter FROM leader_bumps WHERE role LIKE 'dispatcher/%' AND NOT released"""


class PostgresLostSpans:
    """The table `lost_spans`. Every method may raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recovered(self, restored_to: datetime) -> tuple[LostSpan, datetime] | None:
        """The span, and when it was dealt with, if it was."""
        with self._database.cursor() as cursor:
            row = cursor.execute(FIND, (restored_to,)).fetchone()
        return (LostSpan(*row[:2]), row[2]) if row and row[2] else None

    def end(self, span: LostSpan, now: datetime) -> None:
        with self._database.cursor() as cursor:
            cursor.execute(END, (now, span.restored_to))

    def counters(self) -> Counters:
        """Of the workers, and of the dispatcher unless it has handed its role over."""
        with self._database.cursor() as cursor:
            return {(kind, name, which): count for kind, name, which, count in cursor.execute(COUNTERS)}


def recorded_span(cursor: Cursor[Row], restored_to: datetime, who: str, now: datetime) -> LostSpan:
    """As it was recorded first."""
    cursor.execute(BEGIN, (restored_to, now, who))
    return LostSpan(*cursor.execute(FIND, (restored_to,)).fetchall()[0][:2])


def lost_spans(cursor: Cursor[Row]) -> list[LostSpan]:
    """In the transaction of a dispatcher."""
    return [LostSpan(*row) for row in cursor.execute(ALL)]
