"""How much memory does each process hold, second by second, and what does it cost, while something goes on?"""

from collections.abc import Mapping
from contextlib import suppress
from statistics import median
from threading import Event, Thread
from time import monotonic
from typing import Final, Self

import psutil

from ops.bench.report import Found

MEBIBYTE: Final = 1024 * 1024
EVERY_SECONDS: Final = 1.0


class Weights:
    """Weighs each with all its children, in the background: what is theirs alone, and their share of what they share (PSS)."""

    def __init__(self, processes: Mapping[str, int]) -> None:
        """`processes`: name → process ID."""
        self._processes = dict(processes)
        self._stop = Event()
        self._thread = Thread(target=self._look, name="weights", daemon=True)
        self.series: dict[str, list[tuple[float, float]]] = {name: [] for name in processes}
        """Name → (seconds since the start, MiB)."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def figures(self) -> Found:
        """Of each what it held at first and at most, and how much more at the end than in the middle: nothing, if it is flat."""
        found: Found = {}
        for name, looks in self.series.items():
            held = [mebibytes for _, mebibytes in looks]
            found[f"memory of {name} at first", "MiB"] = held[0]
            found[f"memory of {name}", "MiB"] = max(held)
            found[f"memory of {name}, growth in the second half", "MiB"] = _end(held) - _end(held[: (len(held) + 1) // 2])
        return found

    def _look(self) -> None:
        began = monotonic()
        while True:
            for name, pid in self._processes.items():
                self.series[name].append((monotonic() - began, pss(pid)))
            if self._stop.wait(EVERY_SECONDS):
                return


def pss(pid: int) -> float:
    """Mebibytes of a process and all its children."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += one.memory_full_info().pss
    return total / MEBIBYTE


def _end(held: list[float]) -> float:
    """Of the last tenth, so that one moment says little."""
    return median(held[-max(1, len(held) // 10) :])
