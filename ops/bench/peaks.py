"""How much memory does each process hold at most, and how many messages are in flight at most, while somebody looks?"""

from collections.abc import Mapping
from typing import Final

import psutil

from ops.wiring import Parts

MEBIBYTE: Final = 1024 * 1024


class Peaks:
    """What it saw, a look at a time: what comes and goes between two looks stays unseen."""

    def __init__(self, parts: Parts, processes: Mapping[str, int]) -> None:
        """`processes`: name → process ID."""
        self._parts, self._processes = parts, dict(processes)
        self._memory = dict.fromkeys(self._processes, 0.0)
        self._in_flight = 0

    def look(self) -> None:
        for name, pid in self._processes.items():
            self._memory[name] = max(self._memory[name], psutil.Process(pid).memory_info().rss / MEBIBYTE)
        with self._parts.database.cursor() as cursor:
            [(members,)] = cursor.execute("SELECT coalesce(sum(members), 0) FROM in_flight").fetchall()
        self._in_flight = max(self._in_flight, int(members))

    def figures(self) -> dict[tuple[str, str], float]:
        """(name, unit) → the most."""
        memory = {(f"memory of {name}", "MiB"): held for name, held in self._memory.items()}
        return {("most in flight", "messages"): float(self._in_flight)} | memory
