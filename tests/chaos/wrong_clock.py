"""How is the wall clock of chosen processes put wrong, and never the machine's? By libfaketime, which they are started with."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final

LIBRARIES: Final = tuple(map(Path, ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")))


def library() -> Path | None:
    """Where the preloaded library is, if it is installed."""
    found = (directory / "faketime" / "libfaketimeMT.so.1" for directory in LIBRARIES)
    return next((path for path in found if path.exists()), None)


def hindrance() -> str:
    """What is missing here."""
    return "" if library() else "needs libfaketime (on Debian: apt-get install libfaketime)"


class WrongClock:
    """Of all processes started with its environment; right until it is stepped. Monotonic clocks are left alone."""

    def __init__(self, home: Path) -> None:
        self._file = home / "clock"
        self._file.write_text("+0\n")
        self._file.chmod(0o644)  # the server's own user reads it, too
        self.by = timedelta()
        self.environment = {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",  # seconds until the file is read again
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def step(self, by: timedelta) -> None:
        """Seen by every process within a second."""
        self.by = by
        self._file.write_text(f"{by.total_seconds():+.0f}\n")
