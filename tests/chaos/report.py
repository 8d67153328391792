"""How are the results shown: a row each, a table of all, a document of three seeds?"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from tests.chaos.faults import FAULTS
from tests.chaos.scene import CROWD
from tests.e2e.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.chaos.trial import Result

DOCUMENT: Final = ROOT / "docs" / "faults.md"
COLUMNS: Final = ("lost", "duplicate", "in doubt", "recovery s")
BEGIN, END = "<!-- the table: made by make chaos SEED=1,2,3 -->", "<!-- the end of the table -->"


def print_row(console: Console, result: Result) -> None:
    """As soon as it is known."""
    v = result.verdict
    what = "kept" if result.kept else "NOT KEPT"
    console.print(
        f"{result.fault} {result.seed}: {what}; struck at {result.struck_at} of {CROWD}: {v.lost} lost, {v.duplicate} duplicate,"
        f" {v.in_doubt} in doubt, {v.repeats} harmless repeats, recovered in {v.recovery_seconds:.1f} s"
        f" [{result.took_seconds:.0f} s]",
        markup=False,
        soft_wrap=True,
    )
    for line in (*v.wrong, *result.notes):
        console.print(f"    {line}", markup=False, soft_wrap=True)


def print_table(console: Console, results: Sequence[Result]) -> None:
    table = Table("fault", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in COLUMNS:
        table.add_column(name, justify="right")
    table.add_column("")
    for name, found in _by_fault(results):
        table.add_row(name, *_cells(found), "" if all(result.kept for result in found) else "NOT KEPT")
    console.print(table)


def write_document(results: Sequence[Result]) -> None:
    """The table between its two marks; the words around it are written by hand."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    head = f"| fault | what breaks | {' | '.join(COLUMNS)} |\n|---|---|{'---:|' * len(COLUMNS)}"
    rows = [f"| `{name}` | {FAULTS[name].does} | {' | '.join(_cells(found))} |" for name, found in _by_fault(results)]
    seeds = sorted({result.seed for result in results})
    minutes = sum(result.took_seconds for result in results) / 60
    where = f"{platform.machine()} with {os.cpu_count()} cores"
    said = f"Seeds {', '.join(map(str, seeds))}, {CROWD:,} messages each, on {where}: {minutes:.0f} min."
    DOCUMENT.write_text(f"{before}{BEGIN}\n{head}\n" + "\n".join(rows) + f"\n\n{said}\n{END}{after}", encoding="utf-8")


def _cells(results: Iterable[Result]) -> list[str]:
    """One number where all seeds agree, else one for each."""
    found = [result.verdict for result in results]
    return [
        _one_or_all([str(verdict.lost) for verdict in found]),
        _one_or_all([str(verdict.duplicate) for verdict in found]),
        _one_or_all([str(verdict.in_doubt) for verdict in found]),
        _one_or_all([f"{verdict.recovery_seconds:.0f}" for verdict in found]),
    ]


def _one_or_all(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else " / ".join(values)


def _by_fault(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    return [(name, found) for name in FAULTS if (found := [result for result in results if result.fault == name])]
