"""On which state of this repository was something tried?"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT: Final = Path(__file__).parents[2]


def fingerprint_of(parts: Iterable[str], *others: str, root: Path = ROOT) -> str:
    """Changes with every file of these directories and files (patterns too), and with whatever else matters."""
    found = hashlib.sha256()
    for path in sorted({file for part in parts for file in _files(root, part)}):
        content = path.read_bytes()
        found.update(f"{path.relative_to(root)} {len(content)}\n".encode() + content)
    for other in others:
        found.update(f"{other}\n".encode())
    return found.hexdigest()[:16]


def _files(root: Path, part: str) -> Iterator[Path]:
    for path in root.glob(part):
        if path.is_dir():
            yield from (file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
        else:
            yield path
