"""Redrive what a filter finds: page by page, and spread so that no more fall due in a minute than the provider should get."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from msgspec import Struct

from application.planner_ports import PlannerWork
from application.ports import Begin, Clock, Origin, Position
from application.redrive_messages import Redrive, first_due, redrive_messages
from domain.errors import Invalid, Problem
from domain.message_type import MessageTypes

USUAL_PER_MINUTE: Final = 6_000
MOST_PER_MINUTE: Final = 1_000_000
_A_MINUTE: Final = timedelta(minutes=1)


class FoundRedriven(Struct, frozen=True):
    """What came of it; `refused` counts by the reason why a message stays as it is."""

    redriven: int
    refused: dict[str, int]
    last_due_at: datetime | None
    position: Position


def redrive_found(
    pages: Iterable[Sequence[UUID]],
    how: Redrive,
    per_minute: int,
    begin: Begin[PlannerWork],
    types: MessageTypes,
    origin: Origin,
    clock: Clock,
    progress: Callable[[int, int], None],
) -> FoundRedriven:
    """`progress` is told after each page how many were redriven so far, and how many looked at.

    Each page is a transaction, so that what a broken off run has done is done; again, it finds the rest. Raises Invalid.
    """
    if not 1 <= per_minute <= MOST_PER_MINUTE:
        raise Invalid([Problem("per_minute", f"must be from 1 to {MOST_PER_MINUTE}")])
    start = first_due(how, clock.now())
    redriven = looked_at = 0
    refused: Counter[str] = Counter()
    last_due_at, position = None, Position()
    for page in pages:
        # The same step between any two, so that no stretch of a minute has more, wherever it begins.
        due = {message_id: start + _A_MINUTE * (looked_at + place) / per_minute for place, message_id in enumerate(page)}
        done = redrive_messages(due, how, begin, types, origin, clock.now())
        looked_at += len(page)
        redriven += len(due) - len(done.refused)
        refused.update(why(refusal) for refusal in done.refused.values())
        last_due_at = max((due[each] for each in due.keys() - done.refused.keys()), default=last_due_at)
        position = done.position if len(due) > len(done.refused) else position
        progress(redriven, looked_at)
    return FoundRedriven(redriven, dict(refused), last_due_at, position)


def why(refusal: Exception) -> str:
    """A refusal in one line."""
    return str(refusal) or (type(refusal).__doc__ or "").partition("\n")[0]
