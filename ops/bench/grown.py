"""How do millions of events come to be stored in minutes? A short past is made in full, then copied within the database.

What stands there afterwards is what months leave: real bytes under IDs of their own, in the months' partitions, every index grown
by insertion. Only sums by day, and the people it is about, are those of the short past.
"""

import shutil
from calendar import monthrange
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final, LiteralString, NamedTuple

from psycopg import Connection, sql

from infrastructure.auditor import Auditor
from infrastructure.database import Row
from infrastructure.region_leaders import ROLES
from ops.bench.ground import Ground, ground_in
from ops.bench.kept import Kept
from ops.bench.past import Past, Person, live_through
from ops.bench.processes import ProcessFailed
from ops.bench.report import Tell
from ops.wiring import Parts

DAYS: Final = 90
EVENTS_A_MESSAGE: Final = 3.05
MOST_MADE: Final = 100_000
BYTES_AN_EVENT: Final = 1_100  # with its share of the read models and of the write-ahead log
PATIENT: Final = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET work_mem = '256MB'"

# What stands is noted where a measurement begins, so that whatever it leaves can be taken back, also when it was stopped.
BEGIN: Final[LiteralString] = """
CREATE SCHEMA made;
CREATE TABLE made.copies (number int PRIMARY KEY);
CREATE TABLE made.stands (users bigint NOT NULL, messages bigint NOT NULL);
INSERT INTO made.stands VALUES (0, 0);
"""
# A message's ID of the same date: a UUIDv8, as domain/message_id.py makes them.
ANOTHER: Final[LiteralString] = """
overlay(overlay(md5({0}::text || {1}) PLACING '8' FROM 17) PLACING left({0}::text, 14) || '8' FROM 1 FOR 13)::uuid"""
STAND: Final = """
UPDATE made.stands SET users = coalesce((SELECT max(notification_id) FROM users), 0),
    messages = coalesce((SELECT max(notification_id) FROM messages), 0)"""
# Told where it stands rather than looking it up, so that an index finds the few rows behind it.
TAKE_BACK: Final[tuple[LiteralString, ...]] = (
    "CREATE TEMPORARY TABLE new ON COMMIT DROP AS SELECT originator_id AS user_id FROM users WHERE notification_id > {users}",
    "ANALYZE new",
    "DELETE FROM messages WHERE notification_id > {messages}",
    "DELETE FROM users WHERE notification_id > {users}",
    "TRUNCATE dispatches, due, in_flight, messages_by_timezone",
    "UPDATE leader_bumps SET released = true",
)
OF_THE_NEW: Final = ("user_keys", "external_ids", "occasions", "planned", "users_view", "message_log")
# All have read what stands: nobody acts on a past that is over.
READ: Final = f"""
INSERT INTO positions VALUES ('planner', 'users', 1, 0) ON CONFLICT DO NOTHING;
INSERT INTO positions SELECT follower, 'messages', 1, 0 FROM unnest(ARRAY{[*ROLES]}) AS follower ON CONFLICT DO NOTHING;
UPDATE positions SET position = CASE log WHEN 'users' THEN stands.users WHEN 'messages' THEN stands.messages ELSE 0 END
    FROM made.stands"""


class Table(NamedTuple):
    """What is copied: a table, the column with the message's ID, and the order in which its rows came."""

    name: LiteralString
    message_id: LiteralString
    order: LiteralString


LOG: Final = (Table("messages", "originator_id", "notification_id"),)
EVERYTHING: Final = (*LOG, Table("message_log", "id", "due_at"), Table("planned", "message_id", "message_id"))


@contextmanager
def lasting_ground(kept: Kept, events: int) -> Iterator[Ground]:
    """A server whose data stay until the measurement is over; those of an older code or other settings go first.

    Raises ProcessFailed where the disk has too little room for so many events.
    """
    for other in kept.home.parent.parent.glob(f"*/{kept.part}-*/database"):
        if other.parent != kept.home:
            shutil.rmtree(other)
    home = kept.home / "database"
    home.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(home).free + _bytes_of(home), events * BYTES_AN_EVENT
    if free < needed:
        raise ProcessFailed(f"{events:,} events take {needed / 1e9:.0f} GB of disk, and {free / 1e9:.0f} GB are free")
    with ground_in(home) as place:
        yield place


def begin(parts: Parts) -> None:
    """Nothing stands yet."""
    with patient(parts) as connection:
        connection.execute(BEGIN)


def make(parts: Parts, living: Sequence[Person], events: int) -> None:
    """The past that is to be copied, of these people. It ends with this month, which so weighs the same on any day of it."""
    messages = round(min(events, MOST_MADE) / EVENTS_A_MESSAGE)
    first = _end_of_month(parts.clock.now()) - timedelta(days=DAYS - 1)
    live_through(parts, Past(people=len(living), messages=messages, first=first, days=DAYS), living, lambda _: None)


def keep(parts: Parts, tables: Sequence[Table]) -> None:
    """What is in these tables is what `grow` copies, and what is there so far is there to stay."""
    with patient(parts) as connection, connection.transaction():
        for table in tables:
            made = sql.Identifier("made", table.name)
            connection.execute(sql.SQL("CREATE TABLE {} AS TABLE {}").format(made, sql.Identifier(table.name)))
        connection.execute(STAND)


def take_back(parts: Parts) -> None:
    """Whatever a measurement added, whole or stopped, but for sums."""
    with patient(parts) as connection, connection.transaction():
        [(users, messages)] = connection.execute("SELECT users, messages FROM made.stands").fetchall()
        for statement in TAKE_BACK:
            connection.execute(sql.SQL(statement).format(users=users, messages=messages))
        for table in OF_THE_NEW:
            by_user = sql.SQL("DELETE FROM {0} USING new WHERE {0}.user_id = new.user_id")
            connection.execute(by_user.format(sql.Identifier(table)))


def stand(parts: Parts) -> None:
    """What was added is there to stay."""
    with parts.database.cursor() as cursor:
        cursor.execute(STAND)


def grow(parts: Parts, events: int, tables: Sequence[Table], tell: Tell) -> None:
    """Until so many events are stored, to the nearest copy; then all have read them, they are vacuumed, and on disk.

    What was added since is taken back. A copy is a transaction: stopped, it goes on.
    """
    take_back(parts)
    with patient(parts) as connection:
        made, copies = _count(connection, "messages"), _count(connection, "copies")
        for number in range(copies + 1, round(events / made)):
            tell(f"{number * made:,} of {events:,} events", number * made, events)
            with connection.transaction():
                for table in tables:
                    _copy(connection, table, number)
                connection.execute("INSERT INTO made.copies VALUES (%s)", (number,))
                connection.execute(STAND)
        tell("vacuum and checkpoint")
        connection.execute(READ)
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


def audit(parts: Parts) -> None:
    """What was copied with its read models; or the projections would, while they are measured."""
    with parts.database.cursor() as cursor:
        cursor.execute("UPDATE audit_rounds SET began_at = '-infinity'")
    Auditor(parts.database).step(parts.clock.now())


@contextmanager
def patient(parts: Parts) -> Iterator[Connection[Row]]:
    """A connection for what takes long."""
    with parts.database.direct() as connection:
        connection.execute(PATIENT)
        yield connection


def _copy(connection: Connection[Row], table: Table, number: int) -> None:
    given = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND attname <> 'notification_id'"
        " ORDER BY attname <> %s, attnum",
        (table.name, table.message_id),
    )
    message_id, *others = (sql.Identifier(name) for (name,) in given)
    columns = {
        "table": sql.Identifier(table.name),
        "id": message_id,
        "others": sql.SQL(", ").join(others),
        "another": sql.SQL(ANOTHER).format(message_id, str(number)),
        "order": sql.Identifier(table.order),
    }
    copied = "INSERT INTO {table} ({id}, {others}) SELECT {another}, {others} FROM made.{table} ORDER BY {order}"
    connection.execute(sql.SQL(copied).format(**columns))


def _count(connection: Connection[Row], table: LiteralString) -> int:
    [(rows,)] = connection.execute(sql.SQL("SELECT count(*) FROM made.{}").format(sql.Identifier(table))).fetchall()
    return int(rows)


def _end_of_month(now: datetime) -> date:
    return now.date().replace(day=monthrange(now.year, now.month)[1])


def _bytes_of(home: Path) -> int:
    return sum(file.stat().st_size for file in home.rglob("*") if file.is_file())
