"""Is an import applied at present, and is a follower whose work can wait to let it pass?"""

from typing import Final

import psycopg

from infrastructure.database import Database, Row

LONGEST_SECONDS: Final = 30.0
"""So long a follower gives way at most between two moments at which it has nothing left to do."""
IMPORTS: Final = "ninebell.imports"
"""Held shared by each import from its first registration on, until its session ends. Not one of the logs' locks: whoever
holds one of those for long is ended."""
APPLY: Final = f"SELECT pg_advisory_lock_shared(hashtext('{IMPORTS}'))"
NONE_APPLIED: Final = f"SELECT pg_try_advisory_xact_lock(hashtext('{IMPORTS}'))"


def begin_to_apply(connection: psycopg.Connection[Row]) -> None:
    """From now on, until this session ends, followers whose work can wait give way."""
    connection.execute(APPLY)


class GivingWay:
    """Of one follower. It asks only while it is behind, so that it costs nothing otherwise."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._behind = False
        self._until: float | None = None

    def went_on(self, *, more: bool) -> bool:
        """To be told after each step whether there is more to do, and says it again."""
        self._behind = more
        if not more:
            self._until = None
        return more

    def due(self, at: float) -> bool:
        """Whether to wait now, and ask again soon; `at` is in seconds of the monotonic clock. Raises StoreUnavailable."""
        if not self._behind or (self._until is not None and at >= self._until):
            return False
        with self._database.cursor() as cursor:
            [(none_applied,)] = cursor.execute(NONE_APPLIED, prepare=True).fetchall()
        if not none_applied and self._until is None:
            self._until = at + LONGEST_SECONDS
        return not none_applied
