"""Does each region's dispatching go on by itself when another's leader is killed, stopped, or joined by more?"""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.e2e.evidence import Evidence
from tests.e2e.people import crowd, this_minute
from tests.e2e.processes import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.processes import Site

pytestmark = pytest.mark.timeout(300)

CROWD = 2_000
EAST, WEST = "asia,oceania", "americas,europe,africa"


def test_regions_are_led_apart_taken_over_from_the_dead_and_joined_again(apart: Site, database: str, data_dir: Path) -> None:
    api = apart.start("run", "api", "planner", "projections")
    apart.start("run", "worker")
    apart.start("run", "sink", "--delay-ms", "20")
    east = apart.start("run", "dispatcher", "--regions", EAST).says("dispatcher/oceania: leading in epoch 1")
    west = apart.start("run", "dispatcher", "--regions", WEST).says("dispatcher/americas: leading in epoch 1")
    standby = apart.start("run", "dispatcher").says("running:")
    apart.ready(api)

    file = data_dir / "people.csv"
    file.write_bytes(crowd(CROWD, this_minute()))
    importing = apart.start("import", str(file))
    apart.until_sent(CROWD // 10)
    east.kill()
    assert importing.ended() == 0
    apart.until_sent(CROWD, 120)
    standby.says("dispatcher/oceania: leading in epoch 2")
    assert epochs(database) == {"asia": 2, "oceania": 2, "americas": 1, "europe": 1, "africa": 1}
    assert leaders(apart) == ("ok", "planner and every region of the dispatcher have one")

    assert west.signal(signal.SIGTERM) == 0
    standby.says("dispatcher/americas: leading in epoch 2")
    file.write_bytes(crowd(CROWD + 200, this_minute()))
    assert apart.run("import", str(file)).ended() == 0
    apart.until_sent(CROWD + 200, 120)
    until("the last outcomes", lambda: audited(apart)["sent"] == CROWD + 200)

    apart.start("run", "dispatcher", "--regions", "asia").says("running:")
    assert standby.signal(signal.SIGTERM) == 0
    until("somebody to lead asia", lambda: epochs(database)["asia"] == 3)
    assert leaders(apart)[0] == "warning"
    assert "nobody leads dispatcher/americas, dispatcher/europe, dispatcher/africa, dispatcher/oceania" in leaders(apart)[1]

    evidence = Evidence(database, apart.data_dir / "sink.jsonl")
    assert len(evidence.calls) == CROWD + 200
    assert (evidence.repeated, evidence.doubts) == ({}, [])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("dispatcher", "--regions", "asia,atlantis"), "'atlantis' is no region; there are: americas europe africa asia oceania"),
        (("planner", "--regions", "asia"), "--regions is for the role dispatcher"),
    ],
    ids=["no-region", "another-role"],
)
def test_wrong_regions_are_refused_in_one_line(apart: Site, words: tuple[str, ...], told: str) -> None:
    refused = apart.run("run", *words)
    assert refused.ended() == 2
    (line,) = refused.logged.splitlines()
    assert told in line


def epochs(database: str) -> dict[str, int]:
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT role, epoch FROM ninebell.leaders WHERE role LIKE 'dispatcher/%'").fetchall()
    return {role.removeprefix("dispatcher/"): epoch for role, epoch in found}


def leaders(site: Site) -> tuple[str, str]:
    found = json.loads(site.run("doctor", "--json").printed)["findings"]
    return next((one["verdict"], one["said"]) for one in found if one["what"] == "leaders")


def audited(site: Site) -> dict[str, int]:
    total: dict[str, int] = json.loads(site.run("audit", "--json").printed)["total"]
    return total
