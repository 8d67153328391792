"""How is the wall clock of chosen processes put wrong, and never the machine's? By libfaketime, which they are started with."""

from __future__ import annotations

import struct
from datetime import timedelta
from pathlib import Path
from typing import Final

LIBRARIES: Final = tuple(map(Path, ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")))

# No wait goes by the wall clock. But libfaketime 0.9 takes every absolute sleep for a wrong one, and forgets what it fakes for
# signal handlers that run during a wait: PostgreSQL's time-outs would all be over at once.
WAITS: Final = frozenset(
    b"alarm sleep usleep nanosleep clock_nanosleep poll ppoll select pselect epoll_wait epoll_pwait sem_timedwait "
    b"pthread_cond_init pthread_cond_destroy pthread_cond_timedwait "
    b"timer_settime timer_gettime timerfd_settime timerfd_gettime".split()
)
SYMBOL_BYTES: Final = 24  # of ELF's 64-bit form; the first four say where its name stands
DYNSYM: Final = 11


def hindrance() -> str:
    """What is missing here."""
    return "" if _library() else "needs libfaketime (on Debian: apt-get install libfaketime)"


class WrongClock:
    """Of all processes started with its environment; right until it is stepped. Monotonic clocks and waits are left alone."""

    def __init__(self, home: Path) -> None:
        self.by = timedelta()
        self._file, self._copy = home / "clock", home / "libfaketime.so"
        self.step(self.by)
        self._file.chmod(0o644)  # the server's own user reads it, too

    @property
    def environment(self) -> dict[str, str]:
        if found := _library():
            self._copy.write_bytes(without_waits(found.read_bytes()))
            self._copy.chmod(0o755)
        return {
            "LD_PRELOAD": str(self._copy),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",  # seconds until the file is read again
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def step(self, by: timedelta) -> None:
        """Seen by every process within a second."""
        self.by = by
        self._file.write_text(f"{by.total_seconds():+.0f}\n")


def without_waits(library: bytes) -> bytes:
    """The same library, in which nobody finds the functions that wait: so they find the system's own."""
    patched = bytearray(library)
    (sections_at,) = struct.unpack_from("<Q", library, 0x28)
    size, count = struct.unpack_from("<HH", library, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", library, sections_at + number * size) for number in range(count)]
    (symbols,) = (section for section in sections if section[1] == DYNSYM)
    names_at = sections[symbols[6]][4]
    for at in range(symbols[4], symbols[4] + symbols[5], SYMBOL_BYTES):
        start = names_at + struct.unpack_from("<I", library, at)[0]
        if library[start : library.index(b"\0", start)] in WAITS:
            struct.pack_into("<I", patched, at, 0)
    return bytes(patched)


def _library() -> Path | None:
    found = (directory / "faketime" / "libfaketimeMT.so.1" for directory in LIBRARIES)
    return next((path for path in found if path.exists()), None)
