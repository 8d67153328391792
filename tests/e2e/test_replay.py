"""Does a replay reach nobody outside, whatever is replayed, and a rebuild disturb nobody, wherever it is killed?"""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from projections.registry import PROJECTIONS
from tests.e2e.people import COLUMNS, person, this_minute, zones_for
from tests.e2e.processes import Site, until
from tests.servers import create_database, drop_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.processes import Program

pytestmark = pytest.mark.timeout(300)

ROLES = ("api", "projections", "planner", "dispatcher", "worker")
FIRST, LATER = 300, 60
QUERIES = ("/v1/messages?limit=50", "/v1/messages?status=sent&limit=20", "/v1/users?limit=20", "/v1/dashboard/summary")
BETWEEN_QUERIES_SECONDS = 0.02
BETWEEN_IMPORTS_SECONDS = 0.5
AT_A_TIME = 50  # people due at once, every half second: a hundred messages a second


def test_all_is_replayed_from_zero_by_everybody_and_the_provider_sees_nothing_new(
    apart: Site, database: str, data_dir: Path
) -> None:
    all_roles = started(apart)
    upload(apart, 0, FIRST)
    apart.until_sent(FIRST)
    until("all outcomes to be recorded", lambda: audited(apart)["sent"] == FIRST)
    assert all_roles.signal(signal.SIGTERM) == 0
    copy = create_database(database, "replayed", urlsplit(database).path.removeprefix("/"))
    try:
        with psycopg.connect(copy, autocommit=True) as connection:
            connection.execute("UPDATE ninebell.positions SET position = 0")
        (data_dir / "replayed").mkdir()
        kept = {name: apart.environment[name] for name in ("AMQP_URL", "NINEBELL_MASTER_KEY")}
        with Site(data_dir / "replayed", DATABASE_URL=copy, **kept) as site:
            replayed = started(site)
            until("everybody to read all there is again", lambda: set(site.lags().values()) == {0}, 120)
            upload(site, FIRST, LATER)  # goes the way of all that was published again, behind it
            site.until_sent(LATER)
            until("all outcomes to be recorded", lambda: counted(site)["sent"] == FIRST + LATER)
            assert replayed.running
            assert site.stats()["calls"] == LATER, "a message was sent again"
            assert site.run("projections", "rebuild", "--all").ended() == 0
            for name in PROJECTIONS:
                assert site.run("projections", "verify", name).ended() == 0
            assert audited(site)["sent"] == FIRST + LATER
    finally:
        drop_database(database, "replayed")


def test_queries_and_sending_go_on_while_a_rebuild_is_killed_made_and_taken_back(apart: Site, database: str) -> None:
    started(apart)
    upload(apart, 0, FIRST)
    apart.until_sent(FIRST)
    with queried(apart) as failed, fed(apart, FIRST):
        for name in PROJECTIONS:
            killed = apart.start("projections", "rebuild", name, "--processes", "2")
            until("a build, or its end", partial(begun, database, name, killed))
            killed.kill()
            until("those who worked for it to end", lambda: not sessions(database, "ninebell rebuild"))
            for words in (("rebuild", name), ("rebuild", name, "--diff"), ("rollback", name), ("drop", name)):
                done = apart.run("projections", *words)
                assert done.ended() == 0, done.logged
        assert not failed, failed[:3]
    assert not failed, failed[:3]
    for name in PROJECTIONS:
        assert apart.run("projections", "verify", name).ended() == 0
    until("all to be settled", lambda: counted(apart)["sent"] == counted(apart)["scheduled"])


def test_of_two_rebuilds_at_once_the_same_is_refused_and_another_goes_on(apart: Site, database: str) -> None:
    started(apart)
    upload(apart, 0, LATER)
    apart.until_sent(LATER)
    with psycopg.connect(database) as reader:  # keeps the first from its swap
        reader.execute("SELECT FROM ninebell.message_log")
        first = apart.start("projections", "rebuild", "message_log")
        until("the first to have built", partial(built, database, "message_log"))
        again = apart.run("projections", "rebuild", "message_log", "--anew")
        assert (again.ended(), again.printed) == (2, "")
        assert again.logged == "another process is at work on message_log\n"
        other = apart.run("projections", "rebuild", "users_view")
        assert other.ended() == 0, other.logged
        assert first.running
    assert first.ended() == 0, first.logged
    for name in ("message_log", "users_view"):
        assert apart.run("projections", "verify", name).ended() == 0


def started(site: Site):
    site.start("run", "sink")
    program = site.start("run", *ROLES).says("running:")
    site.ready(program)
    return program


@contextmanager
def queried(site: Site) -> Iterator[list[str]]:
    """Some fifty questions a second are asked all the time; those that were not answered."""
    failed: list[str] = []
    over = Event()

    def ask() -> None:
        number = 0
        while not over.wait(BETWEEN_QUERIES_SECONDS):
            path = QUERIES[number % len(QUERIES)]
            answer = site.ask("GET", path)
            if answer.status != 200:
                failed.append(f"{path}: {answer.status} {answer.body}")
            number += 1

    with running(ask, over):
        yield failed


@contextmanager
def fed(site: Site, first: int) -> Iterator[None]:
    """A hundred people a second come who are due at once."""
    over = Event()

    def feed() -> None:
        number = first
        while not over.wait(BETWEEN_IMPORTS_SECONDS):
            upload(site, number, AT_A_TIME)
            number += AT_A_TIME

    with running(feed, over):
        yield


@contextmanager
def running(work, over: Event) -> Iterator[None]:
    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def upload(site: Site, first: int, number: int) -> None:
    due_at = this_minute()
    zones = zones_for(due_at)
    people = (person(due_at, zones[index % len(zones)], index) for index in range(first, first + number))
    file = "\n".join([COLUMNS, *(",".join(one[column] for column in COLUMNS.split(",")) for one in people), ""])
    report = site.ask("POST", "/v1/users/import", file.encode(), media="text/csv").body
    assert (report["accepted"], report["rejected"]) == (number, 0)


def audited(site: Site) -> dict[str, int]:
    audit = site.run("audit", "--json")
    assert audit.ended() == 0, audit.printed + audit.logged
    found: dict[str, int] = json.loads(audit.printed)["total"]
    return found


def counted(site: Site) -> dict[str, int]:
    """The same, whatever the read models say."""
    found: dict[str, int] = json.loads(site.run("audit", "--json").printed)["total"]
    return found


def begun(dsn: str, name: str, rebuild: Program) -> bool:
    """Or over already."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT FROM ninebell.builds WHERE read_model = %s", (name,)).rowcount
    return found == 1 or not rebuild.running


def built(dsn: str, name: str) -> bool:
    with psycopg.connect(dsn) as connection:
        [(tasks, left)] = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE NOT done) FROM ninebell.build_tasks WHERE read_model = %s", (name,)
        ).fetchall()
    return (tasks > 0, left) == (True, 0)


def sessions(dsn: str, application: str) -> int:
    with psycopg.connect(dsn) as connection:
        query = "SELECT FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"
        return connection.execute(query, (application,)).rowcount
