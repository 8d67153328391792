"""Does a pause hold everything back within moments, in every process, and does all of it go out once when it is resumed?"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import psycopg
import pytest

from tests.e2e.evidence import Evidence
from tests.e2e.people import crowd, this_minute
from tests.e2e.processes import until

pytestmark = pytest.mark.timeout(240)

CROWD = 5_000
CALLS_AT_ONCE = 12  # so few that the work lasts for some seconds


def test_what_is_paused_half_way_waits_untried_and_goes_out_when_resumed(apart, database, data_dir):
    settings = data_dir / "few-calls.toml"
    settings.write_text(f"[channels.sink]\nconcurrency = {CALLS_AT_ONCE}\n")
    apart.environment["NINEBELL_CONFIG"] = str(settings)
    apart.start("run", "sink", "--delay-ms", "40")
    apart.ready(apart.start("run", "api", "planner", "dispatcher"))
    for _ in range(2):
        apart.start("run", "worker").says("running:")
    apart.ask("POST", "/v1/users/import", crowd(CROWD, this_minute()), media="text/csv")
    apart.until_sent(CROWD // 4)
    pausing = apart.run("pause", "--reason", "wrong texts")
    paused_at = datetime.now(UTC)
    assert (pausing.ended(), pausing.printed.partition(" since ")[0]) == (0, "everything is paused")
    until("nothing to be in flight", lambda: in_flight(database) == 0)
    sent = apart.stats()["calls"]
    looks = leaders_bumps(database)
    until("the dispatcher to have had time enough", lambda: leaders_bumps(database) >= looks + 2)
    assert apart.stats()["calls"] == sent < CROWD
    assert apart.ask("GET", "/readyz").body == {"status": "ready", "notes": ["everything is paused"]}

    held = Evidence(database, apart.data_dir / "sink.jsonl")
    last_call_at = max(max(times) for times in held.calls.values())
    print(f"{sent} sent, the last call {(last_call_at - paused_at).total_seconds():.1f} s after the command had ended")
    assert {event.data["reason"] for event in held.named("message.released.v1")} == {"paused"}

    assert apart.run("resume", "--reason", "the texts are right").ended() == 0
    apart.until_sent(CROWD, 120)
    until(
        "the audit to say that all are sent", lambda: json.loads(apart.run("audit", "--json").printed)["total"]["sent"] == CROWD
    )
    evidence = Evidence(database, apart.data_dir / "sink.jsonl")
    assert (evidence.repeated, evidence.doubts, evidence.named("message.failed.v1")) == ({}, [], [])


def in_flight(database: str) -> int:
    return one(database, "SELECT count(*) FROM ninebell.in_flight")


def leaders_bumps(database: str) -> int:
    return one(database, "SELECT counter FROM ninebell.leader_bumps WHERE role = 'dispatcher/europe'")


def one(database: str, query: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])
