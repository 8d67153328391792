"""Is anything sent at present, so that what nobody waits for had better wait?"""

from typing import Final

from infrastructure.database import Database

CALM_SECONDS: Final = 3.0
"""So long nothing must have been handed out for sending before a build takes every core, and before an audit begins."""
HANDED_OUT: Final = "SELECT coalesce(max(notification_id), 0) FROM dispatches"


class Calm:
    """Whether anything is sent at present, seen by what is handed out for sending."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last, self._since = -1, 0.0

    def looked_at(self, at: float) -> bool:
        """Whether nothing new was seen for CALM_SECONDS; `at` is in seconds of the monotonic clock. Raises StoreUnavailable."""
        with self._database.cursor() as cursor:
            [(last,)] = cursor.execute(HANDED_OUT).fetchall()
        if last != self._last:
            self._last, self._since = last, at
        return at - self._since >= CALM_SECONDS
