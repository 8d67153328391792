"""Does a provider never see more than it takes, whoever calls it and whatever was stopped meanwhile? Judged by its own record."""

from __future__ import annotations

import signal
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.e2e.evidence import Evidence
from tests.e2e.people import crowd, this_minute
from tests.e2e.processes import until

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.timeout(240)

MESSAGES, MOST, PER = 400, 60, timedelta(seconds=4)
FROZEN_SECONDS = 6  # no lease ends meanwhile, so that nothing is called again
SETTINGS = f"""\
[channels.sink]
concurrency = 20
rate = {{calls = {MOST}, per = "{PER.seconds}s"}}
"""


def test_two_workers_and_two_dispatchers_keep_one_limit_through_every_stop(apart, database, broker, data_dir):
    (data_dir / "limits.toml").write_text(SETTINGS)
    apart.environment["NINEBELL_CONFIG"] = str(data_dir / "limits.toml")
    apart.start("run", "sink")
    for roles in (("api", "projections", "planner", "dispatcher"), ("dispatcher",)):
        apart.start("run", *roles).says("running:")
    frozen, other = (apart.start("run", "worker").says("running:") for _ in range(2))
    apart.ask("POST", "/v1/users/import", crowd(MESSAGES, this_minute()), media="text/csv")

    apart.until_sent(80)
    frozen.send(signal.SIGSTOP)
    time.sleep(FROZEN_SECONDS)  # at times all that may be sent meanwhile is with it
    frozen.send(signal.SIGCONT)
    apart.until_sent(140)
    broker.kill()
    other.says("Reconnecting after")
    broker.start()
    apart.until_sent(MESSAGES, 120)
    assert frozen.running
    assert other.running

    until("the last outcome", lambda: len(Evidence(database, apart.data_dir / "sink.jsonl").named("message.sent.v1")) == MESSAGES)
    evidence = Evidence(database, apart.data_dir / "sink.jsonl")
    assert (len(evidence.calls), evidence.repeated) == (MESSAGES, {})
    calls = sorted(at for times in evidence.calls.values() for at in times)
    print(
        f"at most {most_within(PER, calls)} calls within {PER.seconds} s; all in {(calls[-1] - calls[0]).total_seconds():.0f} s"
    )
    assert most_within(PER, calls) <= MOST
    assert len({evidence.claimant[sent.data["dispatch_id"]] for sent in evidence.named("message.sent.v1")}) == 2


def most_within(window: timedelta, instants: Sequence[datetime]) -> int:
    """The largest number of them in any window [t, t + window)."""
    first, most = 0, 0
    for last, instant in enumerate(instants):
        while instants[first] <= instant - window:
            first += 1
        most = max(most, last - first + 1)
    return most
