"""What every measurement needs, and that it leaves nothing behind."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import psutil
import pytest

from ops.bench import kept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Broker


@pytest.fixture(autouse=True)
def nothing_is_left(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of its own for what is temporary, and no new child, once a measurement is over."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(kept, "HOME", tmp_path / "kept")
    (tmp_path / "temporary").mkdir()
    before = {child.pid for child in psutil.Process().children()}  # what the broker starts for itself comes and goes below it
    yield tmp_path
    assert list((tmp_path / "temporary").iterdir()) == []
    assert {child.pid for child in psutil.Process().children()} <= before
