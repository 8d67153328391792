"""Is nothing lost, and nothing repeated without a doubt on record, when processes are killed at work? More: tests/chaos."""

from __future__ import annotations

import json
import signal
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psutil
import pytest

from infrastructure.embedded_postgres import EmbeddedPostgres
from tests.e2e.conftest import master_key
from tests.e2e.evidence import Evidence
from tests.e2e.people import crowd, this_minute
from tests.e2e.processes import Site, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.processes import Program

pytestmark = pytest.mark.timeout(240)

CROWD = 5_000
HALF = CROWD // 2
AFTER_A_KILL = timedelta(seconds=60)
CALLS_AT_ONCE = 12  # so few that the work lasts for some seconds
SLOW = ("--delay-ms", "20")


def test_a_database_killed_half_way_puts_nobody_in_doubt(data_dir, broker):
    roles = ("api", "projections", "planner", "dispatcher", "worker")
    with postgres_at(data_dir / "apart") as killed, Site(data_dir) as site:
        site.environment |= {"DATABASE_URL": killed.dsn, "AMQP_URL": broker.url, "NINEBELL_MASTER_KEY": master_key()}
        # an outage is longer than a call may take: who waits for the database must not keep the answers waiting
        site.environment |= {"NINEBELL_CONFIG": settings_file(data_dir, call_timeout_seconds=2), "NINEBELL_LEASE_SECONDS": "5"}
        site.start("run", "sink", *SLOW)
        all_roles = site.start("run", *roles).says("running:")
        upload(site, crowd(CROWD, this_minute()))
        site.until_sent(CROWD // 4)
        server = psutil.Process(killed.pid)
        server.kill()
        server.wait()
        with postgres_at(data_dir / "apart") as postgres:
            until_all_is_sent(site)
            evidence = Evidence(postgres.dsn, site.data_dir / "sink.jsonl")
        assert all_roles.running
    assert len(evidence.calls) == CROWD
    assert (evidence.repeated, evidence.doubts) == ({}, [])
    assert evidence.named("message.failed.v1") == []


def test_standbys_take_over_from_a_killed_planner_and_a_killed_dispatcher(apart, database, data_dir):
    start_apart(apart, "api", "projections", "worker")
    planners, dispatchers = leader_and_standby(apart, "planner"), leader_and_standby(apart, "dispatcher")
    file = data_dir / "people.csv"
    file.write_bytes(crowd(CROWD, this_minute()))
    importing = apart.start("import", str(file))
    importing.until("the planner at work", lambda: apart.lags().get("planner"))
    planners[0].kill()
    apart.until_sent(1)
    dispatchers[0].kill()
    killed_at = datetime.now(UTC)
    assert importing.ended() == 0
    until_all_is_sent(apart)

    evidence = Evidence(database, apart.data_dir / "sink.jsonl")
    print(evidence.told(killed_at))
    assert len(evidence.calls) == CROWD
    assert evidence.repeated == {}
    for _, standby in (planners, dispatchers):
        standby.says("leading in epoch 2")


def test_everything_in_one_process_killed_half_way_goes_on_when_started_again(embedded, few_calls):
    embedded.environment |= {"NINEBELL_LEASE_SECONDS": "5"}
    first = embedded.start("up", "--sink-delay-ms", "20").says("Ninebell is up")
    upload(embedded, crowd(CROWD, this_minute()))
    embedded.until_sent(HALF)
    first.kill()
    killed_at = datetime.now(UTC)
    left_over = postgres_pid(embedded)
    embedded.start("up", "--sink-delay-ms", "20").says("Ninebell is up")
    assert postgres_pid(embedded) == left_over
    until_all_is_sent(embedded)

    with EmbeddedPostgres.start(embedded.data_dir, guest=True) as postgres:
        evidence = Evidence(postgres.dsn, embedded.data_dir / "sink.jsonl")
    print(evidence.told(killed_at))
    assert len(evidence.calls) == CROWD
    assert evidence.doubted_workers() == {name_of(first)}
    assert evidence.repeats_without_doubt_before() == []
    assert evidence.last_sent_at() < killed_at + AFTER_A_KILL


def test_what_a_killed_process_had_open_at_a_provider_that_cannot_deduplicate_waits_for_a_person(embedded, few_calls):
    embedded.environment |= {"NINEBELL_LEASE_SECONDS": "5", "NINEBELL_SINK_IDEMPOTENT": "false"}
    first = embedded.start("up", "--sink-delay-ms", "20").says("Ninebell is up")
    upload(embedded, crowd(CROWD, this_minute()))
    embedded.until_sent(CROWD // 4)
    first.kill()
    embedded.start("up").says("Ninebell is up")
    until("all to be settled", lambda: (found := audited(embedded))["sent"] + found["in_doubt"] == CROWD)

    with EmbeddedPostgres.start(embedded.data_dir, guest=True) as postgres:
        evidence = Evidence(postgres.dsn, embedded.data_dir / "sink.jsonl")
    assert evidence.repeated == {}
    assert len(evidence.doubts) <= CALLS_AT_ONCE
    assert evidence.doubted_workers() <= {name_of(first)}  # nobody's, if it was killed between two rounds of calls


def test_everything_in_one_process_stopped_half_way_burns_no_try(embedded, few_calls):
    first = embedded.start("up", "--sink-delay-ms", "20").says("Ninebell is up")
    upload(embedded, crowd(CROWD, this_minute()))
    embedded.until_sent(CROWD // 4)
    assert first.signal(signal.SIGINT, 5) == 0
    assert len(keys_in(embedded)) < CROWD
    embedded.start("up").says("Ninebell is up")
    until_all_is_sent(embedded)

    with EmbeddedPostgres.start(embedded.data_dir, guest=True) as postgres:
        evidence = Evidence(postgres.dsn, embedded.data_dir / "sink.jsonl")
    assert len(evidence.calls) == CROWD
    assert evidence.named("message.failed.v1") == []
    assert evidence.repeats_without_doubt_before() == []


@pytest.fixture
def few_calls(embedded: Site, data_dir: Path) -> None:
    """Settings of the installation under which it needs some seconds for the crowd."""
    embedded.environment["NINEBELL_CONFIG"] = settings_file(data_dir, call_timeout_seconds=3)


def settings_file(directory: Path, call_timeout_seconds: int) -> str:
    path = directory / "few-calls.toml"
    path.write_text(f"[channels.sink]\nconcurrency = {CALLS_AT_ONCE}\ncall_timeout_seconds = {call_timeout_seconds}\n")
    return str(path)


def start_apart(site: Site, *roles: str) -> dict[str, Program]:
    """A process of its own for each of these roles, the API's among them, and for the sink."""
    programs = {role: site.start("run", role) for role in roles}
    for program in programs.values():
        program.says("running:")
    programs["sink"] = site.start("run", "sink", *SLOW)
    site.ready(programs["api"])
    return programs


def leader_and_standby(site: Site, role: str) -> tuple[Program, Program]:
    leader = site.start("run", role).says("leading in epoch 1")
    return leader, site.start("run", role).says("running:")


def name_of(worker: Program) -> str:
    """As its claims have it."""
    return f"{socket.gethostname()}-{worker.pid}"


def postgres_at(directory: Path) -> EmbeddedPostgres:
    """Running when entered, started again if it was killed."""
    return EmbeddedPostgres.start(directory, guest=True)


def keys_in(site: Site) -> set[str]:
    """What the sink has written down, while it does not run."""
    lines = (site.data_dir / "sink.jsonl").read_text().splitlines()
    return {json.loads(line)["idempotency_key"] for line in lines}


def postgres_pid(site: Site) -> str:
    return (site.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0]


def upload(site: Site, people: bytes) -> None:
    report = site.ask("POST", "/v1/users/import", people, media="text/csv").body
    assert (report["accepted"], report["rejected"]) == (CROWD, 0)


def until_all_is_sent(site: Site) -> None:
    """At the sink, and as the audit says, which reads nothing but the events."""
    site.until_sent(CROWD, 120)
    until("the audit to say that all are sent", lambda: audited(site)["sent"] == CROWD)


def audited(site: Site) -> dict[str, int]:
    audit = site.run("audit", "--json")
    assert audit.ended() == 0, audit.printed + audit.logged
    found: dict[str, int] = json.loads(audit.printed)["total"]
    ends = sum(found.values()) - found["scheduled"] - found["late"]  # those late are among those sent
    assert found["scheduled"] == ends == CROWD
    return found
