"""How are whole streams folded into the tables of a build, stretch by stretch, and the tables finished?"""

import collections.abc
from collections.abc import Iterator, Sequence
from typing import Final, get_origin, get_type_hints

from msgspec import Struct
from msgspec.structs import astuple
from psycopg import Cursor, sql

from infrastructure.database import Database, Row
from infrastructure.event_mapper import EventMapper
from infrastructure.event_reader import EventReading
from infrastructure.keyring import Keyring
from infrastructure.parked_events import park
from infrastructure.projector import POISON
from infrastructure.read_model_build import Build, Fill, Finish, Task
from infrastructure.read_model_sides import NEXT
from infrastructure.replay_sources import Page, Stretch, archived_pages, pages
from infrastructure.user_sealer import UserSealer
from projections.projection import History

# Nobody waits for these transactions, and what a crash of the server takes is done again.
PATIENT: Final = """
    SET LOCAL synchronous_commit = off; SET LOCAL work_mem = '128MB'; SET LOCAL maintenance_work_mem = '256MB';
    SET LOCAL max_parallel_maintenance_workers = 0"""
LEFT_OVER: Final = "INSERT INTO build_leftovers (read_model, stream_id) VALUES (%s, %s) ON CONFLICT DO NOTHING"
ALL_LEFT_OVER: Final = """
    INSERT INTO build_leftovers (read_model, stream_id)
    SELECT DISTINCT %s, originator_id FROM {} WHERE notification_id <= %s ON CONFLICT DO NOTHING"""


class Filler:
    """Does the tasks of one build, each in one transaction, on a database whose sessions have no time-outs."""

    def __init__(self, database: Database, keyring: Keyring, build: Build) -> None:
        self._database, self._keyring, self._build = database, keyring, build
        self._projection = build.projection
        self._reading = EventReading(EventMapper(), keyring)

    def run(self, number: int, task: Task) -> int:
        """How many events it read. Raises Overtaken, StoreUnavailable; then nothing of it is kept."""
        with self._database.transaction() as cursor:
            NEXT.enter(cursor)
            cursor.execute(PATIENT, binary=False)
            events = self._fill(cursor, task) if isinstance(task, Fill) else self._finish(cursor, task)
            self._build.done(cursor, number)
        return events

    def _finish(self, cursor: Cursor[Row], task: Finish) -> int:
        for statement in (*task.statements, sql.SQL("ANALYZE {}").format(sql.Identifier(task.table)).as_string(None)):
            cursor.execute(statement.encode())
        return 0

    def _fill(self, cursor: Cursor[Row], task: Fill) -> int:
        stretch = task.stretch
        if stretch.source.odd:  # for these few, partitions may have to be made
            every = sql.SQL(ALL_LEFT_OVER).format(sql.Identifier(stretch.source.table))
            cursor.execute(every, (self._projection.name, self._build.up_to))
            return 0
        sealer, log = UserSealer(self._keyring, cursor), self._projection.log
        events = 0
        for page in self._pages(cursor, stretch):
            park(cursor, NEXT.follower(self._projection.name), log, page.unreadable)
            self._put(cursor, page.histories, sealer, task.into)
            events += page.events
        return events

    def _pages(self, cursor: Cursor[Row], stretch: Stretch) -> Iterator[Page]:
        if stretch.source.file:
            return archived_pages(self._reading, self._projection.kinds, stretch.source)
        return pages(cursor, self._reading, self._projection.log, self._projection.kinds, stretch, self._build.up_to)

    def _put(self, cursor: Cursor[Row], told: Sequence[History], sealer: UserSealer, into: dict[str, str]) -> None:
        """What can't be folded or stored is halved until the stream that spoils it stands alone, and is left for later."""
        if not told:
            return
        try:
            with cursor.connection.transaction():
                for table, rows in self._projection.fold(told, sealer).items():
                    if into.get(table, table):
                        copy(cursor, into.get(table, table), rows)
        except POISON:
            if len(told) == 1:
                cursor.execute(LEFT_OVER, (self._projection.name, told[0][0].stream_id))
                return
            self._put(cursor, told[: len(told) // 2], sealer, into)
            self._put(cursor, told[len(told) // 2 :], sealer, into)


def copy(cursor: Cursor[Row], table: str, rows: Sequence[Struct]) -> None:
    """Into a table whose columns are the structs' fields."""
    if not rows:
        return
    kind = type(rows[0])
    columns = sql.SQL(", ").join(map(sql.Identifier, kind.__struct_fields__))
    arrays = _arrays(kind)
    with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), columns)) as stream:
        for row in rows:
            values = list(astuple(row))
            for number in arrays:
                values[number] = list(values[number])
            stream.write_row(values)


def _arrays(kind: type[Struct]) -> frozenset[int]:
    """Where tuples stand, which psycopg would take for rows."""
    hints = get_type_hints(kind)
    found = enumerate(get_origin(hints[name]) for name in kind.__struct_fields__)
    return frozenset(number for number, origin in found if origin in (tuple, list, collections.abc.Sequence))
