"""Which rows of two tables of one shape, or nearly, differ, told by key and column, with nothing personal in it?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, LiteralString
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import Cursor, sql

from infrastructure.database import Row
from infrastructure.read_model_sides import Side, relations
from projections.projection import Projection, Sealer

PAGE: Final = 1_000
SEALED: Final = "sealed"
"""The column that each sealing fills with other bytes; its key is the user's ID."""

COLUMNS: Final = """
    SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
KEY: Final = """
    SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)
    WHERE indrelid = to_regclass(%s) AND indisprimary ORDER BY array_position(indkey::int2[], attnum)"""
DIFFERING: Final = """
    SELECT {key}, before.{first} IS NULL, after.{first} IS NULL, ARRAY[{differs}]::boolean[], ARRAY[{old}]::text[],
        ARRAY[{new}]::text[]{sealed}
    FROM {before} AS before FULL JOIN {after} AS after ON {same_key} WHERE {wanted}"""

Kind = Literal["added", "removed", "changed"]


class Example(Struct, frozen=True):
    """A row that differs. What is sealed has no values here."""

    key: dict[str, str]
    kind: Kind
    columns: dict[str, tuple[str | None, str | None] | None] = {}  # before and after


class Difference(Struct, kw_only=True):
    """What differs in one table."""

    table: str
    added: int = 0
    removed: int = 0
    changed: int = 0
    columns: dict[str, int] = msgspec.field(default_factory=dict)  # in how many rows each changed
    columns_added: list[str] = msgspec.field(default_factory=list)
    columns_removed: list[str] = msgspec.field(default_factory=list)
    examples: list[Example] = msgspec.field(default_factory=list)

    @property
    def rows(self) -> int:
        return self.added + self.removed + self.changed


class Pair(Struct, frozen=True):
    """Two relations to compare, each as it can stand behind FROM."""

    before: sql.Composable
    after: sql.Composable


class Comparison:
    """Of one table as it was and as it is to be, a pair of parts at a time."""

    def __init__(self, cursor: Cursor[Row], sealer: Sealer, table: str, before: str, after: str, examples: int) -> None:
        """`before` and `after` are qualified names; a table that is not there has no rows."""
        self._cursor, self._sealer, self._examples = cursor, sealer, examples
        old, new = _columns(cursor, before), _columns(cursor, after)
        self.key: list[str] = [name for (name,) in cursor.execute(KEY, (after if new else before,)).fetchall()]
        shared = [name for name in new if name in old] if old and new else list(new or old)
        self._compared = [name for name in shared if name not in (*self.key, SEALED)]
        self._cast = {name for name in self._compared if old and new and old[name] != new[name]}
        self._opens = SEALED in shared
        self.found = Difference(table=table)
        if old and new:
            self.found.columns_added = [name for name in new if name not in old]
            self.found.columns_removed = [name for name in old if name not in new]

    def compare(self, pair: Pair) -> None:
        """Add what differs between these two."""
        with self._cursor.connection.cursor("differing", binary=True) as rows:
            rows.itersize = PAGE
            rows.execute(self._query(pair))
            while page := rows.fetchmany(PAGE):
                clear = self._clear(page) if self._opens else {}
                for row in page:
                    self._count(row, clear.get(row[0]))

    def _query(self, pair: Pair) -> sql.Composed:
        comma, both = sql.SQL(", "), sql.SQL(" AND ")
        names = [sql.Identifier(name) for name in self.key]
        differs = [self._differs(name) for name in self._compared]
        old, new = ([self._told(side, name) for name in self._compared] for side in ("before", "after"))
        one_sided = [sql.SQL("{}.{} IS NULL").format(sql.SQL(side), names[0]) for side in ("before", "after")]
        return sql.SQL(DIFFERING).format(
            key=comma.join(sql.SQL("coalesce(before.{0}, after.{0})").format(name) for name in names),
            first=names[0],
            differs=comma.join(differs),
            old=comma.join(old),
            new=comma.join(new),
            sealed=sql.SQL(", before.sealed, after.sealed" if self._opens else ""),
            before=pair.before,
            after=pair.after,
            same_key=both.join(sql.SQL("before.{0} = after.{0}").format(name) for name in names),
            wanted=sql.SQL("true") if self._opens else sql.SQL(" OR ").join((*one_sided, *differs)),
        )

    def _differs(self, name: str) -> sql.Composed:
        cast = sql.SQL("::text" if name in self._cast else "")
        return sql.SQL("before.{0}{1} IS DISTINCT FROM after.{0}{1}").format(sql.Identifier(name), cast)

    def _told(self, side: LiteralString, name: str) -> sql.Composed:
        value = sql.SQL("CASE WHEN {} THEN {}.{}::text END")
        return value.format(self._differs(name), sql.SQL(side), sql.Identifier(name))

    def _clear(self, page: Sequence[Row]) -> dict[UUID, tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """What both rows of a user have sealed; nothing of those whose key is destroyed."""
        opened = [self._sealer.open({row[0]: bytes(row[which]) for row in page if row[which] is not None}) for which in (-2, -1)]
        decode = msgspec.json.decode
        return {user: (decode(opened[0][user]), decode(opened[1][user])) for user in opened[0].keys() & opened[1].keys()}

    def _count(self, row: Row, clear: tuple[Mapping[str, Any], Mapping[str, Any]] | None) -> None:
        width = len(self.key)
        added, removed, differs, old, new = row[width : width + 5]
        columns: dict[str, tuple[str | None, str | None] | None] = {}
        kind: Kind = "added" if added else "removed" if removed else "changed"
        if kind == "changed":
            said = zip(self._compared, differs, old, new, strict=True)
            columns = {name: (before, after) for name, differ, before, after in said if differ}
            columns |= dict.fromkeys(_apart(*clear) if clear else ())
            if not columns:
                return
        setattr(self.found, kind, getattr(self.found, kind) + 1)
        for name in columns:
            self.found.columns[name] = self.found.columns.get(name, 0) + 1
        if len(self.found.examples) < self._examples:
            key = {name: str(value) for name, value in zip(self.key, row[:width], strict=True)}
            self.found.examples.append(Example(key, kind, columns))


def _columns(cursor: Cursor[Row], table: str) -> dict[str, str]:
    """Their types by their names."""
    return dict(cursor.execute(COLUMNS, (table,)).fetchall())


def _apart(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [name for name in {**before, **after} if before.get(name) != after.get(name)]


def compare_sides(
    cursor: Cursor[Row],
    sealer: Sealer,
    projection: Projection,
    old_tables: Sequence[str],
    before: Side,
    after: Side,
    examples: int,
) -> Iterator[Difference]:
    """Every table of either; partitions one by one, so that none is locked or held in memory longer than it takes."""
    for table in dict.fromkeys((*projection.tables, *old_tables)):
        names = [f"{side.schema}.{table}" for side in (before, after)]
        comparison = Comparison(cursor, sealer, table, names[0], names[1], examples)
        parts = [relations(cursor, side, [table]) for side in (before, after)]
        for part in sorted({*parts[0], *parts[1]}, key=lambda name: (name.endswith("_default"), name)):
            if part == table and table in projection.monthly:
                continue
            one, other = (
                _part(side, table, part, there=part in found, sums=table in projection.sums)
                for side, found in zip((before, after), parts, strict=True)
            )
            comparison.compare(Pair(one or _none(other), other or _none(one)))
        yield comparison.found


def _part(side: Side, table: str, part: str, *, there: bool, sums: bool) -> sql.Composed | None:
    if not there:
        return None
    counted = sql.SQL(" WHERE messages <> 0" if sums else "")
    return sql.SQL("(SELECT * FROM {}{})").format(sql.Identifier(side.schema, part), counted)


def _none(of: sql.Composed | None) -> sql.Composed:
    assert of
    return sql.SQL("(SELECT * FROM {} AS none WHERE false)").format(of)
