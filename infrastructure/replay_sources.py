"""Where do the events of whole streams stand, and how are they read stream by stream, in stretches of a bearable size?"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Final
from uuid import UUID

from msgspec import Struct
from psycopg import Cursor, sql

from application.ports import Log, Recorded
from application.retain_months import ArchiveDamaged
from domain.event import Event
from infrastructure import archive_file
from infrastructure.archived_months import archived_months
from infrastructure.database import Row
from infrastructure.event_reader import EventReading, ParkedEvent
from infrastructure.partitions import PARTITIONED, months_made
from projections.projection import Projection

STRETCH_EVENTS: Final = 100_000
SAMPLED: Final = 20_000

PAGE_EVENTS: Final = 5_000

READ: Final = """
    SELECT notification_id, uuid_send(originator_id), originator_version, recorded_at, topic, state, {key} FROM {table}
    WHERE {which} AND notification_id <= {up_to} ORDER BY originator_id, originator_version"""
KEY: Final = {"users": sql.SQL("(SELECT wrapped FROM user_keys WHERE user_id = originator_id)")}
SIZE: Final = "SELECT pg_table_size(%s::regclass)"
EDGES: Final = """
    SELECT percentile_disc({shares}::float8[]) WITHIN GROUP (ORDER BY originator_id)
    FROM {table} TABLESAMPLE SYSTEM ({percent})"""


class Source(Struct, frozen=True):
    """A table of events in the shape of a log's, or the file of a month that was dropped; no stream stands in two of them."""

    table: str
    month: tuple[int, int] | None = None  # whose messages it holds, and nobody else's
    odd: bool = False  # holds foreign IDs
    file: str = ""  # where there is no table any more
    sha256: str = ""


class Stretch(Struct, frozen=True):
    """The streams of a source from `first` on, up to `end` exclusive, if given; `events` is an estimate."""

    source: Source
    first: UUID
    end: UUID | None
    events: int


def sources(cursor: Cursor[Row], log: Log) -> list[Source]:
    """All the tables that a log's events stand in: with `archived`, the one place that says where a replay reads."""
    if log != PARTITIONED:
        return [Source(log)]
    months = [Source(f"{log}_{year}_{month:02}", (year, month)) for year, month in months_made(cursor, log)]
    return [*months, Source(f"{log}_default", odd=True)]


def archived(cursor: Cursor[Row], projection: Projection, directory: Path | None = None) -> list[Stretch]:
    """The months that lie in files, where the read model counts what is in them; `directory`: where the files are now.

    What is not counted is shown only as long as its month stands in the log. Raises ArchiveDamaged for a file that is not there.
    """
    if projection.log != PARTITIONED or not projection.sums:
        return []
    found = []
    for month in archived_months(cursor):
        path = month.path if directory is None else directory / month.file
        if not path.is_file():
            raise ArchiveDamaged(f"{month.month:%Y-%m} was archived, and {path} is not there")
        year_month = (month.month.year, month.month.month)
        found.append(Stretch(Source("", year_month, file=str(path), sha256=month.sha256), UUID(int=0), None, month.events))
    return found


class Page(Struct, frozen=True):
    """Whole streams, and what in them could not be read: the rest of such a stream is there."""

    histories: list[list[Recorded[Event]]]
    unreadable: list[ParkedEvent]
    events: int


Kinds = frozenset[type[Event]]


def pages(cursor: Cursor[Row], reading: EventReading, log: Log, kinds: Kinds, stretch: Stretch, up_to: int) -> Iterator[Page]:
    """The streams of a stretch, as they stood at a position of the log, over a cursor of the server's."""
    which = sql.SQL("originator_id >= {}").format(sql.Literal(stretch.first))
    if stretch.end is not None:
        which += sql.SQL(" AND originator_id < {}").format(sql.Literal(stretch.end))
    with cursor.connection.cursor("replay", binary=True) as reader:
        reader.itersize = PAGE_EVENTS
        reader.execute(_read(log, stretch.source.table, which, up_to))
        yield from _paged(reading, kinds, reader)


def archived_pages(reading: EventReading, kinds: Kinds, source: Source) -> Iterator[Page]:
    """The streams in a file. Raises ArchiveDamaged before the first if its checksum is wrong."""
    archive_file.check(Path(source.file), source.sha256)
    return _paged(
        reading, kinds, ((event[0], event[1].bytes, *event[2:], None) for event in archive_file.read(Path(source.file)))
    )


def histories(cursor: Cursor[Row], reading: EventReading, log: Log, kinds: Kinds, ids: Sequence[UUID], up_to: int) -> Page:
    """These streams, as they stood at a position of the log."""
    which = sql.SQL("originator_id = ANY({}) AND originator_id BETWEEN {} AND {}")
    cursor.execute(_read(log, log, which.format(list(ids), min(ids), max(ids)), up_to), binary=True)
    found = list(_paged(reading, kinds, cursor.fetchall()))
    return Page([told for page in found for told in page.histories], [one for page in found for one in page.unreadable], 0)


def _read(log: Log, table: str, which: sql.Composable, up_to: int) -> sql.Composed:
    key = KEY.get(log, sql.SQL("NULL"))
    return sql.SQL(READ).format(table=sql.Identifier(table), which=which, up_to=sql.Literal(up_to), key=key)


def _paged(reading: EventReading, kinds: Kinds, rows: Iterable[Row]) -> Iterator[Page]:
    """Of rows whose IDs are bytes: each stream's is made an object once, which is what dictionaries are quickest with."""
    held: list[Row] = []
    for key, stream in groupby(rows, key=itemgetter(1)):
        stream_id = UUID(bytes=bytes(key))
        held += [(position, stream_id, *rest) for position, _, *rest in stream]
        if len(held) >= PAGE_EVENTS:
            yield _page(reading, kinds, held)
            held = []
    if held:
        yield _page(reading, kinds, held)


def _page(reading: EventReading, kinds: Kinds, rows: Sequence[Row]) -> Page:
    events, unreadable = reading.decoded(rows, kinds)
    told: list[list[Recorded[Event]]] = []
    last: UUID | None = None
    for one in events:
        if one.stream_id is last:
            told[-1].append(one)
        else:
            told.append([one])
            last = one.stream_id
    return Page(told, unreadable, len(rows))


def stretches(cursor: Cursor[Row], log: Log, up_to: int) -> list[Stretch]:
    """The streams of a log in parts of some STRETCH_EVENTS each; `up_to` is about the number of events there are."""
    found = [source for source in sources(cursor, log) if has_any(cursor, source)]
    sizes = [int(cursor.execute(SIZE, (source.table,)).fetchall()[0][0]) for source in found]
    whole = max(1, sum(sizes))
    return [part for source, size in zip(found, sizes, strict=True) for part in _parts(cursor, source, up_to * size // whole)]


def has_any(cursor: Cursor[Row], source: Source) -> bool:
    query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(source.table))
    return bool(cursor.execute(query).fetchall()[0][0])


def _parts(cursor: Cursor[Row], source: Source, events: int) -> Iterator[Stretch]:
    number = 1 if source.odd else max(1, events // STRETCH_EVENTS)
    edges = [UUID(int=0), *_edges(cursor, source, number, events), None]
    for first, end in pairwise(edges):
        assert first is not None
        yield Stretch(source, first, end, events // (len(edges) - 1))


def _edges(cursor: Cursor[Row], source: Source, number: int, events: int) -> list[UUID]:
    """The IDs that cut a source into so many parts, as a sample of it has them."""
    if number == 1:
        return []
    query = sql.SQL(EDGES).format(
        shares=sql.Literal([cut / number for cut in range(1, number)]),
        table=sql.Identifier(source.table),
        percent=sql.Literal(min(100.0, 100.0 * SAMPLED / events)),
    )
    return sorted(set(cursor.execute(query).fetchall()[0][0] or ()))
