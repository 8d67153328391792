"""Does the judge find what is wrong, each kind of it?"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.judge import Case, Promise, Times, Verdict
from tests.chaos.provider import Call
from tests.e2e.evidence import Evidence, Fact

DUE = datetime(2027, 5, 15, 9, tzinfo=UTC)
TIMES = Times(due_at=DUE, began=DUE + timedelta(seconds=10), ended=DUE + timedelta(seconds=20))
CLAIMED = Promise(doubt="claimed")
BALANCED: dict[str, Any] = {"balanced": True, "total": {"scheduled": 1, "sent": 1}}


def at(seconds: float) -> datetime:
    return DUE + timedelta(seconds=seconds)


def fact(name: str, seconds: float, **data: Any) -> Fact:
    return Fact("m1", f"message.{name}.v1", data, at(seconds))


def call(seconds: float, *, key: str = "m1", channel: str = "keyed", refused: bool = False, taken: bool = True) -> Call:
    return Call(at(seconds), key, channel, "ada@example.org", "BIRTHDAY", refused, taken)


class Told(Evidence):
    """Of one message, m1, and of one dispatch, d1, claimed and finished at these seconds."""

    def __init__(self, facts: list[Fact], calls: list[Call], claimed: float, finished: float | None) -> None:
        self._clock_step = timedelta()
        self.messages, self.dispatches = facts, []
        self.claims = {"d1": at(claimed)}
        self.ends = {} if finished is None else {"d1": at(finished)}
        self.doubts = self.named("message.in_doubt.v1")
        self.calls = defaultdict(list)
        for one in calls:
            if not one.refused:
                self.calls[one.idempotency_key].append(one.received_at)


def judged(
    facts: list[Fact],
    calls: list[Call],
    promise: Promise = CLAIMED,
    *,
    claimed: float = 11,
    finished: float | None = 12,
    audit: dict[str, Any] = BALANCED,
    expected: int = 1,
) -> Verdict:
    return Case(Told(facts, calls, claimed, finished), calls, TIMES, promise, expected).verdict(audit)


PLANNED = fact("scheduled", -5)
SENT = fact("sent", 25)
DOUBT = fact("in_doubt", 15, dispatch_id="d1", channel="keyed")


def test_what_was_taken_once_and_recorded_as_sent_is_well():
    verdict = judged([PLANNED, SENT], [call(24)])
    assert verdict == Verdict(lost=0, duplicate=0, repeats=0, in_doubt=0, abandoned=0, recovery_seconds=5.0, wrong=[])


def test_a_repeat_that_the_provider_knows_is_well_after_a_doubt():
    verdict = judged([PLANNED, DOUBT, SENT], [call(14), call(24, taken=False)])
    assert (verdict.wrong, verdict.repeats) == ([], 1)


def test_a_call_that_was_refused_may_be_made_again():
    failed = fact("failed", 14, retry_at=at(90).isoformat())
    sent = fact("sent", 95)
    calls = [call(13, channel="plain", refused=True, taken=False), call(94, channel="plain")]
    assert judged([PLANNED, failed, sent], calls).wrong == []


PENDING: dict[str, Any] = {"balanced": True, "total": {"scheduled": 1, "sent": 0}}


@pytest.mark.parametrize(
    ("facts", "calls", "told", "wrong"),
    [
        ([PLANNED], [], {"audit": PENDING}, "1 lost"),
        ([PLANNED, SENT], [call(24, taken=False)], {}, "1 lost"),
        ([PLANNED, SENT], [call(24), call(24, key="m2")], {}, "1 delivered or called twice"),
        ([PLANNED, DOUBT, SENT], [call(14, channel="plain"), call(24, channel="plain")], {}, "1 delivered or called twice"),
        ([PLANNED, SENT], [call(14), call(24, taken=False)], {}, "1 called again without a doubt"),
        ([PLANNED, fact("sent", 81)], [call(80)], {}, "1 sent too late"),
        ([PLANNED, SENT], [call(-1)], {}, "1 called before it was due"),
        ([PLANNED, DOUBT, SENT], [call(14), call(24, taken=False)], {"promise": Promise()}, "1 put in doubt"),
        ([PLANNED, DOUBT, SENT], [call(14), call(24, taken=False)], {"claimed": 21}, "1 put in doubt"),
        ([PLANNED, DOUBT, SENT], [call(14), call(24, taken=False)], {"claimed": 8, "finished": 9}, "1 put in doubt"),
        ([PLANNED, fact("abandoned", 25)], [], {"audit": PENDING}, "1 abandoned"),
        ([PLANNED, SENT], [call(24)], {"expected": 2}, "1 messages were never planned"),
        ([PLANNED, SENT], [call(24)], {"audit": {**BALANCED, "balanced": False, "differences": []}}, "does not add up"),
        ([PLANNED, SENT], [call(24)], {"audit": PENDING}, "the audit counts 1 scheduled, 0 sent"),
    ],
)
def test_what_is_wrong_is_named(facts: list[Fact], calls: list[Call], told: dict[str, Any], wrong: str):
    (found,) = judged(facts, calls, **told).wrong
    assert wrong in found
