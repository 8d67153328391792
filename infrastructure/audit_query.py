"""What do the message log and its read models say of each day's messages, at one and the same instant?"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date

from psycopg import Cursor, sql

from application.audit_messages import Day, Difference, Fault
from application.audit_sums import Alike
from domain.message_id import month_bounds
from domain.timezones import canonical
from infrastructure.archived_sums import archived_days, archived_sums
from infrastructure.audit_read_models import AUDITED, ReadModels, standing
from infrastructure.audit_streams import Counted, census, days_of, on_day
from infrastructure.database import Database, Row
from infrastructure.partitions import months_made


@contextmanager
def open_books(database: Database) -> Iterator["PostgresBooks"]:
    """One snapshot, however much is appended meanwhile. Raises StoreUnavailable."""
    with database.cursor() as cursor:  # before it, so that the default partitions are not locked for as long as it lasts
        odd = {*days_of(cursor, "messages_default", "originator_id"), *_odd_days_of_log(cursor)}
        names = [table for projection in AUDITED for table in projection.tables]
        there = cursor.execute(
            "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL", (names,)
        ).fetchall()
    with database.transaction() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # Before the snapshot is taken: a month goes or comes with its sums either before all that is read here, or after.
        cursor.execute("LOCK TABLE ONLY messages IN ACCESS SHARE MODE")
        # Years of messages are read here by nobody in a hurry, and without a lock that anybody waits for.
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '60s'")
        cursor.execute("SET LOCAL work_mem = '64MB'")
        for (table,) in there:  # or a swap could show rows that are newer than the snapshot; only the parent, for its partitions
            cursor.execute(sql.SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(sql.Identifier(table)))
        yield PostgresBooks(cursor, odd)


class PostgresBooks:
    """`application.audit_messages.Books` on one open transaction: a few statements a day, and rows only of what is alike."""

    def __init__(self, cursor: Cursor[Row], odd: set[date]) -> None:
        """`odd` days have messages in a default partition: as a rule there is none."""
        self._cursor, self._odd = cursor, odd
        self._read_models = ReadModels(cursor, odd)

    def days(self, start: date | None, end: date | None) -> list[date]:
        found = {*self._odd, *self._read_models.days(), *archived_days(self._cursor)}
        for month in months_made(self._cursor, "messages"):
            found.update(days_of(self._cursor, "messages", "originator_id", *month_bounds(*month)))
        return sorted(day for day in found if (start or date.min) <= day and (end is None or day < end))

    def day(self, day: date, *, examples: bool) -> Day:
        if (archived := archived_sums(self._cursor, day)) is not None:
            return self._archived_day(day, archived)
        counted = list(census(self._cursor, on_day(day)))
        return Day(
            day=day,
            alike=[_alike(one) for one in counted if one.day],
            faults=[fault for one in counted for fault in _faults(one)],
            differences=self._read_models.differences(day, standing(counted), examples=examples),
            oldest_doubt_at=min((one.doubted_at for one in counted if one.doubted_at), default=None),
        )

    def _archived_day(self, day: date, alike: Sequence[Alike]) -> Day:
        found = Counter[str]()
        for one in alike:
            found[str(one.status)] += one.messages
        return Day(day=day, alike=alike, differences=self._read_models.differences(day, found, examples=False, archived=True))

    def strays(self) -> list[Fault]:
        found = census(self._cursor, sql.SQL("true"), "messages_default")
        return [fault for one in found if one.day is None for fault in _faults(one)]

    def transitions(self) -> list[Difference]:
        return self._read_models.transitions()

    def behind(self) -> dict[str, int]:
        return self._read_models.behind()


def _alike(one: Counted) -> Alike:
    return Alike(
        timezone=canonical(one.timezone),
        message_type=one.message_type,
        status=one.status,
        late=one.late,
        begun=one.begun,
        messages=one.streams,
    )


def _faults(one: Counted) -> Iterator[Fault]:
    if one.day is None:
        yield Fault("streams under an ID that is no message's", one.streams, one.example)
        return
    wrong = {
        "messages that have events but were never scheduled": not one.begun,
        "messages whose history has a gap": not one.whole,
        "messages recorded as sent more than once": not one.once,
        f"messages of which nobody can say where they stand ({one.unknown})": one.status is None,
    }
    for what, is_so in wrong.items():
        if is_so:
            yield Fault(f"{one.day}: {what}", one.streams, one.example)


def _odd_days_of_log(cursor: Cursor[Row]) -> Iterator[date]:
    cursor.execute("SELECT to_regclass('message_log_default') IS NOT NULL")
    if cursor.fetchall()[0][0]:
        yield from days_of(cursor, "message_log_default", "id")
