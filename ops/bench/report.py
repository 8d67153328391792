"""How is a measurement told: as a table for people, and as a file for comparisons?"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Final, Protocol

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Column, Table

from ops.bench.machine import Machine

RESULTS: Final = Path(__file__).parent / "results"
"""Where results go if not told otherwise."""

Setting = str | int | float
Found = dict[tuple[str, str], float]
"""What one run found: (name, unit) → value."""


class Tell(Protocol):
    """Takes a line for the person who waits, and how much of how much is done where that is known."""

    def __call__(self, text: str, /, *share: float) -> None: ...


class Figure(Struct, frozen=True):
    """One thing measured, a value a run."""

    name: str
    unit: str
    runs: list[float]

    @property
    def median(self) -> float:
        return median(self.runs)


class Result(Struct, frozen=True, kw_only=True):
    """One part of the benchmark."""

    part: str
    at: datetime
    machine: Machine
    settings: dict[str, Setting]
    figures: list[Figure]
    series: dict[str, list[tuple[float, float]]] = {}
    """Name → (seconds of the last run, value), or as the plot of the part says."""


class _Written(Struct, frozen=True):
    """A result with the medians beside the runs, so that no reader computes them another way."""

    result: Result
    medians: dict[str, float]


def telling(tell: Tell, where: str) -> Tell:
    """The same, with the place in front of each line."""
    return lambda text, *share: tell(where + text, *share)


def figures_of(runs: Sequence[Found]) -> list[Figure]:
    """From what each run found, by (name, unit); every run finds the same things."""
    return [Figure(name, unit, [run[name, unit] for run in runs]) for name, unit in runs[0]]


def short(number: int) -> str:
    """As "30M", "10k" or "300"."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return str(number)


def show(result: Result) -> None:
    """A table on standard output."""
    table = Table("", Column("median", justify="right"), "unit", Column("runs", justify="right"))
    for figure in result.figures:
        table.add_row(figure.name, _shown(figure.median), figure.unit, "  ".join(map(_shown, figure.runs)))
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"\n{result.part}: {_listed(result.settings)}", markup=False)
    console.print(table)
    console.print(_listed(msgspec.structs.asdict(result.machine)), markup=False)


def write(result: Result, directory: Path) -> Path:
    """The JSON file, named by part and instant."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{result.part}-{result.at:%Y%m%dT%H%M%SZ}.json"
    written = _Written(result, {figure.name: figure.median for figure in result.figures})
    file.write_bytes(msgspec.json.format(msgspec.json.encode(written)) + b"\n")
    return file


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


def _listed(named: Mapping[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in named.items())
