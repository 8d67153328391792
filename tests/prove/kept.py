"""What has been proved already, on which state of everything that it hangs on? So a proof goes on where it was stopped."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from domain.timezones import TZDATA_VERSION
from ops.bench.fingerprint import ROOT, fingerprint_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

HOME: Final = ROOT / ".make" / "prove"
ALWAYS: Final = ("requirements.txt", "tests/prove/kept.py", "tests/prove/__main__.py")


class Proved(Struct, frozen=True):
    """A line of a file: one unit of a proof, and what was counted in it."""

    unit: str
    counts: dict[str, int]


class Kept:
    """The units of one proof that are done, by name, in a file that only grows."""

    def __init__(self, proof: str, hangs_on: Iterable[str], home: Path = HOME) -> None:
        """`hangs_on` are files, directories and patterns of this repository; tzdata and Python count in any case."""
        state = fingerprint_of((*ALWAYS, *hangs_on), TZDATA_VERSION, sys.version)
        self.file = home / f"{proof}-{state}.jsonl"
        self.counts: dict[str, Counter[str]] = {}
        whole = self._whole_lines()
        for line in whole.splitlines():
            proved = msgspec.json.decode(line, type=Proved)
            self.counts[proved.unit] = Counter(proved.counts)

    def add(self, unit: str, counts: Counter[str]) -> None:
        """It is done, and will be found so even if we end now."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab") as file:
            file.write(msgspec.json.encode(Proved(unit, dict(counts))) + b"\n")
        self.counts[unit] = counts

    def forget(self) -> None:
        """Prove everything afresh."""
        self.file.unlink(missing_ok=True)
        self.counts.clear()

    def _whole_lines(self) -> bytes:
        """Without one that was being written when we were ended."""
        if not self.file.exists():
            return b""
        found = self.file.read_bytes()
        whole = found[: found.rfind(b"\n") + 1]
        if whole != found:
            self.file.write_bytes(whole)
        return whole
