"""What of one person is in the database, and in the files that months were put into?"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg import Cursor, sql

from application.erasure_report import Looked, Told
from application.ports import BrokenStreams
from application.retain_months import ArchiveDamaged
from domain.errors import UserUnknown
from domain.user import PERSONAL, UserErased
from infrastructure.archive import all_archived, read_rows
from infrastructure.archived_months import ArchivedMonth
from infrastructure.database import SCHEMA, Row
from infrastructure.event_store import PostgresEventStore
from infrastructure.month_tables import telling
from infrastructure.read_model_sides import aside

BLANKS: Final = dict(PERSONAL)
# Whatever tables there are, of whatever read model, live or not: a new one is looked at without being named here.
ID_COLUMNS: Final = """
    SELECT nspname, relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE (nspname = %(schema)s OR nspname LIKE %(schema)s || '\\_%%') AND relkind IN ('r', 'p') AND NOT relispartition
        AND atttypid = 'uuid'::regtype AND attnum > 0 AND NOT attisdropped
    ORDER BY 1, 2, 3"""
HISTORY: Final = {"messages", "message_log", "users", "dispatches"}
"""What stays: events, and the log of messages, with an ID that names nobody any more. They are looked into by themselves."""
CLEAR: Final = """
    SELECT count(*) FROM {log} WHERE originator_id = ANY(%(ids)s) AND originator_id BETWEEN %(low)s AND %(high)s
        AND (convert_from(state, 'utf8')::jsonb -> 'event') ?| %(fields)s"""
MESSAGES: Final = "SELECT id FROM message_log WHERE user_id = %s"
PARKED: Final = """
    SELECT count(*) FROM parked_events JOIN users ON notification_id = position
    WHERE log = 'users' AND originator_id = %s AND error <> ''"""
BEHIND: Final = """
    SELECT follower FROM positions
    WHERE log = 'users' AND position < (SELECT max(notification_id) FROM users WHERE originator_id = %s) ORDER BY 1"""


class Archived(msgspec.Struct, frozen=True):
    """An archived event as it was stored."""

    event: dict[str, Any]


class PostgresTraces:
    """`application.erasure_report.Traces`."""

    def __init__(self, store: PostgresEventStore, directory: Path | None = None) -> None:
        """`directory`: where the archives lie now, if they were moved."""
        self._store, self._directory = store, directory

    def of_user(self, user_id: UUID, told: Told) -> Iterator[Looked]:
        """Raises UserUnknown, StoreUnavailable."""
        yield from self._events(user_id)
        with self._store.database.transaction() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            message_ids = [message_id for (message_id,) in cursor.execute(MESSAGES, (user_id,))]
            yield from _followers(cursor, user_id)
            yield from _tables(cursor, user_id, message_ids)
        yield self._unfinished(message_ids)
        with self._store.database.transaction() as cursor:
            yield _in_clear(cursor, "messages", message_ids)
        for archived in all_archived(self._store.database):
            yield self._archive(archived, user_id, told)

    def _events(self, user_id: UUID) -> Iterator[Looked]:
        try:
            history = self._store.history("users", user_id)
        except BrokenStreams as error:
            yield Looked("users (log)", f"events that can't be read, so that nobody knows what they hold ({error})", 1)
            return
        if not history:
            raise UserUnknown
        erased = [recorded.at for recorded in history if isinstance(recorded.event, UserErased)]
        said = f"erased at {erased[0]:%Y-%m-%dT%H:%M:%SZ}" if erased else "was not erased"
        yield Looked("users (log)", f"the erasure: {said}", 0 if erased else 1)
        sealed = [recorded.event for recorded in history if BLANKS.keys() & set(recorded.event.__struct_fields__)]
        opened = [event for event in sealed if any(getattr(event, name, blank) != blank for name, blank in BLANKS.items())]
        yield Looked("users (log)", f"sealed events that can still be opened, of {len(sealed)} that stay for ever", len(opened))
        with self._store.database.transaction() as cursor:
            yield _in_clear(cursor, "users", [user_id])

    def _unfinished(self, message_ids: Sequence[UUID]) -> Looked:
        streams = self._store.load_messages(message_ids)
        pending = [
            stream for stream in streams.values() if stream.state and (stream.state.pending or stream.state.status == "in_doubt")
        ]
        return Looked("messages (log)", f"messages that could still be sent, of {len(streams)} that there are", len(pending))

    def _archive(self, archived: ArchivedMonth, user_id: UUID, told: Told) -> Looked:
        place, events, bad = f"archive {archived.month:%Y-%m}", 0, 0
        needle, mine = str(user_id).encode(), UUID(int=0)
        try:
            for row in telling(read_rows(archived, self._directory), place, archived.events, told):
                if needle in row.state:
                    mine = row.stream_id
                if row.stream_id == mine:
                    events += 1
                    bad += _says_anything(row.state)
        except ArchiveDamaged as error:
            return Looked(place, f"it could not be looked through: {error}", 1)
        return Looked(place, f"personal fields in the {events} events of this person's messages", bad)


def _followers(cursor: Cursor[Row], user_id: UUID) -> Iterator[Looked]:
    behind = [follower for (follower,) in cursor.execute(BEHIND, (user_id,))]
    said = f" ({', '.join(behind)})" if behind else ""
    what = f"read models and planner that have yet to read of the erasure{said}"
    yield Looked("positions", what, len(behind), beside=any(map(aside, behind)))
    yield Looked("parked_events", "events of this person that somebody left alone", _count(cursor, PARKED, user_id))


def _tables(cursor: Cursor[Row], user_id: UUID, message_ids: Sequence[UUID]) -> Iterator[Looked]:
    for schema, table, column in cursor.execute(ID_COLUMNS, {"schema": SCHEMA}).fetchall():
        if table in HISTORY:
            continue
        query = sql.SQL("SELECT count(*) FROM {table} WHERE {column} = %s OR {column} = ANY(%s)")
        names = {"table": sql.Identifier(schema, table), "column": sql.Identifier(column)}
        found = _count(cursor, query.format(**names), user_id, list(message_ids))
        place = table if schema == SCHEMA else f"{schema}.{table}"
        yield Looked(place, f"rows with this person's ID, or one of their messages', as {column}", found, beside=schema != SCHEMA)


def _in_clear(cursor: Cursor[Row], log: str, ids: Sequence[UUID]) -> Looked:
    bounds = {"low": min(ids, default=None), "high": max(ids, default=None)}
    cursor.execute(sql.SQL(CLEAR).format(log=sql.Identifier(log)), {"ids": list(ids), "fields": list(PERSONAL), **bounds})
    return Looked(f"{log} (log)", "events with a personal field that is not sealed", int(cursor.fetchall()[0][0]))


def _says_anything(state: bytes) -> bool:
    """Whether an archived event has a personal field, or anything sealed; one that can't be read counts as if it had."""
    try:
        event = msgspec.json.decode(state, type=Archived).event
    except ValueError:  # of msgspec's, or of a text that is no UTF-8
        return True
    return not event.keys().isdisjoint({*PERSONAL, "sealed"})


def _count(cursor: Cursor[Row], query: str | sql.Composed, *arguments: object) -> int:
    return int(cursor.execute(query, arguments).fetchall()[0][0])
