"""How is the next version of a read model begun, gone on with after a stop, and thrown away?"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import Cursor, sql

from domain.message_id import month_bounds
from domain.timezones import TZDATA_VERSION
from infrastructure.database import Row
from infrastructure.read_model_sides import NEXT, drop, find, make
from infrastructure.replay_sources import Source, Stretch, stretches
from projections.projection import Projection

FOLDING: Final = ("domain", "application", "projections", "infrastructure")
"""The packages whose code decides what events come to."""
LIVELY: Final = timedelta(days=2)
"""So long after its last day a month's messages still change, and their rows need room for the next versions."""

INDEXES: Final = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), conname, pg_get_constraintdef(pg_constraint.oid)
    FROM pg_index LEFT JOIN pg_constraint ON conindid = indexrelid AND conrelid = indrelid
    WHERE indrelid = %s::regclass ORDER BY indexrelid"""
COLUMNS: Final = (
    "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
)


class Overtaken(Exception):
    """Somebody else has taken this build over, or thrown it away."""


class Fill(Struct, frozen=True, tag="fill"):
    """Fold the streams of a stretch into tables without indexes."""

    stretch: Stretch
    into: dict[str, str]  # partitions by their table, where it has any; no name where its rows are not kept


class Finish(Struct, frozen=True, tag="finish"):
    """What a full table still needs: its indexes, and its place."""

    table: str
    statements: tuple[str, ...]


Task = Fill | Finish


class Build(Struct, frozen=True):
    """A build, under the name of who works at it now."""

    projection: Projection
    builder: UUID
    up_to: int

    def hold(self, cursor: Cursor[Row]) -> None:
        """Nobody takes it over before this transaction ends. Raises Overtaken."""
        cursor.execute(
            "SELECT FROM builds WHERE read_model = %s AND builder = %s FOR SHARE", (self.projection.name, self.builder)
        )
        if cursor.rowcount != 1:
            raise Overtaken(f"another process builds {self.projection.name}")

    def tasks(self, cursor: Cursor[Row]) -> list[tuple[int, Task, bool]]:
        """Number, task, and whether it is done."""
        cursor.execute(
            "SELECT number, task::text, done FROM build_tasks WHERE read_model = %s ORDER BY number", (self.projection.name,)
        )
        return [(number, msgspec.json.decode(task, type=Task), done) for number, task, done in cursor]

    def done(self, cursor: Cursor[Row], number: int) -> None:
        """Commit to having done a task. Raises Overtaken."""
        self.hold(cursor)
        cursor.execute(
            "UPDATE build_tasks SET done = true WHERE read_model = %s AND number = %s AND NOT done",
            (self.projection.name, number),
        )
        if cursor.rowcount != 1:
            raise Overtaken(f"another process builds {self.projection.name}")


def code() -> str:
    """Digest of all that decides what events come to; what other code has begun must not be gone on with."""
    digest = sha256(TZDATA_VERSION.encode())
    for package in FOLDING:
        for file in sorted(files(package).rglob("*.py")):  # type: ignore[attr-defined]
            digest.update(file.read_bytes())
    return digest.hexdigest()


def under_way(cursor: Cursor[Row], projection: Projection, builder: UUID) -> Build | None:
    """Take over what was begun, if this very code began it."""
    found = find(cursor, projection.name, NEXT)
    if found is None or found.version != projection.version:
        return None
    cursor.execute(
        "UPDATE builds SET builder = %s WHERE read_model = %s AND code = %s RETURNING up_to", (builder, projection.name, code())
    )
    return next((Build(projection, builder, up_to) for (up_to,) in cursor), None)


def begin(
    cursor: Cursor[Row], projection: Projection, builder: UUID, up_to: int, now: datetime, files: Sequence[Stretch]
) -> Build:
    """Empty tables without indexes, in the place of any that were begun, and the list of what there is to do.

    `files` are months that lie there.
    """
    discard(cursor, projection.name)
    cursor.execute(
        "INSERT INTO builds (read_model, code, builder, up_to) VALUES (%s, %s, %s, %s)", (projection.name, code(), builder, up_to)
    )
    parts = [*stretches(cursor, projection.log, up_to), *files]
    make(cursor, projection, NEXT)
    for number, task in enumerate(_tasks(cursor, projection, parts, now)):
        cursor.execute(
            "INSERT INTO build_tasks (read_model, number, task) VALUES (%s, %s, %s)",
            (projection.name, number, msgspec.json.encode(task).decode()),
        )
    return Build(projection, builder, up_to)


def discard(cursor: Cursor[Row], read_model: str) -> bool:
    """Throw away what was begun; whether anything was."""
    cursor.execute("DELETE FROM builds WHERE read_model = %s", (read_model,))
    return drop(cursor, read_model, NEXT)


def partitions_of(projection: Projection, source: Source) -> list[str]:
    """Where the rows of a source's streams are kept apart, if they are."""
    return [_partition(table, source.month) for table in projection.monthly] if source.month else []


def _tasks(cursor: Cursor[Row], projection: Projection, parts: Sequence[Stretch], now: datetime) -> Iterator[Task]:
    finishing: list[Task] = [_finish(cursor, projection, table) for table in projection.tables if table not in projection.monthly]
    for source in dict.fromkeys(part.source for part in parts):
        if source.month and not source.file:
            finishing += [_month(cursor, projection, table, source, now) for table in projection.monthly]
    for part in parts:
        yield Fill(part, {table: _target(table, part.source) for table in projection.monthly} if part.source.month else {})
    yield from finishing


def _target(table: str, source: Source) -> str:
    return _partition(table, source.month) if source.month and not source.file else ""


def _finish(cursor: Cursor[Row], projection: Projection, table: str) -> Finish:
    adding_up = _adding_up(cursor, table) if table in projection.sums else ()
    return Finish(table, (*adding_up, *_stripped(cursor, table)))


def _adding_up(cursor: Cursor[Row], table: str) -> tuple[str, ...]:
    """Of the rows that each stretch gave, one for each key."""
    key = sql.SQL(", ").join(sql.Identifier(name) for (name,) in cursor.execute(COLUMNS, (table,)) if name != "messages")
    return tuple(
        sql.SQL(statement).format(table=sql.Identifier(table), added=sql.Identifier(f"{table}_added"), key=key).as_string(None)
        for statement in (
            "CREATE TABLE {added} AS SELECT {key}, sum(messages)::bigint AS messages FROM {table} GROUP BY {key}",
            "TRUNCATE {table}",
            "INSERT INTO {table} ({key}, messages) SELECT {key}, messages FROM {added}",
            "DROP TABLE {added}",
        )
    )


def _month(cursor: Cursor[Row], projection: Projection, table: str, source: Source, now: datetime) -> Finish:
    """A table for itself until it is full. What is past is written densely: it changes no more."""
    assert source.month
    lower, upper = month_bounds(*source.month)
    words = {
        "parent": sql.Identifier(table),
        "name": sql.Identifier(_partition(table, source.month)),
        "lower": sql.Literal(lower),
        "upper": sql.Literal(upper),
        "fillfactor": sql.Literal(projection.fillfactor),
    }
    cursor.execute(sql.SQL("CREATE TABLE {name} (LIKE {parent} INCLUDING ALL)").format(**words))
    sparing = sql.SQL("ALTER TABLE {name} SET (fillfactor = {fillfactor})").format(**words)
    if _end(source.month) + LIVELY > now.date():
        cursor.execute(sparing)
    attach = sql.SQL("ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ({lower}) TO ({upper})").format(**words)
    name = _partition(table, source.month)
    return Finish(name, (*_stripped(cursor, name), sparing.as_string(None), attach.as_string(None)))


def _stripped(cursor: Cursor[Row], table: str) -> tuple[str, ...]:
    """Take the table's indexes away; the statements that make them again."""
    cursor.execute(INDEXES, (table,))
    again = []
    for index, definition, constraint, says in cursor.fetchall():
        words: dict[str, Any] = {"table": sql.Identifier(table)}
        if constraint is None:
            cursor.execute(f"DROP INDEX {index}".encode())
            again.append(definition)
        else:
            words["name"] = sql.Identifier(constraint)
            cursor.execute(sql.SQL("ALTER TABLE {table} DROP CONSTRAINT {name}").format(**words))
            again.append(sql.SQL("ALTER TABLE {table} ADD CONSTRAINT {name} ").format(**words).as_string(None) + says)
    return tuple(again)


def _partition(table: str, month: tuple[int, int]) -> str:
    year, number = month
    return f"{table}_{year}_{number:02}"


def _end(month: tuple[int, int]) -> date:
    year, number = month
    return (date(year, number, 1) + timedelta(days=31)).replace(day=1)
