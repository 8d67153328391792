"""Where do a read model's tables stand: the live ones, the next ones beside them, and those kept for a rollback?"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Final, Literal

from msgspec import Struct
from psycopg import Cursor, sql

from infrastructure.database import SCHEMA, Row
from projections.projection import Projection

SideName = Literal["live", "next", "previous", "moving"]
SEPARATOR: Final = "~"

FIND: Final = "SELECT name, side, version, tables, made_by FROM read_models WHERE name = %s AND side = %s"
PUT: Final = """
    INSERT INTO read_models (name, side, version, tables, made_by) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (name, side) DO UPDATE
    SET version = excluded.version, tables = excluded.tables, made_by = excluded.made_by"""
# Tables and their partitions, the tables first.
RELATIONS: Final = """
    SELECT relname FROM pg_class WHERE relnamespace = %(schema)s::regnamespace AND relname = ANY(%(tables)s)
    UNION ALL
    SELECT child.relname FROM pg_class AS parent JOIN pg_inherits ON inhparent = parent.oid JOIN pg_class AS child
        ON child.oid = inhrelid
    WHERE parent.relnamespace = %(schema)s::regnamespace AND parent.relname = ANY(%(tables)s)"""

LOOSE: Final = """
    SELECT relname FROM pg_class WHERE relnamespace = %(schema)s::regnamespace AND relkind = 'r' AND NOT relispartition
        AND regexp_replace(relname, '_\\d{4}_\\d{2}$', '') = ANY(%(tables)s) AND relname <> ALL(%(tables)s)"""


class Side(Struct, frozen=True):
    """One of the three sets of tables; the same unqualified names mean these once `enter` was called."""

    name: SideName
    schema: str
    suffix: str

    def follower(self, read_model: str) -> str:
        """Under which name its position is kept, and what it parked."""
        return read_model + self.suffix

    def enter(self, cursor: Cursor[Row]) -> None:
        """For the rest of the transaction. All else is found where it always is."""
        if self.suffix:
            cursor.execute(f"SET LOCAL search_path = {self.schema}, {SCHEMA}")


LIVE: Final = Side("live", SCHEMA, "")
NEXT: Final = Side("next", f"{SCHEMA}_next", f"{SEPARATOR}next")
PREVIOUS: Final = Side("previous", f"{SCHEMA}_previous", f"{SEPARATOR}previous")
MOVING: Final = Side("moving", f"{SCHEMA}_moving", f"{SEPARATOR}moving")
"""Only within a swap."""


class Tables(Struct, frozen=True):
    """A row of `read_models`: what stands on one side."""

    name: str
    side: SideName
    version: int
    tables: tuple[str, ...]
    made_by: str


def aside(follower: str) -> bool:
    """Whether it feeds tables that nobody reads: the next ones, or the previous ones."""
    return SEPARATOR in follower


def find(cursor: Cursor[Row], read_model: str, side: Side) -> Tables | None:
    """What stands there, if anything does."""
    cursor.execute(FIND, (read_model, side.name))
    return next((Tables(name, which, number, tuple(tables), by) for name, which, number, tables, by in cursor), None)


def put(cursor: Cursor[Row], projection: Projection, side: Side) -> None:
    """Say that this version's tables stand there."""
    cursor.execute(PUT, (projection.name, side.name, projection.version, list(projection.tables), version("ninebell")))


def make(cursor: Cursor[Row], projection: Projection, side: Side) -> None:
    """Empty tables of this version, fed from the beginning, in the place of what stood there."""
    drop(cursor, projection.name, side, projection.tables)
    side.enter(cursor)
    cursor.execute(projection.create, binary=False)  # several statements in one
    put(cursor, projection, side)
    cursor.execute(
        "INSERT INTO positions (follower, log, version, position) VALUES (%s, %s, %s, 0)",
        (side.follower(projection.name), projection.log, projection.version),
    )


def drop(cursor: Cursor[Row], read_model: str, side: Side, others: Sequence[str] = ()) -> bool:
    """Remove what stands there, `others` among it; whether anything was there."""
    found = find(cursor, read_model, side)
    tables = [*(found.tables if found else ()), *others]
    for table in (*tables, *_loose(cursor, side, tables)):
        cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(side.schema, table)))
    cursor.execute("DELETE FROM read_models WHERE name = %s AND side = %s", (read_model, side.name))
    for kept in ("positions", "parked_events"):
        cursor.execute(sql.SQL("DELETE FROM {} WHERE follower = %s").format(sql.Identifier(kept)), (side.follower(read_model),))
    return found is not None


def _loose(cursor: Cursor[Row], side: Side, tables: Sequence[str]) -> list[str]:
    """Months that a build has not made partitions yet."""
    cursor.execute(LOOSE, {"schema": side.schema, "tables": tables})
    return [name for (name,) in cursor]


def relations(cursor: Cursor[Row], side: Side, tables: Sequence[str]) -> list[str]:
    """Those of the tables that are there, then their partitions."""
    cursor.execute(RELATIONS, {"schema": side.schema, "tables": list(tables)})
    return [name for (name,) in cursor]


def exchange(cursor: Cursor[Row], read_model: str, incoming: Side, outgoing: Side) -> None:
    """What stands on `incoming` becomes live, and what is live goes to `outgoing`; rows, positions and what is parked alike.

    In the caller's transaction. Raises psycopg.errors.LockNotAvailable where somebody reads for longer than its lock_timeout.
    """
    tables = {side.name: found.tables for side in (incoming, LIVE) if (found := find(cursor, read_model, side))}
    _lock(cursor, [(side.schema, name) for side in (LIVE, incoming) for name in relations(cursor, side, tables[side.name])])
    if outgoing != incoming:
        drop(cursor, read_model, outgoing)
    _drop_archived(cursor, tables[incoming.name], incoming)
    for start, end, moved in ((incoming, MOVING, incoming), (LIVE, outgoing, LIVE), (MOVING, LIVE, incoming)):
        _move(cursor, tables[moved.name], start, end)
        _rename(cursor, read_model, start, end)


def _drop_archived(cursor: Cursor[Row], tables: Sequence[str], side: Side) -> None:
    """Their months were dropped from the live tables, too."""
    cursor.execute("SELECT to_char(month, 'YYYY_MM') FROM archived_months")
    for name in [f"{table}_{month}" for (month,) in cursor.fetchall() for table in tables]:
        cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(side.schema, name)))


def _lock(cursor: Cursor[Row], names: Sequence[tuple[str, str]]) -> None:
    """All at once, so that readers wait for nothing but the moves themselves."""
    only = [sql.SQL("ONLY {}").format(sql.Identifier(schema, name)) for schema, name in names]
    cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.SQL(", ").join(only)))


def _move(cursor: Cursor[Row], tables: Sequence[str], start: Side, end: Side) -> None:
    for name in relations(cursor, start, tables):
        move = sql.SQL("ALTER TABLE {} SET SCHEMA {}")
        cursor.execute(move.format(sql.Identifier(start.schema, name), sql.Identifier(end.schema)))


def _rename(cursor: Cursor[Row], read_model: str, start: Side, end: Side) -> None:
    before, after = start.follower(read_model), end.follower(read_model)
    cursor.execute("UPDATE positions SET follower = %s WHERE follower = %s", (after, before))
    cursor.execute("UPDATE parked_events SET follower = %s WHERE follower = %s", (after, before))
    cursor.execute("UPDATE read_models SET side = %s WHERE name = %s AND side = %s", (end.name, read_model, start.name))
