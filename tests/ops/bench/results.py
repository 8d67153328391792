"""What does a reader of a result's file find?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ops.bench.report import show, write

if TYPE_CHECKING:
    from pathlib import Path

    from ops.bench.report import Result


def told(result: Result, directory: Path) -> dict[str, Any]:
    """The result as a reader of its file finds it."""
    show(result)
    found: dict[str, Any] = json.loads(write(result, directory).read_bytes())
    assert found["medians"].keys() == {figure["name"] for figure in found["result"]["figures"]}
    return found
