"""How far has a long command come, for whoever watches?"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


@contextmanager
def watched(label: str = "") -> Iterator[Callable[[str, int, int], None]]:
    """A bar that is told what is being done, how much of it was, and how much there is."""
    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()]
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"{label} looking".strip(), total=None)
        yield lambda what, done, of: bar.update(task, description=f"{label} {what}".strip(), completed=done, total=of)
