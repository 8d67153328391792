"""`ninebell projections`: read models listed, built anew, swapped, rolled back and dropped."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, Final

from msgspec import to_builtins
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from application.retain_months import ArchiveDamaged
from infrastructure.filling import HandsLost, Stopped, Told
from infrastructure.followers import PROCESS_MANAGERS
from infrastructure.read_model_build import Overtaken
from infrastructure.read_model_rebuild import AlreadyBuilt, NotThere, Rebuild
from infrastructure.read_model_sides import NEXT, PREVIOUS
from infrastructure.read_model_verification import open_verification
from ops.at_hand import at_hand
from ops.cli_projections import Way
from ops.difference import print_difference
from ops.messages import print_json
from ops.settings import Settings, WrongSettings
from ops.wiring import Parts, rebuild_of
from projections.registry import PROJECTIONS

INTERRUPTED: Final = 130
ACTING: Final = frozenset((*PROCESS_MANAGERS, "recovery", "worker"))
COLUMNS: Final = ("name", "kind", "version", "position", "lag_events", "lag_seconds", "parked", "beside")


def list_projections(settings: Settings, *, as_json: bool) -> int:
    """Always 0."""
    with at_hand(settings, "projections", any_version=True) as parts:
        found = [{**to_builtins(one), "beside": []} for one in parts.followers.status(parts.clock.now())]
        beside = parts.followers.beside()
    for one in found:
        one["beside"] = [to_builtins(tables) for tables in beside if tables.name == one["name"]]
    if as_json:
        print_json({"items": found})
    else:
        _show(found)
    return 0


def rebuild(settings: Settings, names: Sequence[str], way: Way, *, everything: bool, as_json: bool) -> int:
    """1 if rows differ that were expected not to. Raises WrongSettings."""
    chosen = _chosen(names, everything=everything)
    reports: list[dict[str, Any]] = []
    with at_hand(settings, "rebuild", any_version=True) as parts, _working() as stop:
        for name in chosen:
            with watched(name) as watch:
                work = rebuild_of(parts, name, stop, watch, way.processes)
                with work.alone():
                    reports.append(_rebuilt(parts, work, way))
            if not as_json:
                _tell(reports[-1])
    if as_json:
        print_json({"items": reports})
    return 1 if any(report["unexpected"] for report in reports) else 0


def _rebuilt(parts: Parts, work: Rebuild, way: Way) -> dict[str, Any]:
    diff = way.diff or way.expect_no_diff
    work.build(
        parts.clock.now(),
        anew=way.anew,
        no_further_than_live=diff,
        archives=way.archives,
        without_archives=way.without_archives,
    )
    found = work.compare(way.examples) if diff else None
    unexpected = way.expect_no_diff and found is not None and any(one.rows for one in found)
    swapped = not (way.no_swap or unexpected)
    if swapped:
        work.swap()
    return {
        "name": work.projection.name,
        "version": work.projection.version,
        "swapped": swapped,
        "unexpected": unexpected,
        "difference": to_builtins(found),
    }


def verify(settings: Settings, name: str, sample: int | None, examples: int, archives: Path | None, *, as_json: bool) -> int:
    """1 if rows differ. Raises WrongSettings, and NewerTables where another version is live."""
    [chosen] = _chosen([name], everything=False)
    projection = PROJECTIONS[chosen]
    if sample and not set(projection.tables) - set(projection.sums):
        raise WrongSettings(f"{name} holds sums alone, which a sample can't tell: leave --sample out")
    with at_hand(settings, "verify", any_version=True) as parts, watched(name) as watch:

        def looked(done: int, whole: int) -> None:
            watch(Told("comparing", done, whole))

        with open_verification(parts.store, projection, examples) as verification:
            try:
                found = verification.sample(sample, looked) if sample else verification.all(looked, archives)
            except ArchiveDamaged as error:
                raise WrongSettings(str(error)) from error
    if as_json:
        print_json({"name": name, "version": projection.version, "sample": sample, "difference": to_builtins(found)})
    else:
        for one in found:
            print_difference(to_builtins(one))
    return 1 if any(one.rows for one in found) else 0


def roll_back(settings: Settings, name: str) -> int:
    """0. Raises WrongSettings where nothing is kept that this code can feed."""
    [chosen] = _chosen([name], everything=False)
    with at_hand(settings, "rollback", any_version=True) as parts, _working() as stop, watched(name) as watch:
        work = rebuild_of(parts, chosen, stop, watch)
        with work.alone():
            work.roll_back()
    print(f"{name}: the version before has caught up and is live; what was live is kept: the same command swaps them again")
    return 0


def drop(settings: Settings, name: str, *, build: bool) -> int:
    """0. Raises WrongSettings where there is nothing to drop."""
    [chosen] = _chosen([name], everything=False)
    what = "unfinished rebuild" if build else "earlier tables"
    with at_hand(settings, "drop", any_version=True) as parts, _working() as stop:
        work = rebuild_of(parts, chosen, stop, lambda _: None)
        with work.alone():
            if not work.drop(NEXT if build else PREVIOUS):
                raise WrongSettings(f"{name} has no {what}")
    print(f"the {what} of {name} {'is' if build else 'are'} gone")
    return 0


def _chosen(names: Sequence[str], *, everything: bool) -> list[str]:
    """Raises WrongSettings."""
    if bool(names) == everything:
        raise WrongSettings("name read models, or --all: ninebell projections list")
    for name in names:
        if name in ACTING:
            raise WrongSettings(
                f"{name} is a process manager: it acts on what it reads, so it is never built anew. "
                f"There are: {' '.join(PROJECTIONS)}"
            )
        if name not in PROJECTIONS:
            raise WrongSettings(f"{name!r} is no read model; there are: {' '.join(PROJECTIONS)}")
    return list(dict.fromkeys(names)) or list(PROJECTIONS)


@contextmanager
def _working() -> Iterator[Event]:
    """Set by Ctrl-C or SIGTERM: the work ends at a point from which it goes on. Raises WrongSettings, SystemExit."""
    stop = Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    except (AlreadyBuilt, ArchiveDamaged, NotThere) as error:
        raise WrongSettings(str(error)) from error
    except (HandsLost, Overtaken) as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from error
    except Stopped:
        print("stopped; the same command goes on from here", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def watched(name: str) -> Iterator[Callable[[Told], None]]:
    """A bar for whoever watches: events a second, percentage and time left."""
    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rate]}")]
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        bar, began = progress.add_task(name, total=None, rate=""), monotonic()

        def watch(told: Told) -> None:
            rate = f"{told.events / max(monotonic() - began, 0.001):,.0f} events/s" if told.events else ""
            if told.stage != stages[-1]:
                stages.append(told.stage)
                progress.reset(bar)
            progress.update(bar, description=f"{name}: {told.stage}", completed=told.done, total=told.whole or 1, rate=rate)

        stages: list[str] = [""]
        yield watch


def _tell(report: dict[str, Any]) -> None:
    for one in report["difference"] or ():
        print_difference(one)
    beside = "swapped in" if report["swapped"] else "built, and not swapped in"
    print(f"{report['name']} {beside}, version {report['version']}")


def _show(found: Sequence[dict[str, Any]]) -> None:
    rows = [COLUMNS, *(tuple(_cell(one[column]) for column in COLUMNS) for one in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{one['side']}: version {one['version']} at {one['position']}" for one in value)
    return f"{value:.1f}" if isinstance(value, float) else str(value)
