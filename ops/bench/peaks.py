"""How many messages are in flight at most, while somebody looks?"""

from ops.bench.report import Found
from ops.wiring import Parts


class Peaks:
    """What it saw, a look at a time: what comes and goes between two looks stays unseen."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._in_flight = 0

    def look(self) -> None:
        with self._parts.database.cursor() as cursor:
            [(members,)] = cursor.execute("SELECT coalesce(sum(members), 0) FROM in_flight").fetchall()
        self._in_flight = max(self._in_flight, int(members))

    def figures(self) -> Found:
        return {("most in flight", "messages"): float(self._in_flight)}
