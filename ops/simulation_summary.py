"""What came out of a simulation, in a screenful: by type, by reason, by lateness?"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, get_args

from rich.console import Console
from rich.table import Table

from domain.delivery_policy import ITS_MINUTE
from domain.scheduled_message import Status
from ops.simulation_record import Row

LATENESS: Final = (
    ("within its minute", ITS_MINUTE),
    ("up to 15 minutes", timedelta(minutes=15)),
    ("up to an hour", timedelta(hours=1)),
    ("up to 4 hours", timedelta(hours=4)),
    ("up to 12 hours", timedelta(hours=12)),
    ("up to a day", timedelta(days=1)),
    ("later still", timedelta.max),
)
"""How long after its due instant a message was sent, exclusive."""


def show_summary(rows: Sequence[Row], title: str, keys: Collection[str]) -> None:
    """Three tables on standard output, and how often the provider was called."""
    statuses = [status for status in get_args(Status) if any(row.status == status for row in rows)]
    by_type = Counter((row.type, row.status) for row in rows)
    kinds = sorted({row.type for row in rows})
    console = Console()
    for table in (
        _table(("type",), (*statuses, "all"), ([kind, *_and_sum(by_type[kind, one] for one in statuses)] for kind in kinds)),
        _table(("status", "reason"), ("messages",), _by_reason(rows)),
        _table(("sent",), ("messages",), _by_lateness(rows)),
    ):
        console.print(table)
    print(f"{title}; {len(keys):,} calls to the provider, {len(keys) - len(set(keys))} of them repeats")


def _table(words: Sequence[str], numbers: Sequence[str], lines: Iterable[Iterable[str]]) -> Table:
    table = Table(*words)
    for name in numbers:
        table.add_column(name.replace("_", " "), justify="right")
    for line in lines:
        table.add_row(*line)
    return table


def _and_sum(counts: Iterable[int]) -> list[str]:
    counts = list(counts)
    return [f"{count:,}" for count in (*counts, sum(counts))]


def _by_reason(rows: Iterable[Row]) -> list[tuple[str, str, str]]:
    told = Counter((row.status, row.reason) for row in rows)
    return [(status, reason, f"{count:,}") for (status, reason), count in sorted(told.items())]


def _by_lateness(rows: Iterable[Row]) -> list[tuple[str, str]]:
    edges = [edge for _, edge in LATENESS]
    late = Counter(bisect_right(edges, _lateness(row)) for row in rows if row.sent_at)
    return [(name, f"{late[place]:,}") for place, (name, _) in enumerate(LATENESS) if late[place]]


def _lateness(row: Row) -> timedelta:
    return datetime.fromisoformat(row.sent_at) - datetime.fromisoformat(row.due_at)
