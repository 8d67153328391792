"""Which repetitions of a measurement are made already, of this very code? So one that was stopped goes on where it was."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from shutil import rmtree
from typing import Final

import msgspec

from ops.bench.fingerprint import ROOT, fingerprint_of
from ops.bench.report import Found, Setting

HOME: Final = ROOT / ".make" / "bench"
LAYERS: Final = ("domain", "application", "infrastructure", "projections", "api")
CODE: Final = (*LAYERS, "ops/*.py", "ops/bench/*.py", "ops/bench/peers", "requirements.txt")
NAME_LENGTH: Final = 12
Lines = list[tuple[str, str, float]]
"""Name, unit, value."""


class Kept:
    """The repetitions of one part under the same settings, a file each, until all are made."""

    def __init__(self, part: str, settings: Mapping[str, Setting]) -> None:
        self.part: Final = part
        said = sha256(msgspec.json.encode(settings, order="sorted")).hexdigest()[:NAME_LENGTH]
        self.home: Final = HOME / fingerprint_of(CODE) / f"{part}-{said}"
        """Whatever else is to be kept until then may lie here as well."""

    def once(self, unit: str, measure: Callable[[], Found]) -> Found:
        """What was found before, or is now."""
        file = self.home / f"{unit}.json"
        if file.exists():
            return {(name, of): value for name, of, value in msgspec.json.decode(file.read_bytes(), type=Lines)}
        found = measure()
        self.home.mkdir(parents=True, exist_ok=True)
        whole = file.with_suffix(".part")
        whole.write_bytes(msgspec.json.encode([(*key, value) for key, value in found.items()]))
        whole.replace(file)
        return found

    def forget(self) -> None:
        """All are made and told: the next time is measured afresh."""
        rmtree(self.home, ignore_errors=True)


def repeated(part: str, settings: Mapping[str, Setting], runs: int, measure: Callable[[int], Found]) -> Sequence[Found]:
    """What each run found; `measure` is told which run it is, from 0 on, of those that were not made already."""
    kept = Kept(part, settings)
    found = [kept.once(f"run {run + 1}", lambda run=run: measure(run)) for run in range(runs)]  # type: ignore[misc]
    kept.forget()
    return found
