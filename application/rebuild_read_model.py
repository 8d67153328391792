"""Asking for a read model to be built anew: whoever asks does not build, and learns how it goes."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal, Protocol

from msgspec import Struct

from domain.errors import Conflict, Unknown


class NoReadModel(Unknown):
    """There is no read model of this name. What acts on events, as the planner does, is never built anew."""


class RebuildUnderWay(Conflict):
    """One read model at a time: another is wanted or built, or waits to be swapped in or dropped."""


class Wanted(Struct, frozen=True):
    """Who asked for a rebuild when; `why` it was refused."""

    read_model: str
    state: Literal["waiting", "building", "refused"]
    who: str
    at: datetime
    why: str = ""


class WantedRebuilds(Protocol):
    """What was asked for and is not there yet."""

    def want(self, read_model: str, who: str, now: datetime) -> bool:
        """False, and nothing done, if one is under way. Raises StoreUnavailable."""

    def all(self) -> list[Wanted]:
        """At most one for each read model. Raises StoreUnavailable."""


def rebuild_read_model(read_model: str, known: Collection[str], wanted: WantedRebuilds, who: str, now: datetime) -> Wanted:
    """Raises NoReadModel, RebuildUnderWay, StoreUnavailable."""
    if read_model not in known:
        raise NoReadModel
    if not wanted.want(read_model, who, now):
        raise RebuildUnderWay
    return Wanted(read_model, "waiting", who, now)
