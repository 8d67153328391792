"""Is anything sent at present, so that what nobody waits for had better wait?"""

from datetime import datetime, timedelta
from typing import Final

from infrastructure.database import Database

CALM_SECONDS: Final = 3.0
"""So long nothing must have been handed out for sending before a build takes every core, and before an audit begins."""
HANDED_OUT: Final = "SELECT coalesce(max(notification_id), 0) FROM dispatches"
HANDED_OUT_AT: Final = "SELECT recorded_at FROM dispatches ORDER BY notification_id DESC LIMIT 1"


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

    def at_once(self, now: datetime) -> bool:
        """The same by the clock, for whoever has not looked for so long. Raises StoreUnavailable."""
        with self._database.cursor() as cursor:
            last = cursor.execute(HANDED_OUT_AT).fetchone()
        return last is None or now - last[0] >= timedelta(seconds=CALM_SECONDS)
