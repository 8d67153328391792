"""Which read models are to be built anew because somebody asked, and who builds them?"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from application.rebuild_read_model import Wanted
from infrastructure.database import Database
from projections.projection import Projection

IN_TURN: Final = "LOCK TABLE wanted_rebuilds IN SHARE ROW EXCLUSIVE MODE"
WANT: Final = """
    INSERT INTO wanted_rebuilds (read_model, who, at) SELECT %s, %s, %s
    WHERE NOT EXISTS (SELECT FROM wanted_rebuilds WHERE refused = '') AND NOT EXISTS (SELECT FROM read_models WHERE side = 'next')
    ON CONFLICT (read_model) DO UPDATE SET who = excluded.who, at = excluded.at, refused = ''"""
ALL: Final = """
    SELECT wanted.read_model,
           CASE WHEN refused <> '' THEN 'refused' WHEN builds.read_model IS NULL THEN 'waiting' ELSE 'building' END,
           who, at, refused
    FROM wanted_rebuilds AS wanted LEFT JOIN builds USING (read_model) ORDER BY at"""
NEXT: Final = """
    SELECT read_model FROM wanted_rebuilds JOIN read_models ON name = read_model AND side = 'live'
    WHERE refused = '' AND (name, version) IN (SELECT * FROM unnest(%s::text[], %s::int[])) ORDER BY at LIMIT 1"""


class PostgresWantedRebuilds:
    """`application.rebuild_read_model.WantedRebuilds`, and what the one who builds needs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def want(self, read_model: str, who: str, now: datetime) -> bool:
        with self._database.transaction() as cursor:
            cursor.execute(IN_TURN)
            return cursor.execute(WANT, (read_model, who, now)).rowcount == 1

    def all(self) -> list[Wanted]:
        with self._database.cursor() as cursor:
            return [Wanted(*row) for row in cursor.execute(ALL)]

    def next(self, known: Iterable[Projection]) -> str | None:
        """The first that is wanted, if its live version is the one known here. Raises StoreUnavailable."""
        versions = {projection.name: projection.version for projection in known}
        with self._database.cursor() as cursor:
            found = cursor.execute(NEXT, (list(versions), list(versions.values()))).fetchone()
        return found[0] if found else None

    def done(self, read_model: str) -> None:
        """Raises StoreUnavailable."""
        with self._database.cursor() as cursor:
            cursor.execute("DELETE FROM wanted_rebuilds WHERE read_model = %s", (read_model,))

    def refuse(self, read_model: str, why: str) -> None:
        """It can't be done, and is not tried again. Raises StoreUnavailable."""
        with self._database.cursor() as cursor:
            cursor.execute("UPDATE wanted_rebuilds SET refused = %s WHERE read_model = %s", (why, read_model))
