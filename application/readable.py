"""Which streams can be read and kept, where one that can't must not hold up the rest?"""

from collections.abc import Callable, Iterable
from typing import TypeVar
from uuid import UUID

from application.ports import BrokenStreams, Stream

S = TypeVar("S")


def readable(load: Callable[[Iterable[UUID]], dict[UUID, Stream[S]]], ids: Iterable[UUID]) -> dict[UUID, Stream[S]]:
    """Those of the streams that `load` can read, in the order asked for; a process manager's own loads park the others."""
    wanted = dict.fromkeys(ids)
    while wanted:
        try:
            return load(wanted)
        except BrokenStreams as broken:
            wanted = dict.fromkeys(stream_id for stream_id in wanted if stream_id not in broken.stream_ids)
    return {}


def storable(*texts: str) -> None:
    """Raises ValueError where PostgreSQL can't keep one of these in a column: a single such row would fail its whole page."""
    if any("\x00" in text for text in texts):
        raise ValueError("U+0000 in a text")


def kind_of(error: Exception) -> str:
    """An error by its kind alone, as its text may quote a person's data."""
    return type(error).__name__
