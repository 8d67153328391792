"""Does the event store append as fast with millions of events stored as with few?"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from uuid_utils.compat import uuid7

from ops.bench import append
from ops.bench.append import named
from ops.bench.grown import DAYS, LOG, begin, grow, keep, lasting_ground, make
from ops.bench.kept import Kept
from ops.bench.past import ZONES, Person
from ops.bench.report import Found, Result, Setting, Tell, figures_of, short, telling
from ops.wiring import Parts

PART: Final = "append-stored"
PEOPLE_A_ZONE: Final = 1_000


def measure(threads: Sequence[int], stored: Sequence[int], seconds: float, runs: int, tell: Tell) -> Result:
    """One event a call from so many threads at once, in one log that grows.

    Raises PostgresNotStarted, and ProcessFailed where the disk is too small.
    """
    sizes = sorted(stored)
    settings: dict[str, Setting] = {
        "stored": " ".join(map(short, sizes)),
        "days": DAYS,
        "seconds": seconds,
        "threads": " ".join(map(str, threads)),
        "runs": runs,
    }
    kept, found = Kept(PART, settings), list[Found]({} for _ in range(runs))
    with lasting_ground(kept, sizes[-1]) as place, place.lasting("log", partial(_make, events=sizes[0])) as (parts, _):
        machine, at = place.machine(), place.now()
        for events in sizes:
            for run in range(runs):
                say = telling(tell, f"{PART}: {short(events)}, run {run + 1} of {runs}, ")
                found[run] |= kept.once(f"{events} {run + 1}", partial(_run, parts, events, threads, seconds, say))
    kept.forget()
    figures = figures_of([run | _times(run, threads, sizes) for run in found])
    medians = {figure.name: figure.median for figure in figures}
    series = {named(number): [(float(events), medians[_name(number, events)]) for events in sizes] for number in threads}
    return Result(part=PART, at=at, machine=machine, settings=settings, figures=figures, series=series)


def _make(parts: Parts, events: int) -> None:
    begin(parts)
    make(parts, [Person(uuid7(), timezone) for timezone in ZONES for _ in range(PEOPLE_A_ZONE)], events)
    keep(parts, LOG)


def _run(parts: Parts, events: int, threads: Sequence[int], seconds: float, tell: Tell) -> Found:
    grow(parts, events, LOG, tell)
    found: Found = {}
    for number in threads:
        tell(f"{named(number)} append")
        run = append.run_once(parts, number, 1, seconds)
        found[_name(number, events), "events/s"] = next(rate for (_, unit), rate in run.items() if unit == "events/s")
    return found


def _times(run: Found, threads: Sequence[int], sizes: Sequence[int]) -> Found:
    """How many times as long it takes with the most stored as with the least."""
    least, most = sizes[0], sizes[-1]
    return {
        (f"{named(number)}: {short(most)} against {short(least)}", "times as long"): run[_name(number, least), "events/s"]
        / run[_name(number, most), "events/s"]
        for number in threads
    }


def _name(threads: int, events: int) -> str:
    return f"{named(threads)}, {short(events)} stored"
