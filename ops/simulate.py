"""`ninebell simulate`: what would be sent, when and why not, if these people lived through those dates?"""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from application.import_users import Rejection
from ops.instants import instant
from ops.settings import Settings, WrongSettings
from ops.simulation import Outage, Span
from ops.simulation_changes import read_changes
from ops.simulation_processes import ShardLost, live_in, processes_for
from ops.simulation_record import Row, in_order, write_csv
from ops.simulation_summary import show_summary

EARLIEST: Final = date(1971, 1, 1)  # a message's ID begins with its date, since 1970
LATEST: Final = date(9000, 1, 1)


def simulate(
    people: Path,
    start: date,
    end: date,
    out: Path,
    settings: Settings,
    *,
    outage: str | None = None,
    changes: Path | None = None,
    picture: Path | None = None,
    processes: int | None = None,
    tell: Callable[[float], None] | None = None,
) -> int:
    """Live through the local dates [start, end) and write what became of each occasion to `out`; always 0.

    `picture` is a PNG of the same, a heat map of days by UTC hours. In how many processes makes no difference to either; if not
    told, as many as are of use. `tell` takes which part of the span was lived since the last time.

    Raises WrongSettings for a wrong range, option or file.
    """
    if not EARLIEST <= start < end <= LATEST:
        raise WrongSettings(f"--to must be later than --from, and both from {EARLIEST} to {LATEST}")
    _writable("--out", out)
    if picture:
        _writable("--plot", picture)
    down = _outage(outage) if outage else None
    told = tuple(read_changes(changes, partial(_tell, changes.name))) if changes else ()
    span = Span(people=people, start=start, end=end, outage=down, changes=told)
    with _ending_in_order(), _bar() as bar:
        lived = live_in(processes or processes_for(settings, span), settings, span, _Reporting(people.name, bar, tell))
    for _, refused in sorted((one for part in lived for one in part.refused), key=lambda one: one[0]):
        _tell(changes.name if changes else "", refused)
    rows = in_order(row for part in lived for row in part.rows)
    _keep(rows, span, out, picture)
    show_summary(rows, f"{len(rows):,} occasions from {start} up to {end}", [key for part in lived for key in part.calls])
    return 0


class _Reporting:
    """Wrong lines on standard error, and a bar that first waits and then fills."""

    def __init__(self, file: str, bar: Progress, tell: Callable[[float], None] | None) -> None:
        self._file, self._bar, self._tell = file, bar, tell
        self._task = bar.add_task("checking lines", total=None)

    def __call__(self, told: float | Rejection) -> None:
        if isinstance(told, Rejection):
            _tell(self._file, told)
            return
        self._bar.update(self._task, description="living", total=1.0, advance=told)
        if self._tell:
            self._tell(told)


def _tell(file: str, rejection: Rejection) -> None:
    where = " ".join(filter(None, (rejection.field, rejection.reason)))
    print(f"{file} line {rejection.line}: {where}", file=sys.stderr)


def _outage(text: str) -> Outage:
    start, _, end = text.partition("/")
    try:
        outage = Outage(instant(start), instant(end))
    except ValueError:
        outage = None
    if outage is None or not outage.start < outage.end:
        raise WrongSettings("--outage must be FROM/TO, as in 2027-05-15T08:00:00Z/2027-05-15T20:00:00Z")
    return outage


def _writable(option: str, file: Path) -> None:
    """Before a year is lived through for nothing. Raises WrongSettings."""
    if file.is_dir() or not file.parent.is_dir():
        raise WrongSettings(f"{option} must name a file in a directory that is there: {file}")


def _keep(rows: Sequence[Row], span: Span, out: Path, picture: Path | None) -> None:
    with _write_errors_told("--out"):
        write_csv(rows, out)
    if picture:
        from ops.simulation_plot import plot

        with _write_errors_told("--plot"):
            picture.write_bytes(plot(rows, span.start, span.end))


@contextmanager
def _write_errors_told(option: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WrongSettings(f"{option}: {error.filename}: {error.strerror}") from error


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Told to end, take the temporary database away as well; say in a line that a process died. Raises SystemExit."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    except ShardLost as error:
        print(f"{error}; nothing was written", file=sys.stderr)
        raise SystemExit(1) from error
    finally:
        signal.signal(signal.SIGTERM, before)


def _bar() -> Progress:
    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()]
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
