"""Which streams can be read, where one that can't must not hold up the rest?"""

from collections.abc import Callable, Iterable
from typing import TypeVar
from uuid import UUID

from application.ports import BrokenStreams, Stream

S = TypeVar("S")


def readable(load: Callable[[Iterable[UUID]], dict[UUID, Stream[S]]], ids: Iterable[UUID]) -> dict[UUID, Stream[S]]:
    """Those of the streams that `load` can read; a process manager's own loads park the others."""
    wanted = set(ids)
    while wanted:
        try:
            return load(wanted)
        except BrokenStreams as broken:
            wanted -= broken.stream_ids
    return {}


def kind_of(error: Exception) -> str:
    """An error by its kind alone, as its text may quote a person's data."""
    return type(error).__name__
