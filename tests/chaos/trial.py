"""How is one fault tried: everything started, the fault at a moment that the seed chooses, and judged?

python -m tests.chaos.trial FAULT SEED FILE writes the result to FILE, and says meanwhile on standard output what it does.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from tests.chaos.faults import FAULTS
from tests.chaos.judge import Case, Times, Verdict
from tests.chaos.provider import calls_in
from tests.chaos.scene import CROWD, Scene, Tell
from tests.e2e.evidence import Evidence

if TYPE_CHECKING:
    from tests.chaos.faults import Fault

EARLIEST: Final = 0.2
LATEST: Final = 0.7
"""When the fault may strike, in shares of the crowd delivered."""


class Result(Struct, frozen=True, kw_only=True):
    """What is kept of a trial."""

    fault: str
    seed: int
    struck_at: int  # messages delivered by then
    verdict: Verdict
    notes: list[str]
    took_seconds: float

    @property
    def kept(self) -> bool:
        """Everything that was promised."""
        return not self.verdict.wrong


def try_fault(name: str, seed: int, tell: Tell, evidence_dir: Path | None = None) -> Result:
    """What was found wrong is laid out in `evidence_dir`. Raises AssertionError when the scene itself could not be played."""
    fault, begun = FAULTS[name], time.monotonic()
    dice = random.Random(f"{name} {seed}")
    struck_at = round(dice.uniform(EARLIEST, LATEST) * CROWD)
    with TemporaryDirectory(prefix="ninebell-chaos-") as home, Scene(Path(home), fault.stage, dice, tell) as scene:
        scene.until_delivered(struck_at)
        fault.strike(scene)
        scene.until_settled(fault.promise.within)
        tell("judging")
        verdict = _judged(scene, fault, evidence_dir)
    took_seconds = round(time.monotonic() - begun, 1)
    return Result(fault=name, seed=seed, struck_at=struck_at, verdict=verdict, notes=scene.notes, took_seconds=took_seconds)


def _judged(scene: Scene, fault: Fault, evidence_dir: Path | None) -> Verdict:
    died = [f"run {' '.join(program.words[1:])} ended by itself" for program in scene.programs if not program.running]
    audit = scene.site.run("audit", "--json")
    times = Times(due_at=scene.due_at, began=scene.began, ended=scene.ended)
    evidence = Evidence(scene.database.dsn, scene.calls_file, scene.clock.by)
    case = Case(evidence, calls_in(scene.calls_file), times, fault.promise, CROWD)
    verdict = case.verdict(json.loads(audit.printed))
    verdict = msgspec.structs.replace(verdict, wrong=[*verdict.wrong, *died])
    if verdict.wrong and evidence_dir:
        _lay_out(scene, evidence, evidence_dir)
    return verdict


def _lay_out(scene: Scene, evidence: Evidence, directory: Path) -> None:
    """For whoever has to find out: all events, all calls, all that was printed."""
    shutil.rmtree(directory, ignore_errors=True)
    scene.site.copy_printed(directory)
    shutil.copy(scene.calls_file, directory)
    shutil.copy(scene.database.log_file, directory)
    facts = [*evidence.messages, *evidence.dispatches]
    (directory / "events.jsonl").write_bytes(b"".join(msgspec.json.encode(fact) + b"\n" for fact in facts))


def main(name: str, seed: int, file: Path) -> None:
    """The result appears as a whole, or not at all."""
    said = ""

    def tell(what: str) -> None:
        nonlocal said
        if what != said:
            said = what
            print(what, file=sys.__stdout__, flush=True)

    with redirect_stdout(sys.stderr):
        result = try_fault(name, seed, tell, file.parent.parent / f"{name}-{seed}-evidence")
    draft = file.with_suffix(".draft")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    draft.rename(file)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it starts in the background ignore it
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
