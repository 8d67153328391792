"""Do the live rows of a read model say what its events come to, all of them or a sample?"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import astuple
from psycopg import Cursor, sql

from domain.message_id import month_bounds
from infrastructure.database import Row
from infrastructure.event_store import PostgresEventStore
from infrastructure.parked_events import parked_at
from infrastructure.projector import NewerTables
from infrastructure.replay_sources import Page, Source, Stretch, archived, archived_pages, histories, pages, stretches
from infrastructure.row_difference import Comparison, Difference, Pair
from infrastructure.user_sealer import UserSealer
from projections.projection import Projection, Rows, as_rows

AT_A_TIME: Final = 500
FIRST: Final = UUID(int=0)
SAMPLE: Final = "SELECT DISTINCT {key} FROM {table} TABLESAMPLE SYSTEM ({percent}) LIMIT {limit}"
ROWS_TO_SAMPLE: Final = 20
"""So many times as many rows as wanted are drawn on, as rows that lie together are drawn together."""

Looked = Callable[[int, int], None]


class Verification:
    """Of one read model, in one snapshot."""

    def __init__(self, cursor: Cursor[Row], store: PostgresEventStore, projection: Projection, examples: int) -> None:
        """Raises NewerTables where another version is live."""
        self._cursor, self._reading, self._projection = cursor, store.reading, projection
        self._sealer = UserSealer(store.keyring, cursor)
        self._read = self._position()
        self._parked = parked_at(cursor, projection.name, projection.log)
        self._by_stream = [table for table in projection.tables if table not in projection.sums]
        self._comparisons = {
            table: Comparison(cursor, self._sealer, table, table, table, examples) for table in projection.tables
        }
        self._sums: dict[str, Counter[tuple[Any, ...]]] = {table: Counter() for table in projection.sums}
        self._kinds: dict[str, type[Struct]] = {}

    def all(self, looked: Looked, archives: Path | None = None) -> list[Difference]:
        """Every row. `looked` is told how many of the parts of the log are done.

        `archives` is where files of archived months lie now, if they were moved. Raises ArchiveDamaged.
        """
        ranges = list(pairwise([FIRST, *self._cuts(), None]))
        for number, (first, end) in enumerate(ranges):
            looked(number, len(ranges))
            self._range(first or FIRST, end)
        for stretch in archived(self._cursor, self._projection, archives):
            for page in archived_pages(self._reading, self._projection.kinds, stretch.source):
                self._add_up(self._projection.fold(page.histories, self._sealer))
        looked(len(ranges), len(ranges))
        for table in self._projection.sums:
            self._compare_sums(table)
        return [one.found for one in self._comparisons.values()]

    def sample(self, number: int, looked: Looked) -> list[Difference]:
        """The rows of so many streams, drawn from the log and from the tables; sums can't be told from a sample."""
        drawn = self._drawn(number)
        for start in range(0, len(drawn), AT_A_TIME):
            looked(start, len(drawn))
            self._streams(drawn[start : start + AT_A_TIME])
        looked(len(drawn), len(drawn))
        return [self._comparisons[table].found for table in self._by_stream]

    def _position(self) -> int:
        key = (self._projection.name, self._projection.log, self._projection.version)
        self._cursor.execute("SELECT position FROM positions WHERE follower = %s AND log = %s AND version = %s", key)
        for (position,) in self._cursor:
            return int(position)
        raise NewerTables(f"{key[0]} is not live in version {key[2]}, the one that this Ninebell knows: rebuild it")

    def _cuts(self) -> list[UUID]:
        """Where the log may be cut into bearable parts."""
        cuts = set[UUID]()
        for stretch in stretches(self._cursor, self._projection.log, self._read):
            cuts.add(stretch.first)
            if stretch.source.month:
                cuts.update(month_bounds(*stretch.source.month))
        return sorted(cuts - {FIRST})

    def _range(self, first: UUID, end: UUID | None) -> None:
        stretch = Stretch(Source(self._projection.log), first, end, 0)
        for page in pages(self._cursor, self._reading, self._projection.log, self._projection.kinds, stretch, self._read):
            last = max((told[0].stream_id for told in page.histories), default=first)
            self._compare(page, partial(_between, first=first, last=last))
            first = UUID(int=last.int + 1)
        self._compare(Page([], [], 0), partial(_up_to, first=first, end=end))

    def _streams(self, ids: Sequence[UUID]) -> None:
        told = histories(self._cursor, self._reading, self._projection.log, self._projection.kinds, ids, self._read)
        wanted = sql.SQL("{} = ANY({}) AND {} BETWEEN {} AND {}")
        self._compare(told, lambda key: wanted.format(key, list(ids), key, min(ids), max(ids)))

    def _compare(self, page: Page, which: Callable[[sql.Identifier], sql.Composable]) -> None:
        """The rows of a page's streams with those that stand in a part of the table."""
        told = [[one for one in history if one.position not in self._parked] for history in page.histories]
        rows = self._projection.fold([history for history in told if history], self._sealer)
        for table in self._by_stream:
            comparison = self._comparisons[table]
            live = sql.SQL("(SELECT * FROM {} WHERE {})").format(sql.Identifier(table), which(sql.Identifier(comparison.key[0])))
            comparison.compare(Pair(live, _derived(table, rows.get(table, ()))))
        self._add_up(rows)

    def _add_up(self, rows: Rows) -> None:
        for table, counted in self._sums.items():
            for row in rows.get(table, ()):
                *key, messages = astuple(row)
                counted[tuple(key)] += messages
                self._kinds[table] = type(row)

    def _compare_sums(self, table: str) -> None:
        kind = self._kinds.get(table)
        rows = [kind(*key, messages) for key, messages in self._sums[table].items()] if kind else []
        live = sql.SQL("(SELECT * FROM {} WHERE messages <> 0)").format(sql.Identifier(table))
        self._comparisons[table].compare(Pair(live, _derived(table, rows)))

    def _drawn(self, number: int) -> list[UUID]:
        sources = [
            (self._projection.log, "originator_id"),
            *((table, self._comparisons[table].key[0]) for table in self._by_stream),
        ]
        percent = min(100.0, 100.0 * number * ROWS_TO_SAMPLE / max(1, self._read))
        found = set[UUID]()
        for table, key in sources:
            query = sql.SQL(SAMPLE).format(
                key=sql.Identifier(key),
                table=sql.Identifier(table),
                percent=sql.Literal(percent),
                limit=sql.Literal(number * ROWS_TO_SAMPLE),
            )
            drawn = [stream_id for (stream_id,) in self._cursor.execute(query)]
            found.update(Random().sample(drawn, min(len(drawn), -(-number // len(sources)))))
        return sorted(found)


@contextmanager
def open_verification(store: PostgresEventStore, projection: Projection, examples: int) -> Iterator[Verification]:
    """One snapshot, however much is appended meanwhile. Raises NewerTables, StoreUnavailable."""
    with store.database.transaction() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '60s'")
        for table in projection.tables:  # only the parent: its partitions may come and go, but not be swapped away
            cursor.execute(sql.SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(sql.Identifier(table)))
        yield Verification(cursor, store, projection, examples)


def _derived(table: str, rows: Sequence[Struct]) -> sql.Composed:
    """As the table would hold them."""
    return sql.SQL("json_populate_recordset(NULL::{}, {})").format(sql.Identifier(table), sql.Literal(as_rows(rows)))


def _between(key: sql.Identifier, first: UUID, last: UUID) -> sql.Composed:
    return sql.SQL("{} BETWEEN {} AND {}").format(key, first, last)


def _up_to(key: sql.Identifier, first: UUID, end: UUID | None) -> sql.Composed:
    beyond = sql.SQL("{} >= {}").format(key, first)
    return beyond if end is None else sql.SQL("{} AND {} < {}").format(beyond, key, end)
