"""Is everybody planned once, and does nobody go on, when a planner is killed whose processes are at work?"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from tests.e2e.conftest import master_key
from tests.e2e.people import crowd, this_minute
from tests.e2e.processes import Site, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

CROWD = 100_000
PAGES_BEGUN = 60_000
END_SECONDS = 5


@pytest.fixture
def site(data_dir: Path, database: str) -> Iterator[Site]:
    with Site(data_dir, DATABASE_URL=database, NINEBELL_MASTER_KEY=master_key()) as opened:
        yield opened


def test_a_planner_killed_with_its_processes_at_work(site, database, data_dir):
    file = data_dir / "people.csv"
    file.write_bytes(crowd(CROWD, this_minute()))
    assert site.run("import", str(file)).ended() == 0

    planner = site.start("run", "planner").says("leading in epoch 1")
    standby = site.start("run", "planner").says("running:")
    planner.until("pages planned beside it", lambda: planned(database)[0] > PAGES_BEGUN)
    beside = processes_beside(planner.pid)
    planner.kill()
    assert beside, "nobody was at work beside it"
    _, alive = psutil.wait_procs(beside, END_SECONDS)
    assert not alive

    until("the standby to plan the rest", lambda: planned(database)[0] >= CROWD, 60)
    assert planned(database) == (CROWD, CROWD, CROWD)
    assert standby.signal(signal.SIGTERM) == 0


def processes_beside(pid: int) -> list[psutil.Process]:
    """Those that plan pages; `multiprocessing` keeps one more that counts its semaphores."""
    return [child for child in psutil.Process(pid).children() if "spawn_main" in " ".join(child.cmdline())]


def planned(database: str) -> tuple[int, int, int]:
    """Events in the messages log, whose first ones they are, and whom the planner has a row of."""
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT (SELECT count(*) FROM ninebell.messages),"
            " (SELECT count(*) FROM ninebell.messages WHERE originator_version = 1),"
            " (SELECT count(DISTINCT user_id) FROM ninebell.planned)"
        ).fetchone()
    assert found
    return found
