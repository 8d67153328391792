"""Do ten thousand people get in ten years what a plain script says they should, and nothing without its reason in an outage?"""

import csv
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from ops.settings import read_settings
from ops.simulate import simulate
from tests import oracle

ROOT: Final = Path(__file__).parents[2]
PEOPLE: Final = ROOT / "tests" / "data" / "people-10k.csv"
FIRST: Final = date(2027, 1, 1)
AFTER: Final = date(2037, 1, 1)
A_MINUTE: Final = timedelta(minutes=1)
LEAST_WINDOW: Final = timedelta(hours=12)


class Outage(Struct, frozen=True):
    """Nothing runs in [start, end)."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%dT%H:%M:%SZ}/{self.end:%Y-%m-%dT%H:%M:%SZ}"


# Most of New Year's Day: Asia is past its window when it ends, Europe, Africa and the Americas are not.
TWO_DAYS: Final = Outage(datetime(2031, 12, 30, 18, tzinfo=UTC), datetime(2032, 1, 1, 18, tzinfo=UTC))
OUTAGES: Final[dict[str, Outage | None]] = {"plain": None, "outage": TWO_DAYS}
MANY: Final = 300


def prove(name: str, tell: Callable[[float], None]) -> Counter[str]:
    """How many messages ended how in a decade, without an outage or with it. Raises AssertionError."""
    outage = OUTAGES[name]
    with TemporaryDirectory(prefix="ninebell-decade-") as directory:
        out = Path(directory) / "decade.csv"
        simulated(out, FIRST, AFTER, outage, tell)
        ended = judge(out, FIRST, AFTER, outage)
    if outage:
        assert min(ended["sent late"], ended["expired late_window"]) >= MANY, f"the outage met few messages: {ended}"
    return ended


def simulated(out: Path, first: date, after: date, outage: Outage | None, tell: Callable[[float], None] = lambda _: None) -> None:
    """`ninebell simulate`, with its usual settings; `tell` takes which part of the span was lived since the last time."""
    with out.with_suffix(".log").open("w") as log, redirect_stdout(log), redirect_stderr(log):
        simulate(PEOPLE, first, after, out, read_settings({}), outage=str(outage) if outage else None, tell=tell)


def judge(out: Path, first: date, after: date, outage: Outage | None) -> Counter[str]:
    """How many ended how. Raises AssertionError where the script and the simulation differ, or a reason is missing."""
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    ours = {(row["user"], row["type"], row["occasion"], row["due_at"]) for row in rows}
    theirs = oracle.expected(PEOPLE, first, after)
    assert len(ours) == len(rows), f"{len(rows) - len(ours)} lines stand twice"
    assert ours == theirs, (
        f"{len(ours - theirs)} more and {len(theirs - ours)} fewer than the script: {sorted(ours ^ theirs)[:5]}"
    )
    for row in rows:
        _judge_row(row, outage)
    return Counter(f"{row['status']} {row['reason']}".strip() for row in rows)


def _judge_row(row: dict[str, str], outage: Outage | None) -> None:
    """Sent within its minute; but what fell due in the outage right after it, if that was still in time there, else never."""
    due = datetime.fromisoformat(row["due_at"])
    told = (row["status"], row["reason"])
    if outage is None or not outage.start <= due < outage.end:
        assert told == ("sent", ""), row
        assert timedelta() <= datetime.fromisoformat(row["sent_at"]) - due < A_MINUTE, row
        return
    there = outage.end.astimezone(ZoneInfo(row["timezone"])).date()
    if there <= date.fromisoformat(row["occasion"]) or outage.end < due + LEAST_WINDOW:
        assert told == ("sent", "late" if outage.end - due >= A_MINUTE else ""), row
        assert timedelta() <= datetime.fromisoformat(row["sent_at"]) - outage.end < A_MINUTE, row
    else:
        assert (*told, row["sent_at"]) == ("expired", "late_window", ""), row
