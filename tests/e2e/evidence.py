"""What do the events and the sink's calls, put side by side, say about messages that were sent more than once?"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path


class Fact(Struct, frozen=True):
    """One stored event."""

    stream_id: str
    name: str
    data: dict[str, Any]
    at: datetime


class Evidence:
    """Read once, when all is over."""

    def __init__(self, dsn: str, sink_file: Path, clock_step: timedelta = timedelta()) -> None:
        """`clock_step`: how far the installation's clock was put wrong for a part of the time, which is then taken back here."""
        self.calls: defaultdict[str, list[datetime]] = defaultdict(list)
        for line in sink_file.read_text().splitlines():
            call = json.loads(line)
            if not call.get("refused"):  # a caller who was told that is free to call again
                self.calls[call["idempotency_key"]].append(datetime.fromisoformat(call["received_at"]))
        self._clock_step = clock_step
        self.messages, self.dispatches = self._facts(dsn, "messages"), self._facts(dsn, "dispatches")
        self.claims = {fact.stream_id: fact.at for fact in self.dispatches if fact.name == "dispatch.started.v1"}
        self.ends = {fact.stream_id: fact.at for fact in self.dispatches if fact.name == "dispatch.finished.v1"}
        self.claimant = {fact.stream_id: fact.data["worker"] for fact in self.dispatches if fact.name == "dispatch.started.v1"}
        self.doubts = self.named("message.in_doubt.v1")

    @property
    def repeated(self) -> dict[str, list[datetime]]:
        """Message → when it was called for, of those called for more than once."""
        return {key: times for key, times in self.calls.items() if len(times) > 1}

    def named(self, name: str) -> list[Fact]:
        """The messages' events of this stored name."""
        return [fact for fact in self.messages if fact.name == name]

    def first_call_at(self) -> datetime:
        """When the sink was first called."""
        return min(min(times) for times in self.calls.values())

    def last_sent_at(self) -> datetime:
        """When the last message was recorded as sent."""
        return max(fact.at for fact in self.named("message.sent.v1"))

    def doubted_workers(self) -> set[str]:
        """The workers whose claims were put in doubt."""
        return {self.claimant[fact.data["dispatch_id"]] for fact in self.doubts}

    def told(self, killed_at: datetime) -> str:
        """In figures, for whoever reads the test's output."""
        recovery = (self.last_sent_at() - killed_at).total_seconds()
        return (
            f"{len(self.calls)} keys, {len(self.repeated)} repeated, {len(self.doubts)} doubts,"
            f" the last one sent {recovery:.1f} s after the kill"
        )

    def repeats_without_doubt_before(self) -> list[str]:
        """Messages with more calls than there had been doubts about them, plus the first; none, if all is well."""
        doubted_at: defaultdict[str, list[datetime]] = defaultdict(list)
        for doubt in self.doubts:
            doubted_at[doubt.stream_id].append(doubt.at)
        return [
            key
            for key, called_at in self.repeated.items()
            for earlier, at in enumerate(sorted(called_at))
            if sum(doubted < at for doubted in doubted_at[key]) < earlier
        ]

    def _facts(self, dsn: str, log: str) -> list[Fact]:
        query = (
            "SELECT originator_id::text, topic, convert_from(state, 'utf8')::jsonb -> 'event', recorded_at"
            f" FROM ninebell.{log} ORDER BY notification_id"
        )
        with psycopg.connect(dsn) as connection:
            return [Fact(id_, name, data, self.right(at)) for id_, name, data, at in connection.execute(query)]

    def right(self, at: datetime) -> datetime:
        """The instant at which a clock that may have been put wrong showed this: all that happens does within minutes."""
        if not self._clock_step:
            return at
        return at - round((at - self.first_call_at()) / self._clock_step) * self._clock_step
