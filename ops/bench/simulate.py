"""How long does it take to live through a year with so many people?"""

import csv
from datetime import date, timedelta
from pathlib import Path
from time import monotonic
from typing import Final

from ops.bench.ground import Ground, ground
from ops.bench.kept import repeated
from ops.bench.processes import ninebell, running
from ops.bench.report import Found, Result, Setting, Tell, figures_of
from ops.bench.schedule import ZONES

FIRST: Final = date(2027, 1, 1)
AFTER: Final = date(2028, 1, 1)
COLUMNS: Final = ("external_id", "first_name", "last_name", "email", "timezone", "birthday")


def measure(people: int, runs: int, tell: Tell) -> Result:
    """`ninebell simulate` as a process of its own, from its start to its end. Raises ProcessFailed."""
    settings: dict[str, Setting] = {"people": people, "days": 365}
    with ground() as place:
        machine = place.machine()
        file = place.directory / "people.csv"
        _write(file, people)

        def one(run: int) -> Found:
            tell(f"simulate: run {run + 1} of {runs}, {people:,} people")
            return _run(place, file, people)

        found = repeated("simulate", settings, runs, one)
        at = place.now()
    return Result(part="simulate", at=at, machine=machine, settings=settings, figures=figures_of(found))


def _run(place: Ground, file: Path, people: int) -> Found:
    out = place.directory / "year.csv"
    command = ninebell("simulate", "--people", str(file), "--from", str(FIRST), "--to", str(AFTER), "--out", str(out))
    began = monotonic()
    with running({"simulate": command}, {"NINEBELL_DATA_DIR": str(place.directory)}, place.directory / "printed") as (process,):
        process.wait()
    seconds = monotonic() - began
    with out.open() as lines:
        sent = sum(row["status"] == "sent" for row in csv.DictReader(lines))
    if sent != people:
        raise RuntimeError(f"{sent} of {people} birthdays were sent")
    return {("a year", "s"): seconds, ("sent", "messages/s"): sent / seconds}


def _write(file: Path, people: int) -> None:
    """One birthday each, spread over the year and the zones."""
    with file.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(COLUMNS)
        for number in range(people):
            birthday = (FIRST + timedelta(days=number % 365)).replace(year=1990)
            name = f"person-{number}"
            rows.writerow((name, name, "", f"{name}@example.org", ZONES[number % len(ZONES)], birthday))
