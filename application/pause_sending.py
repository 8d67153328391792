"""Pause and resume: which channels and message types is nothing to be sent of for now, because somebody said so?"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from domain.errors import Invalid, Problem, Unknown

EVERYTHING: Final = ""
LONGEST_REASON: Final = 500

PausedNames = Collection[str]
"""Of channels and of message types; EVERYTHING for all of them."""


class Pause(Struct, frozen=True):
    """Nothing of `name`, a channel or a message type, is sent until it is resumed."""

    name: str
    who: str
    reason: str
    at: datetime


class PastPause(Pause, frozen=True):
    """One that may have ended."""

    resumed_at: datetime | None = None


class NothingOfThatName(Unknown):
    """Neither a channel nor a message type; or, to be resumed, nothing that is paused."""


class Pauses(Protocol):
    """Every pause there ever was, and its end. Every method may raise StoreUnavailable."""

    def open(self) -> list[Pause]:
        """Those that last, the oldest first."""

    def begin(self, pause: Pause) -> bool:
        """False where its name is paused already: that pause stands."""

    def end(self, pause: Pause) -> bool:
        """What is paused under this name is resumed, by whom and why `pause` says; False where nothing is."""


class WatchedPauses(Protocol):
    """What a worker knows of the pauses, without waiting for the store at every call."""

    async def current(self) -> PausedNames:
        """As it was a second or two ago, at the most, wherever the store answers."""


class NeverPaused:
    """Where nobody pauses anything."""

    async def current(self) -> PausedNames:
        return ()


def is_paused(paused: PausedNames, channel: str, message_types: Iterable[str] = ()) -> bool:
    """Whether the channel, or any of these types, must wait."""
    return bool(paused) and (EVERYTHING in paused or channel in paused or any(one in paused for one in message_types))


def pause_sending(pause: Pause, known: Collection[str], pauses: Pauses) -> bool:
    """False if it is paused already. `known`: channels and types. Raises NothingOfThatName, Invalid."""
    if pause.name != EVERYTHING and pause.name not in known:
        raise NothingOfThatName(f"{pause.name} is neither a channel nor a message type; there are: {', '.join(sorted(known))}")
    reason = pause.reason.strip()
    if not reason or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise Invalid([Problem("reason", f"must be a line of 1 to {LONGEST_REASON} characters")])
    return pauses.begin(replace(pause, reason=reason))


def resume_sending(pause: Pause, pauses: Pauses) -> None:
    """What other pauses cover goes on waiting. Raises NothingOfThatName."""
    if not pauses.end(pause):
        raise NothingOfThatName(f"{pause.name or 'everything'} is not paused")
