"""Which message types can't be planned for these people, because the type's own code fails on them?"""

import logging
from collections.abc import Iterable
from datetime import date
from typing import Final
from uuid import UUID

from application.planner_ports import ParkedType
from domain.message_type import TypeFailed

log: Final = logging.getLogger(__name__)
Pair = tuple[UUID, str]
"""User ID and message type."""


class ParkedTypes:
    """What failed before, and what fails now. A failure is told once, for operators to see; the table keeps it."""

    def __init__(self, before: Iterable[ParkedType]) -> None:
        self._before: dict[Pair, ParkedType] = {(row.user_id, row.message_type): row for row in before}
        self._now: dict[Pair, ParkedType] = {}

    def since(self, user_id: UUID, message_type: str) -> date | None:
        """From when on nothing was planned of a type that failed before; None for one that did not."""
        row = self._before.get((user_id, message_type)) if self._before else None
        return row.first if row else None

    def park(self, user_id: UUID, first: date, failure: TypeFailed) -> None:
        """Nothing dated from `first` on could be planned."""
        pair = (user_id, failure.message_type)
        self._now[pair] = ParkedType(user_id, failure.message_type, first, failure.error)
        if pair not in self._before:
            log.error("message type %s failed on user %s: %s", failure.message_type, user_id, failure.error)

    @property
    def pairs(self) -> frozenset[Pair]:
        return frozenset(self._now)

    @property
    def rows(self) -> list[ParkedType]:
        return list(self._now.values())

    @property
    def changed(self) -> bool:
        return self._now != self._before
