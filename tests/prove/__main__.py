"""python -m tests.prove: prove in minutes what the tests only sample, and say how much was tried."""

import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from domain.timezones import NAMES, TZDATA_VERSION
from tests.prove import decade
from tests.prove.any_life import try_lives
from tests.prove.every_zone import prove_zone

PROCESSES: Final = 2
LIVES: Final = 2_000
SEED: Final = 1

Tell = Callable[[str, int], Callable[[], None]]
"""Begins a bar of so many steps; gives what is called after each."""


def every_zone(tell: Tell) -> str:
    """Every quarter of an hour around every change of every zone's clocks."""
    step, found = tell("zones", len(NAMES)), Counter[str]()
    with ProcessPoolExecutor(PROCESSES) as pool:
        for counted in pool.map(prove_zone, sorted(NAMES)):
            found += counted
            step()
    changes = found.pop("transitions")
    rules = ", ".join(f"{count:,} {rule}" for rule, count in found.most_common())
    return f"{found.total():,} send times in {len(NAMES)} zones around {changes:,} transitions (tzdata {TZDATA_VERSION}): {rules}"


def any_life(tell: Tell) -> str:
    """People who move and change their minds over a year."""
    lives = 0
    step = tell("lives", LIVES)

    def lived() -> None:
        nonlocal lives
        lives += 1
        step()

    ended = try_lives(LIVES, SEED, lived)
    return f"{lives:,} lives of a year, {ended.total():,} messages: {_listed(ended)}"


def a_decade(tell: Tell) -> str:
    """Ten thousand people for ten years, without and with two days in which nothing ran."""
    step = tell("decades", 2)
    with TemporaryDirectory(prefix="ninebell-decade-") as directory, ThreadPoolExecutor(PROCESSES) as pool, ExitStack() as held:
        outs = {Path(directory) / "plain.csv": None, Path(directory) / "outage.csv": decade.TWO_DAYS}
        running = [held.enter_context(decade.simulating(out, decade.FIRST, decade.AFTER, down)) for out, down in outs.items()]

        def finished(process: Popen[bytes], out: Path) -> None:
            code = process.wait()
            step()
            assert code == 0, f"ninebell simulate ended with {code}: {out.with_suffix('.log').read_text()[-2000:]}"

        list(pool.map(finished, running, outs))
        plain, outage = (decade.judge(out, decade.FIRST, decade.AFTER, down) for out, down in outs.items())
    return (
        f"{plain.total():,} messages in a decade as the script says: {_listed(plain)}; with {decade.TWO_DAYS}: {_listed(outage)}"
    )


PARTS: Final[dict[str, Callable[[Tell], str]]] = {"zones": every_zone, "lives": any_life, "decade": a_decade}


def main(names: list[str]) -> int:
    """Prove these parts, or all; 1 at the first that fails, with the smallest case known."""
    for name in names or PARTS:
        began = monotonic()
        try:
            with _bars() as bars:
                said = PARTS[name](lambda what, total: _step(bars, what, total))
        except AssertionError as error:
            print(f"NOT PROVED {name}: {error}", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
            return 1
        print(f"proved {name}: {said} [{monotonic() - began:.0f} s]", flush=True)
    return 0


def _step(bars: Progress, what: str, total: int) -> Callable[[], None]:
    task = bars.add_task(what, total=total)
    return lambda: bars.advance(task)


def _bars() -> Progress:
    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.most_common())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
