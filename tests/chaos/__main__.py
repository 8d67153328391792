"""python -m tests.chaos: break everything there is, one thing after another, and print what became of 5,000 messages."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tests.chaos import kept
from tests.chaos.faults import FAULTS, IN_A_NAMESPACE
from tests.chaos.report import DOCUMENT, print_row, print_table, write_document
from tests.e2e.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.chaos.trial import Result

SEEDS_OF_THE_DOCUMENT = 3


def main(arguments: Sequence[str]) -> int:
    """0 if all promises were kept."""
    faults, seeds = _chosen(arguments)
    if faults == ["list"]:
        for name, fault in FAULTS.items():
            print(f"{name:32} {fault.does}")
        return 0
    console = Console(highlight=False)
    results: list[Result] = []
    untried = 0
    with _bars(console) as bars:
        task = bars.add_task("", total=len(faults) * len(seeds))
        for seed in seeds:
            for name in faults:
                result = _result(name, seed, partial(_say, bars, task, f"{name} {seed}"))
                if isinstance(result, str):
                    console.print(f"{name} {seed}: NOT TRIED: {result}", markup=False)
                    untried += 1
                else:
                    results.append(result)
                    print_row(console, result)
                bars.advance(task)
    print_table(console, results)
    if faults == list(FAULTS) and len(seeds) >= SEEDS_OF_THE_DOCUMENT and not untried:
        write_document(results)
        console.print(f"written to {DOCUMENT.relative_to(ROOT)}")
    return 0 if not untried and all(result.kept for result in results) else 1


def _say(bars: Progress, task: TaskID, of: str, said: str) -> None:
    bars.update(task, description=f"{of}: {said}")


def _chosen(arguments: Sequence[str]) -> tuple[list[str], list[int]]:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--fault", default="", help="names with commas between; all if not given; `list` lists them")
    parser.add_argument("--seed", default="1", help="numbers with commas between")
    given = parser.parse_args(arguments)
    names = [name for name in given.fault.split(",") if name] or list(FAULTS)
    if unknown := [name for name in names if name not in FAULTS and names != ["list"]]:
        parser.error(f"{unknown[0]!r} is not a fault; FAULT=list lists them")
    return names, [int(seed) for seed in given.seed.split(",") if seed] or [1]


def _result(name: str, seed: int, tell: Callable[[str], None]) -> Result | str:
    """Kept from before or tried now; else why it could not be tried."""
    if found := kept.result_of(name, seed):
        return found
    fault = FAULTS[name]
    if hindrance := fault.hindrance():
        return hindrance
    words = [sys.executable, "-m", "tests.chaos.trial", name, str(seed), str(kept.file_of(name, seed))]
    log = kept.HOME / f"{name}-{seed}.log"
    with log.open("wb") as log_file:
        command = [*IN_A_NAMESPACE, *words] if fault.stage.small_disk else words
        # in a session of its own: Ctrl-C is heard here, and told to it once, so that it cleans up undisturbed
        trial = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log_file,
            text=True,
            start_new_session=True,
        )
        assert trial.stdout is not None
        try:
            for line in trial.stdout:
                tell(line.strip())
        except KeyboardInterrupt:
            trial.send_signal(signal.SIGINT)
            raise
        finally:
            trial.wait()
    return kept.result_of(name, seed) or f"see {log.relative_to(ROOT)}"


def _bars(console: Console) -> Progress:
    return Progress(
        MofNCompleteColumn(),
        BarColumn(20),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
    )


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
