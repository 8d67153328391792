"""What became of every occasion of a simulation, when is the next message due, and how is it all written down?"""

import csv
import heapq
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from application.ports import Recorded
from domain.scheduled_message import (
    MessageReinstated,
    MessageRescheduled,
    MessageScheduled,
    ScheduledMessage,
    evolve,
)
from domain.wanted_message import WantedMessage
from infrastructure.event_store import PostgresEventStore
from projections.logged_message import reason_shown

EVENTS_AT_ONCE: Final = 5000
PLANNED: Final = (MessageScheduled, MessageRescheduled, MessageReinstated)


class Row(Struct, frozen=True):
    """A line of the CSV."""

    user: str
    type: str
    occasion: str
    timezone: str
    due_at: str
    sent_at: str
    status: str
    reason: str


class Chronicle:
    """Follows the messages log, and folds it as the aggregate does."""

    def __init__(self, store: PostgresEventStore) -> None:
        self._store = store
        self._position = 0
        self._due: list[datetime] = []
        self.messages: dict[UUID, ScheduledMessage | None] = {}

    def read(self) -> None:
        """Up to the end of the log."""
        more = True
        while more:
            stretch = self._store.read("messages", self._position, EVENTS_AT_ONCE)
            for recorded in stretch.events:
                self._fold(recorded)
            self._position, more = stretch.position, stretch.more

    def next_due(self, after: datetime) -> datetime | None:
        """The next instant at which something is due, as far as the log has been read."""
        while self._due and self._due[0] <= after:
            heapq.heappop(self._due)
        return self._due[0] if self._due else None

    def anything_pending(self, before: date) -> bool:
        """Whether something dated before that date is still to be sent."""
        return any(message and message.pending and message.occasion < before for message in self.messages.values())

    def rows(self, names: Mapping[UUID, str], start: date, end: date) -> list[Row]:
        """One for every occasion dated in [start, end)."""
        found = [message for message in self.messages.values() if message and start <= message.occasion < end]
        return [_row(message, names[message.user_id]) for message in found]

    def _fold(self, recorded: Recorded[Any]) -> None:
        event = recorded.event
        self.messages[recorded.stream_id] = evolve(self.messages.get(recorded.stream_id), event)
        if isinstance(event, PLANNED):
            heapq.heappush(self._due, event.due_at)


def _row(message: ScheduledMessage, user: str) -> Row:
    return Row(
        user=user,
        type=message.message_type,
        occasion=message.occasion.isoformat(),
        timezone=message.timezone,
        due_at=_shown(message.due_at),
        sent_at=_shown(message.sent_at) if message.sent_at else "",
        status=message.status,
        reason=reason_shown(message),
    )


def unsent(wanted: WantedMessage, user: str, reason: str) -> Row:
    """Of an occasion that was never planned."""
    due_at = _shown(wanted.due_at)
    return Row(user, wanted.message_type, wanted.occasion.isoformat(), wanted.timezone, due_at, "", "cancelled", reason)


def _shown(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def in_order(rows: Iterable[Row]) -> list[Row]:
    """As the file has them, whoever wrote them first."""
    return sorted(rows, key=lambda row: (row.due_at, row.user, row.type, row.occasion))


def write_csv(rows: Iterable[Row], out: Path) -> None:
    """Raises OSError."""
    names = Row.__struct_fields__
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([getattr(row, name) for name in names] for row in rows)
