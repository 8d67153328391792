"""Audit: does every message ever scheduled have its outcome, or is it still to be sent?"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from domain.scheduled_message import PENDING, Status

DayStatus = tuple[date, Status]
MOST_DIFFERENCES: Final = 20


class Evidence(Struct, frozen=True):
    """What the message log and its read model said at one and the same instant. Days are those of the occasions."""

    scheduled: Mapping[date, int]  # streams that begin by being scheduled
    standing: Mapping[DayStatus, int]  # streams by where their last event led
    faults: tuple[str, ...]  # streams that can't be right, and why
    followed: Mapping[DayStatus, int]  # `standing` as far as the read model has read
    shown: Mapping[DayStatus, int] | None  # its rows; None when there is no read model yet


class Sum(Struct, frozen=True, kw_only=True):
    """scheduled = sent + cancelled + expired + abandoned + in_doubt + pending, or something is wrong."""

    day: date | UnsetType = UNSET  # of the occasions; the total has none
    scheduled: int
    sent: int
    cancelled: int
    expired: int
    abandoned: int
    in_doubt: int
    pending: int  # scheduled, requested or retrying

    @property
    def balanced(self) -> bool:
        """Whether both sides of the equation are the same."""
        outcomes = self.sent + self.cancelled + self.expired + self.abandoned + self.in_doubt
        return self.scheduled == outcomes + self.pending


class Audit(Struct, frozen=True):
    """The sums, and everything that contradicts them."""

    balanced: bool
    total: Sum
    days: list[Sum]
    differences: list[str]


def audit_messages(evidence: Evidence) -> Audit:
    """Add up, day by day. Whatever does not fit is named, the first MOST_DIFFERENCES of it."""
    days = [_sum(evidence, [day], day) for day in sorted(evidence.scheduled.keys() | {day for day, _ in evidence.standing})]
    differences = [
        *evidence.faults,
        *(
            f"{day.day}: {day.scheduled} scheduled, but the outcomes and what is pending are not so many"
            for day in days
            if not day.balanced
        ),
        *_contradictions(evidence),
    ]
    total = _sum(evidence, [day.day for day in days if day.day])
    return Audit(not differences, total, days, differences[:MOST_DIFFERENCES])


def _sum(evidence: Evidence, days: Iterable[date], day: date | UnsetType = UNSET) -> Sum:
    wanted = list(days)

    def count(*statuses: Status) -> int:
        return sum(evidence.standing.get((each, status), 0) for each in wanted for status in statuses)

    return Sum(
        day=day,
        scheduled=sum(evidence.scheduled.get(each, 0) for each in wanted),
        sent=count("sent"),
        cancelled=count("cancelled"),
        expired=count("expired"),
        abandoned=count("abandoned"),
        in_doubt=count("in_doubt"),
        pending=count(*PENDING),
    )


def _contradictions(evidence: Evidence) -> list[str]:
    if evidence.shown is None:
        return []
    followed, shown = evidence.followed, evidence.shown
    return [
        f"{day}: the events say {followed.get((day, status), 0)} {status}, message_log {shown.get((day, status), 0)}"
        for day, status in sorted(followed.keys() | shown.keys())
        if followed.get((day, status), 0) != shown.get((day, status), 0)
    ]
