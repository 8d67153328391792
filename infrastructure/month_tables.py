"""What do archiving and restoring a month have in common: its table read in pages, held against a file, and swapped patiently?"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from itertools import zip_longest
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

import psycopg
import stamina
from psycopg import Cursor, sql

from application.ports import StoreUnavailable
from application.retain_months import ArchiveDamaged, Busy, Told
from infrastructure import archive_file
from infrastructure.archive_file import StoredEvent
from infrastructure.database import Database, Row
from infrastructure.partitions import IN_TURN

T = TypeVar("T")

PAGE: Final = 5_000
LOCK_WAIT: Final = "300ms"
"""So long do writers wait at the most, behind us who wait for a reader, before they get their turn again."""
GIVE_UP_SECONDS: Final = 60.0

ROWS: Final = """
    SELECT notification_id, originator_id, originator_version, recorded_at, topic, state FROM {table}
    WHERE (originator_id, originator_version) > (%s, %s) ORDER BY originator_id, originator_version LIMIT {limit}"""


def partition_of(month: date, table: str = "messages") -> sql.Identifier:
    """The table of a month alone."""
    return sql.Identifier(f"{table}_{month:%Y_%m}")


def rows_of(database: Database, table: sql.Identifier) -> Iterator[StoredEvent]:
    """All rows of a month's table, by ID and version, a statement a page. Raises StoreUnavailable."""
    query = sql.SQL(ROWS).format(table=table, limit=sql.Literal(PAGE)).as_bytes(None)
    after: tuple[UUID, int] = (UUID(int=0), 0)
    while True:
        with database.cursor() as cursor:
            page = [StoredEvent(*row) for row in cursor.execute(query, after)]
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].stream_id, page[-1].version


def compare(path: Path, rows: Iterable[StoredEvent], of: int, told: Told) -> None:
    """Raises ArchiveDamaged where the file and the rows are not the same, one by one."""
    for filed, stored in telling(zip_longest(archive_file.read(path), rows), "verifying", of, told):
        if filed != stored:
            one = stored or filed
            raise ArchiveDamaged(f"{path} and the database differ at position {one.position if one else 0}")


def telling(items: Iterable[T], what: str, of: int, told: Told) -> Iterator[T]:
    """The same, telling once a page."""
    told(what, 0, of)
    for count, item in enumerate(items, 1):
        yield item
        if not count % PAGE:
            told(what, count, of)


@contextmanager
def in_turn(database: Database) -> Iterator[None]:
    """Of all who archive or restore months of this database, one at a time. Raises Busy, StoreUnavailable."""
    with database.direct() as connection:
        row = connection.execute("SELECT pg_try_advisory_lock(hashtext('ninebell.archiving'))").fetchone()
        if not (row and row[0]):
            raise Busy("another ninebell retain or restore runs on this database")
        yield


def swap(database: Database, change: Callable[[Cursor[Row]], None], give_up_seconds: float = GIVE_UP_SECONDS) -> None:
    """Tables go or come in one transaction, tried anew while somebody reads for long. Raises Busy, StoreUnavailable."""
    try:
        for attempt in stamina.retry_context(on=_locked_out, attempts=None, timeout=give_up_seconds):
            with attempt, database.transaction() as cursor:
                cursor.execute("SET LOCAL statement_timeout = 0")
                cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
                cursor.execute(IN_TURN)
                change(cursor)
    except StoreUnavailable as error:
        if not _locked_out(error):
            raise
        raise Busy("somebody goes on reading the log (an audit?): run it again later") from error


def shut_out_all(cursor: Cursor[Row]) -> None:
    """Writers and audits of the messages log, until the transaction ends."""
    cursor.execute("LOCK TABLE ONLY messages IN ACCESS EXCLUSIVE MODE")


def _locked_out(error: Exception) -> bool:
    return isinstance(error, StoreUnavailable) and isinstance(error.__cause__, psycopg.errors.LockNotAvailable)
