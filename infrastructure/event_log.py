"""How is a log's table locked and written? One way, for the event store and for eventsourcing's recorder alike."""

from collections.abc import Collection, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import Cursor, sql

from application.ports import LOGS, Log
from infrastructure.database import SCHEMA

LOCK_SPACE: Final = 0x6E62  # first half of the advisory locks of logs; the second is the hash of schema and table
ROWS_A_STATEMENT: Final = 2000

_number: Final = attrgetter("int")


class NewRow(NamedTuple):
    """An event as it goes into a log."""

    stream_id: UUID
    version: int
    topic: str
    state: bytes
    at: datetime


class LogTable:
    """One log's lock and insert. Positions are given in the order of commits, as whoever inserts holds the lock until then."""

    def __init__(self, schema: str, table: str) -> None:
        name = sql.Identifier(schema, table)
        self._lock = (
            sql.SQL("SELECT pg_advisory_xact_lock({space}, hashtext({name}))")
            .format(space=LOCK_SPACE, name=f"{schema}.{table}")
            .as_bytes(None)
        )
        # One statement over arrays: nothing is streamed under the lock, as a client frozen in a COPY would keep it for ever.
        self._insert = (
            sql.SQL(
                "INSERT INTO {name} (originator_id, originator_version, topic, state, recorded_at)"
                " SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[], %b::timestamptz[])"
                " RETURNING notification_id"
            )
            .format(name=name)
            .as_bytes(None)
        )
        self._append = (
            sql.SQL("SELECT {function}(%b, %b, %b, %b, %b, %b, %b)")
            .format(function=sql.Identifier(schema, f"append_to_{table}"))
            .as_bytes(None)
        )

    def lock(self, cursor: Cursor[Any]) -> None:
        """Be the only writer of this log until the transaction ends."""
        cursor.execute(self._lock, prepare=True)

    def insert(self, cursor: Cursor[tuple[Any, ...]], rows: Sequence[NewRow]) -> list[int]:
        """Positions of the rows, ascending. The lock is held already."""
        positions: list[int] = []
        for start in range(0, len(rows), ROWS_A_STATEMENT):
            columns = [list(column) for column in zip(*rows[start : start + ROWS_A_STATEMENT], strict=True)]
            cursor.execute(self._insert, columns, prepare=True)
            positions.extend(position for (position,) in cursor)
        return positions

    def append(self, cursor: Cursor[tuple[Any, ...]], rows: Sequence[NewRow]) -> list[int] | None:
        """Lock and insert in one, if every stream still stands right before its first row: else None, and only the lock is held.

        At most ROWS_A_STATEMENT rows, no stream in two parts.
        """
        return _answer(cursor, self._append, _columns(rows))


def append_to_two(
    cursor: Cursor[tuple[Any, ...]], messages: Sequence[NewRow], dispatches: Sequence[NewRow]
) -> tuple[list[int], list[int]] | None:
    """As `LogTable.append`, all of both logs or nothing."""
    found = _answer(cursor, APPEND_TO_TWO, _columns(messages) + _columns(dispatches))
    return None if found is None else (found[: len(messages)], found[len(messages) :])


def _columns(rows: Sequence[NewRow]) -> tuple[Any, ...]:
    ids, *columns = (list(column) for column in zip(*rows, strict=True))
    return (ids, *columns, *bounds(ids))


def _answer(cursor: Cursor[tuple[Any, ...]], statement: bytes, columns: tuple[Any, ...]) -> list[int] | None:
    cursor.execute(statement, columns, prepare=True)
    found: list[int] | None = cursor.fetchall()[0][0]
    return found


def bounds(ids: Collection[UUID]) -> tuple[UUID, UUID]:
    """The lowest and the highest; compared as numbers, as a UUID's own comparison takes three times as long."""
    return min(ids, key=_number), max(ids, key=_number)


APPEND_TO_TWO: Final = (
    sql.SQL("SELECT {function}(%b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b)")
    .format(function=sql.Identifier(SCHEMA, "append_to_messages_and_dispatches"))
    .as_bytes(None)
)
TABLES: Final[dict[Log, LogTable]] = {log: LogTable(SCHEMA, log) for log in LOGS}
