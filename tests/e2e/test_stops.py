"""Does a worker that is told to stop finish, give back the rest and leave nothing in doubt, however slow its provider is?"""

from __future__ import annotations

import json
import signal

import pytest

from tests.e2e.evidence import Evidence
from tests.e2e.people import crowd, this_minute
from tests.e2e.processes import until

pytestmark = pytest.mark.timeout(240)

CROWD = 300
CALLS_AT_ONCE = 12  # each takes two seconds: what the worker claims at once would last for most of a minute
STOP_SECONDS = 30


def test_a_worker_with_a_slow_provider_gives_back_in_time_what_it_cannot_finish(apart, database, data_dir):
    settings = data_dir / "slow.toml"
    settings.write_text(f"[channels.sink]\nconcurrency = {CALLS_AT_ONCE}\ncall_timeout_seconds = 25\n")
    apart.environment |= {"NINEBELL_CONFIG": str(settings), "NINEBELL_LEASE_SECONDS": "40"}
    slow = apart.start("run", "sink", "--delay-ms", "2000")
    apart.ready(apart.start("run", "api", "planner", "dispatcher"))
    worker = apart.start("run", "worker").says("running:")
    apart.ask("POST", "/v1/users/import", crowd(CROWD, this_minute()), media="text/csv")
    apart.until_sent(CALLS_AT_ONCE)
    assert worker.signal(signal.SIGTERM, STOP_SECONDS) == 0

    stopped = Evidence(database, apart.data_dir / "sink.jsonl")
    assert len(stopped.named("message.sent.v1")) == len(stopped.calls) < CROWD
    assert stopped.named("message.released.v1")
    assert stopped.doubts == []

    slow.kill()
    apart.start("run", "sink")
    apart.start("run", "worker")
    until(
        "the audit to say that all are sent", lambda: json.loads(apart.run("audit", "--json").printed)["total"]["sent"] == CROWD
    )
    evidence = Evidence(database, apart.data_dir / "sink.jsonl")
    assert len(evidence.calls) == CROWD
    assert evidence.repeated == {}
