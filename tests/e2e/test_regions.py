"""Does each region's dispatching go on by itself when another's leader is killed, stopped, or joined by more?"""

from __future__ import annotations

import json
import signal
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest

from domain.region import region_of
from tests.e2e.evidence import Evidence
from tests.e2e.people import crowd, this_minute, zones_for
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


def test_a_leader_that_freezes_and_thaws_sends_nothing_twice_nor_holds_up_what_another_may_lead(
    apart: Site, database: str, data_dir: Path
) -> None:
    """Its regions overlap with the other's in one: that goes on, the rest waits for it and loses nothing."""
    api = apart.start("run", "api", "planner", "projections")
    apart.start("run", "worker")
    apart.start("run", "sink", "--delay-ms", "20")
    freezing = apart.start("run", "dispatcher", "--regions", "asia,oceania,europe").says("dispatcher/europe: leading in epoch 1")
    other = apart.start("run", "dispatcher", "--regions", "europe,americas,africa").says("dispatcher/africa: leading in epoch 1")
    apart.ready(api)
    due_at = this_minute()
    file = data_dir / "people.csv"
    file.write_bytes(crowd(CROWD, due_at))
    importing = apart.start("import", str(file))
    apart.until_sent(CROWD // 10)
    freezing.send(signal.SIGSTOP)
    other.says("dispatcher/europe: leading in epoch 2")
    assert importing.ended() == 0
    more = CROWD + 200
    file.write_bytes(crowd(more, due_at))
    assert apart.run("import", str(file)).ended() == 0
    homes = Counter(region_of(zones_for(due_at)[number % len(zones_for(due_at))]) for number in range(more))
    led = homes["americas"] + homes["europe"] + homes["africa"]
    until("all of the other's regions", lambda: sent_to(database, "americas", "europe", "africa") == led, 120)
    assert sent_to(database, "asia", "oceania") < more - led
    freezing.send(signal.SIGCONT)
    apart.until_sent(more, 120)
    until("the last outcomes", lambda: audited(apart)["sent"] == more)
    assert epochs(database) == {"asia": 1, "oceania": 1, "europe": 2, "americas": 1, "africa": 1}
    evidence = Evidence(database, apart.data_dir / "sink.jsonl")
    assert len(evidence.calls) == more
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


def sent_to(database: str, *regions: str) -> int:
    """How many messages to zones of these regions are recorded as sent."""
    query = (
        "SELECT convert_from(state, 'utf8')::jsonb -> 'event' ->> 'timezone', count(*) FROM ninebell.messages"
        " WHERE topic = 'message.sent.v1' GROUP BY 1"
    )
    with psycopg.connect(database) as connection:
        return sum(people for zone, people in connection.execute(query).fetchall() if region_of(zone) in regions)


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
