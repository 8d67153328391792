"""python -m tests.prove: prove in minutes what the tests only sample, and say how much was tried."""

from __future__ import annotations

import argparse
import signal
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import active_children
from time import monotonic
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from domain.timezones import NAMES, TZDATA_VERSION
from tests.prove import decade
from tests.prove.any_life import SLICES, prove_slice
from tests.prove.every_zone import prove_zone
from tests.prove.kept import HOME, Kept
from tests.prove.telling import Tell, telling

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

PROCESSES: Final = 2
SOURCE: Final = ("domain", "application", "infrastructure", "projections", "api", "ops")


class Proof(Struct, frozen=True, kw_only=True):
    """Units that are proved one by one, and what is to be said of their counts once all of them are."""

    units: tuple[str, ...]
    hangs_on: tuple[str, ...]
    prove: Callable[..., Counter[str]]
    """Takes a unit; and where one comes after the other, whom to tell how far it is."""
    said: Callable[[dict[str, Counter[str]]], str]
    processes: int = PROCESSES


def _zones_said(found: dict[str, Counter[str]]) -> str:
    counts = _sum(found.values())
    changes = counts.pop("transitions")
    return (
        f"{counts.total():,} send times in {len(found)} zones around {changes:,} transitions (tzdata {TZDATA_VERSION}):"
        f" {_listed(counts)}"
    )


def _lives_said(found: dict[str, Counter[str]]) -> str:
    counts = _sum(found.values())
    lives = counts.pop("lives")
    return f"{lives:,} lives of a year, {counts.total():,} messages: {_listed(counts)}"


def _decades_said(found: dict[str, Counter[str]]) -> str:
    plain, outage = found["plain"], found["outage"]
    return (
        f"{plain.total():,} messages in a decade as the script says: {_listed(plain)};"
        f" with {decade.OUTAGES['outage']}: {_listed(outage)}"
    )


PROOFS: Final = {
    "zones": Proof(
        units=tuple(sorted(NAMES)),
        hangs_on=("domain", "tests/prove/every_zone.py"),
        prove=prove_zone,
        said=_zones_said,
    ),
    "lives": Proof(
        units=SLICES,
        hangs_on=("domain", "application", "tests/fake*.py", "tests/delivery_scene.py", "tests/prove"),
        prove=prove_slice,
        said=_lives_said,
    ),
    "decades": Proof(
        units=tuple(decade.OUTAGES),
        hangs_on=(*SOURCE, "tests/prove/decade.py", "tests/oracle.py", "tests/data"),
        prove=decade.prove,
        said=_decades_said,
        processes=1,
    ),
}


def main(arguments: Sequence[str], proofs: Mapping[str, Proof] = PROOFS, home: Path = HOME) -> int:
    """Prove what is asked for, or all; 1 at the first that fails, with the smallest case known."""
    asked = _asked(arguments, proofs)
    for name in asked.proofs or proofs:
        kept = Kept(name, proofs[name].hangs_on, home)
        if asked.afresh:
            kept.forget()
        try:
            print(f"proved {name}: {_proved(name, proofs[name], kept)}", flush=True)
        except AssertionError as error:
            print(f"NOT PROVED {name}: {error}", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(f"stopped; what was proved of {name} is kept, and the next run goes on from there", file=sys.stderr)
            return 130
    return 0


def _asked(arguments: Sequence[str], proofs: Mapping[str, Proof]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__)
    parser.add_argument("proofs", nargs="*", metavar="proof", help=f"{', '.join(proofs)}; all if not given")
    parser.add_argument("--afresh", action="store_true", help="what was proved before, too")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.proofs) - proofs.keys():
        parser.error(f"there is no proof of {', '.join(sorted(unknown))}")
    return asked


def _proved(name: str, proof: Proof, kept: Kept) -> str:
    """What is to be said in the end. Raises AssertionError; what was proved until then is kept."""
    began = monotonic()
    before = len(kept.counts)
    todo = [unit for unit in proof.units if unit not in kept.counts]
    with telling(name, done=before, of=len(proof.units)) as tell:
        if proof.processes == 1:
            for unit in todo:
                kept.add(unit, proof.prove(unit, tell))
        else:
            _share(proof, todo, kept, tell)
    return f"{proof.said(kept.counts)} [{_how_long(monotonic() - began, before, len(proof.units))}]"


def _share(proof: Proof, todo: Sequence[str], kept: Kept, tell: Tell) -> None:
    """After a failure, only what has begun is finished, and kept."""
    failures: list[AssertionError] = []
    with ProcessPoolExecutor(proof.processes, initializer=_let_the_parent_decide) as pool, _ended_with_us():
        running = {pool.submit(proof.prove, unit): unit for unit in todo}
        for done in as_completed(running):
            if done.cancelled():
                continue
            try:
                kept.add(running[done], done.result())
                tell(1)
            except AssertionError as failure:
                failures.append(failure)
                pool.shutdown(wait=False, cancel_futures=True)
    if failures:
        raise failures[0]


def _let_the_parent_decide() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _ended_with_us() -> Iterator[None]:
    """Whatever ends us ends our processes: they would wait for more to do."""
    try:
        yield
    except BaseException:
        for process in active_children():
            process.terminate()
        raise


def _how_long(seconds: float, before: int, units: int) -> str:
    if before == units:
        return "kept from before; AFRESH=1 proves it again"
    return f"{seconds:.0f} s" + (f", {before} of {units} kept from before" if before else "")


def _sum(counts: Iterable[Counter[str]]) -> Counter[str]:
    found = Counter[str]()
    for each in counts:
        found.update(each)
    return found


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.most_common())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main(sys.argv[1:]))
