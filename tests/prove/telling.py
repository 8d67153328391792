"""How does who waits for a proof see how far it is?"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

A_LINE_EACH: Final = 0.05

Tell = Callable[[float], None]
"""Takes how many units were done since the last time; a part of one counts as such."""


@contextmanager
def telling(what: str, *, done: int, of: int) -> Iterator[Tell]:
    """A bar on a terminal; elsewhere a line for each twentieth."""
    console = Console(file=sys.stderr)  # this one, whatever is redirected meanwhile
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.1f}/{task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(what, total=of, completed=done)
        so_far = told = float(done)

        def tell(more: float) -> None:
            nonlocal so_far, told
            so_far += more
            bars.advance(task, more)
            if not console.is_terminal and so_far - told >= A_LINE_EACH * of:
                told = so_far
                print(f"{what}: {so_far:.1f} of {of}", file=console.file, flush=True)

        yield tell
