"""Does a message type that somebody installs work through planner and worker, and hurt nobody else where it fails?"""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from tests.e2e.people import person, this_minute
from tests.installing import SAMPLE, install

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.processes import Site

pytestmark = pytest.mark.timeout(240)

EXAMPLE = "WORK_ANNIVERSARY"
HOME = "Africa/Lagos"


def test_an_installed_type_is_planned_and_sent_and_hurts_nobody_where_it_fails(embedded: Site, tmp_path: Path) -> None:
    plugins = install(SAMPLE, tmp_path / "plugins")
    up = embedded.start("up", PYTHONPATH=str(plugins)).says("Ninebell is up")
    sound = colleague(embedded, 1, team="Engines")
    years = this_minute().astimezone(ZoneInfo(HOME)).year - 2012
    embedded.until_sent(1)
    (call,) = calls(embedded)
    assert call["body"]["type"] == EXAMPLE
    assert call["body"]["subject"] == f"{years} years with us"
    assert call["body"]["message"] == f"Given1, the Engines team has had you for {years} years!"

    # One has a date that is none, one has no team: the type's own code fails on both.
    undated = colleague(embedded, 2, hired_on="since ever", team="Engines")
    teamless = colleague(embedded, 3)
    embedded.until_caught_up()
    up.until("the plugin's error", lambda: message_of(embedded, teamless)["status"] == "abandoned")
    assert message_of(embedded, teamless)["reason"] == "plugin_error"
    assert parked(embedded) == 1
    explained = json.loads(embedded.run("explain", undated, "--json", PYTHONPATH=str(plugins)).printed)
    assert "fails on this person (ValueError)" in explained["silent"][EXAMPLE]

    mended = embedded.ask("PATCH", f"/v1/users/{undated}", {"attributes": {"hired_on": hired_on(), "team": "Looms"}})
    assert mended.status == 200
    embedded.until_sent(2)
    assert parked(embedded) == 0
    french = {"subject": "{{ years }} ans", "body": "Bravo {{ first_name }} ({{ team }})"}
    assert embedded.ask("PUT", f"/v1/templates/{EXAMPLE}/fr", french).body["version"] == 2
    assert message_of(embedded, sound)["status"] == "sent"
    assert up.signal(signal.SIGTERM) == 0
    assert "since ever" not in up.logged


def colleague(site: Site, number: int, **attributes: str) -> str:
    """Somebody whose work anniversary falls due now."""
    told = {key: value for key, value in person(this_minute(), HOME, number).items() if key != "birthday"}
    answer = site.ask(
        "POST", "/v1/users", {**told, "message_types": [EXAMPLE], "attributes": {"hired_on": hired_on()} | attributes}
    )
    assert answer.status == 201, answer.body
    return str(answer.body["id"])


def hired_on() -> str:
    """This day, in a leap year long ago."""
    return person(this_minute(), HOME)["birthday"].replace("1988", "2012")


def message_of(site: Site, user_id: str) -> dict[str, Any]:
    messages: list[dict[str, Any]] = site.ask("GET", f"/v1/messages?user_id={user_id}").body["items"]
    return messages[0] if messages else {"status": "nothing"}


def parked(site: Site) -> int:
    items = site.ask("GET", "/v1/projections").body["items"]
    return next(int(item["parked"]) for item in items if item["name"] == "planner")


def calls(site: Site) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (site.data_dir / "sink.jsonl").read_text().splitlines()]
