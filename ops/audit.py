"""`ninebell audit`: does every message have its outcome, and what was late, expired, or is in doubt?"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from time import monotonic
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from application.audit_messages import Audit, audit_messages
from application.audit_sums import COLUMNS, FIELDS, Grouping, Sum
from application.ports import Position
from infrastructure.audit_query import open_books
from infrastructure.audit_read_models import AUDITED
from ops.at_hand import at_hand
from ops.settings import Settings, WrongSettings
from ops.wiring import Parts

WAIT_SECONDS: Final = 10.0
"""For the read models to have read what stood in the log when the audit began."""

WIDEST: Final = 1_000


def audit(
    settings: Settings,
    *,
    by: Sequence[Grouping] = (),
    start: date | None = None,
    end: date | None = None,
    as_json: bool = False,
) -> int:
    """0 if the days in [start, end) add up, else 1. Raises WrongSettings where there are none."""
    if start and end and not start < end:
        raise WrongSettings("--to must be later than --from")
    groupings = tuple(dict.fromkeys(by))
    with at_hand(settings, "audit") as parts:
        _wait_for_read_models(parts)
        with open_books(parts.database) as books, _watched() as looked:
            found = audit_messages(books, start, end, groupings, looked)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    else:
        _show(found, groupings or ("day",))
    return 0 if found.balanced else 1


def _wait_for_read_models(parts: Parts) -> None:
    head = Position(messages=parts.store.head().messages)
    deadline = monotonic() + WAIT_SECONDS
    for projection in AUDITED:
        parts.followers.wait_for(projection, head, max(0.0, deadline - monotonic()))


@contextmanager
def _watched() -> Iterator[Callable[[int, int], None]]:
    """A bar for whoever watches."""
    columns: list[Any] = [TextColumn("days"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _show(found: Audit, by: tuple[Grouping, ...]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))  # fits into 80 columns, by day
    for each in by:
        table.add_column(each, no_wrap=True)
    for column in COLUMNS:
        table.add_column(column.replace("_", " "), justify="right", no_wrap=True)
    for sum_ in _rows(found, by):
        table.add_row(*(str(getattr(sum_, FIELDS[each])) for each in by), *_cells(sum_))
    table.add_section()
    table.add_row("total", *[""] * (len(by) - 1), *_cells(found.total))
    console = Console(highlight=False)
    console.width = _width(console, table)  # names that are cut short can't be told apart
    console.print(table)
    for name, events in found.behind.items():
        console.print(f"{name} has yet to read {events} events; it is compared as far as it has read.", soft_wrap=True)
    for difference in found.differences:
        console.print(difference, markup=False, soft_wrap=True)
    total = found.total
    console.print(
        f"{total.scheduled} scheduled = {total.sent} sent ({total.late} of them late) + {total.cancelled} cancelled"
        f" + {total.expired} expired + {total.abandoned} abandoned + {total.in_doubt} in doubt + {total.pending} pending: "
        + ("it adds up." if found.balanced else "IT DOES NOT ADD UP."),
        soft_wrap=True,
    )


def _width(console: Console, table: Table) -> int:
    return max(console.width, console.measure(table, options=console.options.update(max_width=WIDEST)).maximum)


def _rows(found: Audit, by: tuple[Grouping, ...]) -> list[Sum]:
    of_one: dict[tuple[Grouping, ...], list[Sum]] = {("day",): found.days, ("zone",): found.zones, ("type",): found.types}
    return of_one.get(by, found.rows or [])


def _cells(sum_: Sum) -> list[str]:
    return [str(getattr(sum_, name)) for name in COLUMNS]
