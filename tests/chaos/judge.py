"""Has everything been kept that was promised? The events, the provider's calls and the audit, put side by side."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

from tests.chaos.outcomes import DOUBT, SENT, SILENT
from tests.chaos.provider import DEDUPLICATES, Call

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.e2e.evidence import Evidence, Fact

SHOWN: Final = 5  # of messages that are not as promised


class Promise(Struct, frozen=True):
    """What holds for one fault, beyond what always holds."""

    within: timedelta = timedelta(seconds=60)  # of the fault's end, of a message's own retry, or of its planning
    doubt: Literal["none", "claimed", "restored"] = "none"  # who may be put in doubt
    may_abandon: bool = False


class Times(Struct, frozen=True):
    due_at: datetime
    began: datetime
    ended: datetime


class Verdict(Struct, frozen=True, kw_only=True):
    """The row of the table, and what was found wrong."""

    lost: int
    duplicate: int
    repeats: int  # calls with a key that the provider had taken and took no second time: harmless
    in_doubt: int
    abandoned: int
    recovery_seconds: float
    wrong: list[str]


class Case:
    """One run's evidence."""

    def __init__(self, evidence: Evidence, calls: Iterable[Call], times: Times, promise: Promise, expected: int) -> None:
        self.evidence, self.times, self.promise, self.expected = evidence, times, promise, expected
        self.calls = list(calls)
        self.streams: defaultdict[str, list[Fact]] = defaultdict(list)
        for fact in evidence.messages:
            if fact.name not in SILENT:
                self.streams[fact.stream_id].append(fact)
        self.taken = {call.idempotency_key for call in self.calls if call.taken}

    def verdict(self, audit: dict[str, Any]) -> Verdict:
        doubted = [facts[-1] for facts in self.streams.values() if facts[-1].name == DOUBT]
        abandoned = [id_ for id_, facts in self.streams.items() if facts[-1].name == "message.abandoned.v1"]
        lost, duplicate = self.lost(), [*self.delivered_twice(), *self.called_twice()]
        wrong = [
            *_named("lost", lost),
            *_named("delivered or called twice", duplicate),
            *_named("called again without a doubt on record", self.unexplained()),
            *_named("sent too late", self.late()),
            *_named("put in doubt without a claim at the fault", self.needlessly_doubted()),
            *_named("called before it was due", self.early()),
            *_named("abandoned", [] if self.promise.may_abandon else abandoned),
            *self.audited(audit),
        ]
        missing = self.expected - len(self.streams)
        return Verdict(
            lost=len(lost) + max(0, missing),
            duplicate=len(duplicate),
            repeats=sum(len(times) - 1 for times in self.evidence.repeated.values()) - len(self.called_twice()),
            in_doubt=len(doubted),
            abandoned=len(abandoned),
            recovery_seconds=self.recovery().total_seconds(),
            wrong=[f"{missing} messages were never planned", *wrong] if missing else wrong,
        )

    def recovery(self) -> timedelta:
        """From the end of the fault until the last message was recorded as sent."""
        return (
            max([self.times.ended, *(facts[-1].at for facts in self.streams.values() if facts[-1].name in SENT)])
            - self.times.ended
        )

    def lost(self) -> list[str]:
        """Neither delivered, nor given up, nor in doubt; or recorded as sent and never taken by the provider."""
        settled = {DOUBT, "message.abandoned.v1"}
        return [
            f"{id_} ({_story(facts)})"
            for id_, facts in self.streams.items()
            if not (facts[-1].name in settled or (facts[-1].name in SENT and id_ in self.taken))
        ]

    def delivered_twice(self) -> list[str]:
        """To the same person for the same reason under several keys."""
        times = Counter(
            (email, type_) for email, type_, _ in {(c.email, c.type, c.idempotency_key) for c in self.calls if c.taken}
        )
        return [f"{type_} to {email}: {count}" for (email, type_), count in times.items() if count > 1]

    def called_twice(self) -> list[str]:
        """Where the provider can't tell a repeat, and had not refused the earlier call."""
        times = Counter(call.idempotency_key for call in self.calls if call.channel != DEDUPLICATES and not call.refused)
        return [self._told(id_) for id_, count in times.items() if count > 1]

    def unexplained(self) -> list[str]:
        return [self._told(id_) for id_ in self.evidence.repeats_without_doubt_before()]

    def early(self) -> list[str]:
        return [call.idempotency_key for call in self.calls if call.received_at < self.times.due_at]

    def late(self) -> list[str]:
        """Sent longer after what it had to wait for than is promised."""
        return [
            f"{id_} by {(facts[-1].at - waited).total_seconds() - self.promise.within.total_seconds():.1f} s ({_story(facts)})"
            for id_, facts in self.streams.items()
            if facts[-1].name in SENT and facts[-1].at > (waited := self._waited_for(facts)) + self.promise.within
        ]

    def needlessly_doubted(self) -> list[str]:
        """Not for a dispatch that was claimed while the fault lasted; also where the doubt has been cleared up since."""
        if self.promise.doubt == "restored":
            return []
        return [
            self._told(fact.stream_id)
            for fact in self.evidence.doubts
            if self.promise.doubt == "none" or not self._claimed_at_the_fault(fact.data["dispatch_id"])
        ]

    def audited(self, audit: dict[str, Any]) -> list[str]:
        total = audit["total"]
        wrong = [] if audit["balanced"] else [f"the audit does not add up: {audit['differences']}"]
        sent = sum(facts[-1].name in SENT for facts in self.streams.values())
        if (total["scheduled"], total["sent"]) != (len(self.streams), sent):
            wrong.append(
                f"the audit counts {total['scheduled']} scheduled, {total['sent']} sent, not {len(self.streams)}, {sent}"
            )
        return wrong

    def _waited_for(self, facts: Sequence[Fact]) -> datetime:
        retries = [fact.data["retry_at"] for fact in facts if fact.name == "message.failed.v1"]
        return max(self.times.ended, facts[0].at, *(self.evidence.right(datetime.fromisoformat(at)) for at in retries))

    def _claimed_at_the_fault(self, dispatch_id: str | None) -> bool:
        if dispatch_id not in self.evidence.claims:
            return False
        claimed, ended = self.evidence.claims[dispatch_id], self.evidence.ends.get(dispatch_id)
        return claimed <= self.times.ended and (ended is None or ended >= self.times.began)

    def _told(self, id_: str) -> str:
        called = ", ".join(f"{call.received_at:%T.%f}"[:-3] for call in self.calls if call.idempotency_key == id_)
        return f"{id_} ({_story(self.streams[id_])}; called {called})"


def _named(what: str, found: Sequence[str]) -> list[str]:
    """One line, with the first few of them."""
    return [f"{len(found)} {what}: " + "; ".join(found[:SHOWN])] if found else []


def _story(facts: Sequence[Fact]) -> str:
    return ", ".join(f"{fact.name.split('.')[1]} {fact.at:%T.%f}"[:-3] for fact in facts)
