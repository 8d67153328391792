"""What did a stream say at an instant, or up to a version?"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import TypeVar

from msgspec import Struct

from application.ports import Recorded
from domain.errors import Unknown
from domain.event import Event

E = TypeVar("E", bound=Event)


class Moment(Struct, frozen=True, kw_only=True):
    """An instant, or a version of the one stream asked for; neither of them is now."""

    at: datetime | None = None
    version: int | None = None


class NotThen(Unknown):
    """There was no such thing then."""


def as_of(history: Sequence[Recorded[E]], moment: Moment) -> Sequence[Recorded[E]]:
    """The events of a stream, which has any, that were recorded by then. Raises NotThen."""
    if moment.version is not None and moment.version > len(history):
        raise NotThen(f"It has come to version {len(history)} only.")
    if moment.version is not None:
        return history[: moment.version]
    if (at := moment.at) is None:
        return history
    told = list(takewhile(lambda recorded: recorded.at <= at, history))
    if not told:
        raise NotThen(f"It was not known by {_instant(at)} yet: its first event is of {_instant(history[0].at)}.")
    return told


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
