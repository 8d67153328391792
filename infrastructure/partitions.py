"""Which months do the tables partitioned by message ID have room for?"""

from collections.abc import Iterator
from datetime import date
from typing import Final

from psycopg import Connection, Cursor, sql

from domain.message_id import month_bounds
from infrastructure.database import Row

PARTITIONED: Final = "messages"
IN_TURN: Final = "SELECT pg_advisory_xact_lock(hashtext('ninebell.partitions'))"
"""For whoever makes or drops one."""
# In the schema where new tables go: under the same name, another schema may have a partition of another table.
MISSING: Final = """
    SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(format('%%I.%%I', current_schema(), name)) IS NULL"""


def ensure_partitions(connection: Connection[Row], first: date, last: date, table: str = PARTITIONED) -> list[str]:
    """Make the missing partitions for every month from `first`'s to `last`'s; returns the months made, as "2027_03".

    Writers and readers go on meanwhile. The table has a default partition `<table>_default`; rows that waited there are moved.
    Months that were archived are left out: `messages` holds nothing of them.
    """
    wanted = list(_months(first, last))
    with connection.transaction():
        connection.execute(IN_TURN)
        names = [f"{table}_{year}_{month:02}" for year, month in wanted]
        found = connection.execute(MISSING, (names,))
        missing = {str(name) for (name,) in found} - _archived(connection, table)
        for name, (year, month) in zip(names, wanted, strict=True):
            if name in missing:
                _make(connection, table, name, year, month)
    return sorted(name.removeprefix(f"{table}_") for name in missing)


def months_made(cursor: Cursor[Row], table: str = PARTITIONED) -> list[tuple[int, int]]:
    """(year, month) of each partition there is, the earliest first."""
    cursor.execute("SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = to_regclass(%s)", (table,))
    names = (name.removeprefix(f"{table}_").partition("_") for (name,) in cursor)
    return sorted((int(year), int(month)) for year, _, month in names if month)


def strays(connection: Connection[Row], table: str = PARTITIONED) -> int:
    """Rows in the default partition: IDs that are no message's, or a month that nobody made."""
    default = sql.Identifier(f"{table}_default")
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(default)).fetchone()
    return int(row[0]) if row else 0


def _archived(connection: Connection[Row], table: str) -> set[str]:
    if table != PARTITIONED:
        return set()
    return {f"{table}_{month:%Y_%m}" for (month,) in connection.execute("SELECT month FROM archived_months")}


def _make(connection: Connection[Row], table: str, name: str, year: int, month: int) -> None:
    """Attached rather than created in place, which would shut everybody out of the whole table."""
    lower, upper = month_bounds(year, month)
    words = {
        "table": sql.Identifier(table),
        "default": sql.Identifier(f"{table}_default"),
        "name": sql.Identifier(name),
        "lower": sql.Literal(lower),
        "upper": sql.Literal(upper),
    }
    for statement in (
        "CREATE TABLE {name} (LIKE {table} INCLUDING ALL)",
        "LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE",
        "WITH moved AS (DELETE FROM {default} WHERE {key} >= {lower} AND {key} < {upper} RETURNING *)"
        " INSERT INTO {name} TABLE moved",
        "ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({lower}) TO ({upper})",
    ):
        connection.execute(sql.SQL(statement).format(**words, key=sql.SQL(_key(connection, table))))


def _key(connection: Connection[Row], table: str) -> str:
    row = connection.execute(
        "SELECT quote_ident(attname) FROM pg_partitioned_table"
        " JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0] WHERE partrelid = to_regclass(%s)",
        (table,),
    ).fetchone()
    if row is None:
        raise ValueError(f"{table} is not partitioned")
    return str(row[0])


def _months(first: date, last: date) -> Iterator[tuple[int, int]]:
    for number in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        yield number // 12, number % 12 + 1
