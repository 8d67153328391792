"""How does a month of messages get into its file, and out of the database, without a row lost on the way?"""

from datetime import date, datetime
from functools import partial
from pathlib import Path

from psycopg import Cursor, sql

from application.audit_messages import Day
from application.retain_months import Archive, Busy, MonthStanding, Told, month_after
from domain.message_id import month_bounds
from infrastructure import archive_file
from infrastructure.archive_file import Manifest
from infrastructure.archived_months import mark_archived
from infrastructure.archived_sums import MonthSums, keep_sums, sums_of
from infrastructure.database import ARCHIVED, Database, Row
from infrastructure.month_standing import audited_days, behind, standing_of
from infrastructure.month_tables import GIVE_UP_SECONDS, compare, partition_of, rows_of, shut_out_all, swap, telling
from infrastructure.partitions import months_made


class MonthArchiver:
    """`application.retain_months.Months` on PostgreSQL: small statements but for the last, and no long snapshot."""

    def __init__(self, database: Database, directory: Path, *, give_up_seconds: float = GIVE_UP_SECONDS) -> None:
        self._database, self._directory, self._give_up_seconds = database, directory.absolute(), give_up_seconds
        self._days: list[Day] = []  # of the month that was looked at last

    def closed(self, before: date) -> list[date]:
        with self._database.cursor() as cursor:
            months = [date(year, month, 1) for year, month in months_made(cursor)]
        return [month for month in months if month_after(month) <= before]

    def standing(self, month: date) -> MonthStanding:
        self._days = audited_days(self._database, month)
        return standing_of(self._database, month, self._days)

    def kept(self, standing: MonthStanding) -> Archive | None:
        found = archive_file.find(self._directory, standing.month, standing.last_position)
        return self._archive(found) if found else None

    def export(self, standing: MonthStanding, told: Told) -> Archive:
        rows = telling(rows_of(self._database, partition_of(standing.month)), "writing", standing.events, told)
        return self._archive(archive_file.write(self._directory, standing.month, standing.last_position, rows))

    def verify(self, archive: Archive, told: Told) -> None:
        path = Path(archive.directory) / archive.file
        archive_file.settle(path)
        archive_file.check(path, archive.sha256)
        compare(path, rows_of(self._database, partition_of(archive.month)), archive.events, told)

    def drop(self, archive: Archive, now: datetime) -> None:
        sums = sums_of(self._database, self._days, partition_of(archive.month))
        swap(self._database, partial(_drop, archive=archive, sums=sums, now=now), self._give_up_seconds)

    def _archive(self, manifest: Manifest) -> Archive:
        return Archive(
            month=manifest.month,
            directory=str(self._directory),
            file=manifest.file,
            sha256=manifest.sha256,
            events=manifest.events,
            messages=manifest.messages,
            first_position=manifest.first_position,
            last_position=manifest.last_position,
        )


def _drop(cursor: Cursor[Row], archive: Archive, sums: MonthSums, now: datetime) -> None:
    """Under the lock it is seen that nothing was written since the file was, and that nobody began to read since."""
    month, table = archive.month, partition_of(archive.month)
    mark_archived(cursor, archive, now)
    keep_sums(cursor, month, sums)
    shut_out_all(cursor)
    cursor.execute(sql.SQL("SELECT coalesce(max(notification_id), 0) FROM {}").format(table))
    if cursor.fetchall() != [(archive.last_position,)]:
        raise Busy("its messages went on meanwhile: run it again")
    if late := behind(cursor, archive.last_position):
        raise Busy(f"not read to its end by {', '.join(late)}")
    lower, upper = month_bounds(month.year, month.month)
    bar = "ALTER TABLE messages_default ADD CONSTRAINT {check} CHECK (originator_id < {lower} OR originator_id >= {upper})"
    check = sql.Identifier(f"{ARCHIVED}{month:%Y_%m}")
    cursor.execute(sql.SQL("DROP TABLE {}").format(table))
    cursor.execute(sql.SQL(bar).format(check=check, lower=sql.Literal(lower), upper=sql.Literal(upper)))
    # What is shown of it goes with it, as it could be shown anew from the file; the planner has no more to remember it for.
    cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(partition_of(month, "message_log")))
    cursor.execute("DELETE FROM planned WHERE message_id >= %s AND message_id < %s", (lower, upper))
