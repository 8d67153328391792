"""Which trials of this very tree have been made already? Their results are kept, so that a run goes on where it was stopped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from ops.bench.fingerprint import fingerprint_of
from tests.chaos.trial import Result
from tests.e2e.processes import ROOT

HOME: Final = ROOT / ".make" / "chaos"
TREE: Final = (
    "domain",
    "application",
    "infrastructure",
    "projections",
    "api",
    "ops",
    "tests/chaos",
    "tests/e2e",
    "requirements.txt",
)
"""What a result depends on, of this repository."""


@cache
def fingerprint() -> str:
    """Of everything that a result depends on."""
    return fingerprint_of(TREE)


def file_of(fault: str, seed: int) -> Path:
    """Where a result is to be kept."""
    path = HOME / fingerprint() / f"{fault}-{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def result_of(fault: str, seed: int) -> Result | None:
    """None if it has to be tried."""
    file = file_of(fault, seed)
    return msgspec.json.decode(file.read_bytes(), type=Result) if file.exists() else None
