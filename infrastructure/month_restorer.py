"""How does an archived month of messages get back into the database, under everybody's eyes and in nobody's way?"""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from psycopg import Cursor, sql

from application.ports import Recorded
from application.retain_months import Archive, Busy, Told, month_after
from domain.message_id import month_bounds
from infrastructure import archive_file
from infrastructure.archive import read_archive
from infrastructure.archive_file import StoredEvent
from infrastructure.archived_months import ArchivedMonth, archived_months
from infrastructure.database import ARCHIVED, Database, Row
from infrastructure.month_standing import behind
from infrastructure.month_tables import GIVE_UP_SECONDS, compare, partition_of, rows_of, shut_out_all, swap, telling
from infrastructure.partitions import months_made
from projections import logged_message
from projections.message_log import MESSAGE_LOG
from projections.projection import as_rows

PAGE: Final = 5_000
COPY: Final = """
    COPY {table} (notification_id, originator_id, originator_version, recorded_at, topic, state) FROM STDIN (FORMAT BINARY)"""
TYPES: Final = ("int8", "uuid", "int8", "timestamptz", "text", "bytea")
FILL_LOG: Final = "INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::message_log, %s)"
TOTALS: Final = "INSERT INTO message_totals SELECT occasion, status, count(*) FROM {table} GROUP BY 1, 2"


class MonthRestorer:
    """Fills tables that nobody sees in small transactions, and attaches them in one."""

    def __init__(self, database: Database, directory: Path | None = None, *, give_up_seconds: float = GIVE_UP_SECONDS) -> None:
        """`directory`: where the files lie now, if they were moved."""
        self._database, self._directory, self._give_up_seconds = database, directory, give_up_seconds

    def archived(self, month: date) -> ArchivedMonth | None:
        """The month, if it is not in the database. Raises StoreUnavailable."""
        with self._database.cursor() as cursor:
            return next((one for one in archived_months(cursor) if one.month == month), None)

    def restore(self, archived: ArchivedMonth, told: Told) -> None:
        """Again from the beginning where it was stopped. Raises ArchiveDamaged, Busy, StoreUnavailable."""
        path = archived.path if self._directory is None else self._directory / archived.file
        archive_file.check(path, archived.sha256)
        self._refuse_readers(archived)
        events, log = _staged(archived.month, "messages"), _staged(archived.month, MESSAGE_LOG.name)
        with self._database.transaction() as cursor:
            _make(cursor, events, "messages")
            _make(cursor, log, MESSAGE_LOG.name)
        self._fill(events, telling(archive_file.read(path), "restoring", archived.events, told))
        compare(path, rows_of(self._database, events), archived.events, told)
        self._fill_log(log, telling(read_archive(archived, self._directory), "listing", archived.events, told))
        self._bound(events, "originator_id", archived.month)
        self._bound(log, "id", archived.month)
        swap(self._database, partial(_attach, archived=archived, events=events, log=log), self._give_up_seconds)

    def _refuse_readers(self, archived: Archive) -> None:
        with self._database.cursor() as cursor:
            _refuse_readers(cursor, archived)

    def _fill(self, table: sql.Identifier, rows: Iterator[StoredEvent]) -> None:
        while page := list(islice(rows, PAGE)):
            with self._database.cursor() as cursor, cursor.copy(sql.SQL(COPY).format(table=table)) as copy:
                copy.set_types(TYPES)
                for row in page:
                    copy.write_row(row)

    def _fill_log(self, table: sql.Identifier, events: Iterator[Recorded[Any]]) -> None:
        for page in _whole_streams(events):
            rows = logged_message.rows_of(page, {})
            with self._database.cursor() as cursor:
                cursor.execute(sql.SQL(FILL_LOG).format(table=table), (as_rows(rows),))

    def _bound(self, table: sql.Identifier, column: str, month: date) -> None:
        """What this proves need not be looked at while the table is attached."""
        with self._database.transaction() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            lower, upper = map(sql.Literal, month_bounds(month.year, month.month))
            bound = "ALTER TABLE {table} ADD CONSTRAINT its_month CHECK ({column} >= {lower} AND {column} < {upper})"
            cursor.execute(sql.SQL(bound).format(table=table, column=sql.Identifier(column), lower=lower, upper=upper))


def _staged(month: date, table: str) -> sql.Identifier:
    return sql.Identifier(f"restoring_{table}_{month:%Y_%m}")


def _make(cursor: Cursor[Row], staged: sql.Identifier, like: str) -> None:
    cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(staged))
    cursor.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(staged, sql.Identifier(like)))


def _whole_streams(events: Iterator[Recorded[Any]]) -> Iterator[Sequence[Recorded[Any]]]:
    page: list[Recorded[Any]] = []
    for _, stream in groupby(events, attrgetter("stream_id")):
        page += stream
        if len(page) >= PAGE:
            yield page
            page = []
    if page:
        yield page


def _refuse_readers(cursor: Cursor[Row], archived: Archive) -> None:
    """Whoever builds a read model has read, or reads, the file: back in the log, the month would be read twice."""
    if late := behind(cursor, archived.last_position):
        raise Busy(f"not read to its end by {', '.join(late)}")


def _attach(cursor: Cursor[Row], archived: Archive, events: sql.Identifier, log: sql.Identifier) -> None:
    month = archived.month
    shut_out_all(cursor)
    _refuse_readers(cursor, archived)
    cursor.execute("DELETE FROM archived_months WHERE month = %s", (month,))
    if (month.year, month.month) in months_made(cursor, MESSAGE_LOG.name):
        cursor.execute(sql.SQL("DROP TABLE {}").format(log))
    else:
        _put_in_place(cursor, MESSAGE_LOG.name, month, log)
        cursor.execute("DELETE FROM message_totals WHERE occasion >= %s AND occasion < %s", (month, month_after(month)))
        cursor.execute(sql.SQL(TOTALS).format(table=partition_of(month, MESSAGE_LOG.name)))
    _put_in_place(cursor, "messages", month, events)
    # Only now: the check has just proved that the default partition has nothing of the month.
    check = sql.Identifier(f"{ARCHIVED}{month:%Y_%m}")
    cursor.execute(sql.SQL("ALTER TABLE messages_default DROP CONSTRAINT IF EXISTS {}").format(check))


def _put_in_place(cursor: Cursor[Row], table: str, month: date, staged: sql.Identifier) -> None:
    lower, upper = map(sql.Literal, month_bounds(month.year, month.month))
    words = {"staged": staged, "name": partition_of(month, table), "table": sql.Identifier(table), "lower": lower, "upper": upper}
    for statement in (
        "ALTER TABLE {staged} RENAME TO {name}",
        "ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({lower}) TO ({upper})",
        "ALTER TABLE {name} DROP CONSTRAINT its_month",
    ):
        cursor.execute(sql.SQL(statement).format(**words))
