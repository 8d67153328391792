"""How does a command measure one part: watched by whoever waits, ended in order, told and written down?"""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from infrastructure.postgres_cluster import PostgresNotStarted
from ops.bench.broker import NoBroker
from ops.bench.processes import ProcessFailed
from ops.bench.report import Result, Tell, show, write

UNREACHABLE: Final = 3


def measured(part: Callable[[Tell], Result], out: Path) -> int:
    """The exit code, once the result is on standard output and in the directory."""
    try:
        with _terminated_in_order(), _telling() as tell:
            result = part(tell)
    except (NoBroker, PostgresNotStarted, ProcessFailed) as error:
        print(error, file=sys.stderr)
        return UNREACHABLE
    show(result)
    print(f"written to {write(result, out)}")
    return 0


@contextmanager
def _telling() -> Iterator[Tell]:
    """A line that says what goes on, with a bar where it is known how much of it is done; nothing where nobody watches."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=None)

        def tell(text: str, /, *share: float) -> None:
            done, of = share or (0, None)
            bar.update(task, description=text, completed=done, total=of)

        yield tell


@contextmanager
def _terminated_in_order() -> Iterator[None]:
    """Told to end, take servers, processes and directories away as well."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
