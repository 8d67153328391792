"""Does a database that is restored from a copy send nothing again that may have been sent, and everything else once?"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.e2e.people import COLUMNS, next_minute, person, this_minute, zones_for
from tests.e2e.processes import until
from tests.servers import create_database, drop_database

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.e2e.processes import Program, Site

pytestmark = pytest.mark.timeout(400)

CROWD, LATE, NEW = 1_000, 100, 50
ROLES = ("api", "planner", "dispatcher")


@pytest.fixture
def copy_name(database: str, postgres_dsn: str) -> Iterator[str]:
    name = f"{urlsplit(database).path[1:]}_backup"
    yield name
    drop_database(postgres_dsn, name)


def test_what_may_have_been_sent_since_the_backup_is_in_doubt_and_nothing_is_sent_twice(
    apart, database, postgres_dsn, copy_name, data_dir
):
    settings = data_dir / "few-calls.toml"
    settings.write_text("[channels.sink]\nconcurrency = 6\ncall_timeout_seconds = 2\n")
    apart.environment |= {"NINEBELL_CONFIG": str(settings), "NINEBELL_LEASE_SECONDS": "5"}
    apart.start("run", "sink", "--delay-ms", "20")
    due_at = this_minute()

    programs = at_work(apart)
    upload(apart, range(CROWD), due_at)
    apart.until_sent(CROWD // 4)
    killed(programs)
    until("the killed to be gone", lambda: connections(database, postgres_dsn) == 0)
    backup = create_database(postgres_dsn, copy_name, urlsplit(database).path[1:])
    restored_to = datetime.now(UTC)
    known_as_sent = sent_in(backup)

    programs = at_work(apart)
    upload(apart, range(CROWD, CROWD + LATE), due_at)
    apart.until_sent(CROWD + LATE, 120)
    until("all to be sent", lambda: audited(apart)["sent"] == CROWD + LATE)
    killed(programs)
    before = called(apart)
    assert set(before.values()) <= {1, 2}, "the sink deduplicates nothing"

    apart.environment["DATABASE_URL"] = backup
    done = json.loads(apart.run("recover", "--restored-to", restored_to.isoformat(), "--json").printed)
    assert done["in_doubt"] == CROWD - known_as_sent > 0

    at_work(apart)
    upload(apart, range(CROWD, CROWD + LATE), due_at)
    upload(apart, range(CROWD + LATE, CROWD + LATE + NEW), next_minute(at_least_seconds=1))
    apart.until_sent(CROWD + LATE + NEW, 150)
    until("the new ones to be sent", lambda: audited(apart)["sent"] == known_as_sent + NEW)
    assert audited(apart) == {
        "scheduled": CROWD + LATE + NEW,
        "sent": known_as_sent + NEW,
        "in_doubt": CROWD - known_as_sent + LATE,
        "cancelled": 0,
        "expired": 0,
        "abandoned": 0,
        "pending": 0,
    }
    assert called(apart) == before | Counter(person(due_at, "UTC", number)["email"] for number in new_ones())

    refused = apart.run("recover", "--restored-to", due_at.isoformat())
    assert refused.ended() == 2
    assert refused.logged.splitlines()[-1].endswith("alive on this database; stop every dispatcher and worker before you recover")


def new_ones() -> range:
    return range(CROWD + LATE, CROWD + LATE + NEW)


def at_work(site: Site) -> list[Program]:
    """A worker, and all it needs but the sink."""
    programs = [site.start("run", *ROLES), site.start("run", "worker").says("running:")]
    site.ready(programs[0])
    return programs


def killed(programs: Iterable[Program]) -> None:
    for program in programs:
        program.kill()


def upload(site: Site, numbers: range, due_at: datetime) -> None:
    zones = zones_for(due_at)
    people = (person(due_at, zones[number % len(zones)], number) for number in numbers)
    rows = "\n".join([COLUMNS, *(",".join(one[column] for column in COLUMNS.split(",")) for one in people), ""])
    assert site.ask("POST", "/v1/users/import", rows.encode(), media="text/csv").body["accepted"] == len(numbers)


def called(site: Site) -> Counter[str]:
    """How often the sink was called for each person."""
    lines = (site.data_dir / "sink.jsonl").read_text().splitlines()
    return Counter(json.loads(line)["body"]["email"] for line in lines)


def connections(database: str, server: str) -> int:
    return one(server, "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", urlsplit(database).path[1:])


def sent_in(database: str) -> int:
    return one(database, "SELECT count(*) FROM ninebell.messages WHERE topic = %s", "message.sent.v1")


def one(database: str, query: str, value: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute(query, (value,)).fetchone()
    assert row is not None
    return int(row[0])


def audited(site: Site) -> dict[str, int]:
    audit = site.run("audit", "--json")
    assert audit.ended() == 0, audit.printed + audit.logged
    total: dict[str, int] = json.loads(audit.printed)["total"]
    return {name: total[name] for name in ("scheduled", "sent", "in_doubt", "cancelled", "expired", "abandoned", "pending")}
