"""Do workers come with a burst and go after it, are they made good when killed, and does none outlive its supervisor?"""

from __future__ import annotations

import json
import signal
import urllib.request
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.e2e.evidence import Evidence
from tests.e2e.people import crowd, next_minute, this_minute
from tests.e2e.processes import KEY, until
from tests.servers import free_port

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tests.e2e.processes import Program, Site

pytestmark = pytest.mark.timeout(240)

CROWD = 5_000
CALLS_AT_ONCE = 12  # so few that the work lasts for some seconds
CALM_TWICE_SECONDS = 100  # three workers become two, then one


@pytest.fixture
def site(apart: Site, data_dir: Path) -> Site:
    """All but the workers are running, and a sink that takes its time."""
    settings = data_dir / "few-calls.toml"
    settings.write_text(f"[channels.sink]\nconcurrency = {CALLS_AT_ONCE}\ncall_timeout_seconds = 10\n")
    apart.environment["NINEBELL_CONFIG"] = str(settings)
    apart.start("run", "sink", "--delay-ms", "40")
    apart.ready(apart.start("run", "api", "planner", "dispatcher"))
    return apart


@pytest.mark.timeout(300)
def test_workers_come_before_a_herd_that_is_foreseen_and_go_after_it(site, database):
    port = free_port()
    supervisor = site.start("run", "worker", "--autoscale", "1:3", NINEBELL_OPS_LISTEN=f"127.0.0.1:{port}").says("running:")
    due_at = next_minute(at_least_seconds=15)
    upload(site, due_at)
    supervisor.until("three workers", lambda: len(workers_of(supervisor)) == 3, 90)
    assert site.stats()["calls"] == 0, "they came with the herd, not before it"
    assert metrics(port)["ninebell_workers_wanted"] == 3
    site.until_sent(CROWD, 120)
    supervisor.until("one worker again", lambda: len(workers_of(supervisor)) == 1, CALM_TWICE_SECONDS)
    until("its metrics to say so", lambda: metrics(port)["ninebell_workers_running"] == 1)
    assert metrics(port)["ninebell_workers_restarted"] == 0
    assert [(line["reason"], line["workers"]) for line in scalings(supervisor)] == [("herd_ahead", 3), ("calm", 2), ("calm", 1)]

    evidence = Evidence(database, site.data_dir / "sink.jsonl")
    assert evidence.first_call_at() >= due_at
    assert len({evidence.claimant[sent.data["dispatch_id"]] for sent in evidence.named("message.sent.v1")}) > 1
    assert (evidence.repeated, evidence.doubts) == ({}, [])


def test_a_killed_worker_is_made_good_and_what_it_had_is_sent(site):
    site.environment["NINEBELL_LEASE_SECONDS"] = "11"
    supervisor = site.start("run", "worker", "--autoscale", "2:2").says("running:")
    supervisor.until("two workers", lambda: len(workers_of(supervisor)) == 2)
    upload(site, this_minute())
    site.until_sent(CROWD // 4)
    before = workers_of(supervisor)
    before[0].kill()
    supervisor.says("worker_ended")
    supervisor.until("another in its place", lambda: len({*workers_of(supervisor)} - {*before}) == 1)
    site.until_sent(CROWD, 120)
    until("the audit to say that all are sent", lambda: audited(site)["sent"] == CROWD)


def test_no_worker_outlives_a_killed_supervisor(site, database):
    supervisor = site.start("run", "worker", "--autoscale", "2:3").says("running:")
    supervisor.until("two workers", lambda: len(workers_of(supervisor)) == 2)
    upload(site, this_minute())
    site.until_sent(CROWD // 4)
    workers = workers_of(supervisor)
    supervisor.kill()
    until("every worker to end", lambda: not any(alive(worker) for worker in workers))
    assert Evidence(database, site.data_dir / "sink.jsonl").doubts == []
    site.start("run", "worker")
    site.until_sent(CROWD, 120)
    assert Evidence(database, site.data_dir / "sink.jsonl").repeated == {}


def test_a_supervisor_told_to_stop_gives_back_what_is_not_sent(site, database):
    supervisor = site.start("run", "worker", "--autoscale").says("running:")
    supervisor.until("two workers", lambda: len(workers_of(supervisor)) == 2)
    upload(site, this_minute())
    supervisor.until("more workers", lambda: len(workers_of(supervisor)) > 2)
    assert scalings(supervisor)[0]["reason"] == "backlog"
    site.until_sent(CROWD // 4)
    workers = workers_of(supervisor)
    assert supervisor.signal(signal.SIGTERM) == 0
    assert not any(alive(worker) for worker in workers)
    assert "worker_killed" not in supervisor.logged
    stopped = Evidence(database, site.data_dir / "sink.jsonl")
    assert len(stopped.named("message.sent.v1")) == len(stopped.calls) < CROWD
    assert stopped.doubts == []
    site.start("run", "worker")
    until("the audit to say that all are sent", lambda: audited(site)["sent"] == CROWD, 120)
    assert Evidence(database, site.data_dir / "sink.jsonl").repeated == {}


def test_workers_that_cannot_start_end_their_supervisor_with_the_reason(site):
    settings = site.data_dir / "workers.toml"
    settings.write_text("")
    supervisor = site.start("run", "worker", "--autoscale", "1:2", NINEBELL_CONFIG=str(settings)).says("running:")
    supervisor.until("a worker", lambda: workers_of(supervisor))
    settings.write_text("[pigeons]\n")
    workers_of(supervisor)[0].kill()
    assert supervisor.ended() == 2
    assert "[pigeons] is not understood" in supervisor.logged
    assert supervisor.logged.splitlines()[-1] == "the workers can't start; what they say stands above"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("worker", "--autoscale", "20:2"), "must be MIN:MAX, such as 2:20"),
        (("worker", "planner", "--autoscale"), "for the role worker alone"),
    ],
    ids=["no-range", "other-roles"],
)
def test_a_wrong_autoscale_is_refused_in_one_line(apart, words, told):
    refused = apart.run("run", *words)
    assert refused.ended() == 2
    (line,) = refused.logged.splitlines()
    assert told in line


def workers_of(supervisor: Program) -> list[psutil.Process]:
    """Its children that run as workers, in the order they were started."""
    return sorted((child for child in psutil.Process(supervisor.pid).children() if alive(child)), key=lambda child: child.pid)


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def metrics(port: int) -> dict[str, float]:
    asking = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(asking, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {
        name: float(value) for name, _, value in (line.partition(" ") for line in lines if line.startswith("ninebell_worker"))
    }


def scalings(supervisor: Program) -> list[dict[str, object]]:
    """What it said about scaling."""
    return [entry for line in supervisor.logged.splitlines() if (entry := json.loads(line))["event"] == "scaling"]


def upload(site: Site, due_at: datetime) -> None:
    report = site.ask("POST", "/v1/users/import", crowd(CROWD, due_at), media="text/csv").body
    assert report["accepted"] == CROWD


def audited(site: Site) -> dict[str, int]:
    found: dict[str, int] = json.loads(site.run("audit", "--json").printed)["total"]
    return found
