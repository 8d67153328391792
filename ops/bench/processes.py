"""How are Ninebell's processes run for a benchmark, and what did each of them cost?"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

ROOT: Final = Path(__file__).parents[2]
PATIENCE_SECONDS: Final = 60.0
STOP_SECONDS: Final = 15.0
LOOK_SECONDS: Final = 0.05
BETWEEN_LOOKS_SECONDS: Final = 0.2
PATH: Final = os.defpath


def ninebell(*words: str) -> tuple[str, ...]:
    """A `ninebell` command."""
    return module("ops.cli", *words)


def module(name: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *words)


class ProcessFailed(Exception):
    """A process ended, or did not do in time what it was waited for; with its last words."""


class Process:
    """One command beside us."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], printed: Path) -> None:
        self.name = name
        self._printed = printed
        with printed.open("wb") as out:
            self._child = subprocess.Popen(
                command,
                env={"PATH": PATH, **environment},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def until_it_says(self, text: str) -> None:
        """Raises ProcessFailed."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.printed():
            self.check()
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{self.name} did not say {text!r}: {self._last_words()}")
            time.sleep(LOOK_SECONDS)

    def check(self) -> None:
        """Raises ProcessFailed if it has ended."""
        if self._child.poll() is not None:
            raise ProcessFailed(f"{self.name} ended with code {self._child.returncode}: {self._last_words()}")

    def wait(self) -> None:
        """Until it ends by itself. Raises ProcessFailed if it ends badly."""
        if self._child.wait():
            self.check()

    def ask_to_stop(self) -> None:
        self._child.terminate()

    def stop(self) -> None:
        """In good order if it can."""
        self._child.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(STOP_SECONDS)
        self._child.kill()
        self._child.wait()

    def printed(self) -> str:
        """So far."""
        return self._printed.read_text(errors="replace")

    def _last_words(self) -> str:
        return self.printed()[-1000:]


@contextmanager
def running(commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], printed: Path) -> Iterator[list[Process]]:
    """Name → command. All have ended afterwards."""
    printed.mkdir(parents=True, exist_ok=True)
    processes: list[Process] = []
    try:
        for name, command in commands.items():
            file = printed / f"{name}.txt".replace(" ", "-")
            processes.append(Process(name, command, environment, file))
        yield processes
    finally:
        for process in processes:
            process.ask_to_stop()
        for process in processes:
            process.stop()


def until(done: Callable[[], bool], processes: Sequence[Process] = (), patience_seconds: float = 300.0) -> None:
    """Looks now and then, as long as all of these run. Raises ProcessFailed."""
    deadline = time.monotonic() + patience_seconds
    while not done():
        for process in processes:
            process.check()
        if time.monotonic() > deadline:
            raise ProcessFailed(f"it was not done within {patience_seconds:.0f} s")
        time.sleep(BETWEEN_LOOKS_SECONDS)


def cpu_of(pids: Mapping[str, int]) -> dict[str, float]:
    """Seconds that each has used so far."""
    return {name: cpu_seconds(pid) for name, pid in pids.items()}


def cpu_seconds(pid: int) -> float:
    """Used so far by a process and all its children, those that have ended included."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        used = process.cpu_times()
        total += used.user + used.system + used.children_user + used.children_system
        for child in process.children():
            total += cpu_seconds(child.pid)
    return total
