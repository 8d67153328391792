"""Does `ninebell up` keep its promises to a newcomer: a message at its minute, a clean stop, clear refusals, an import?"""

from __future__ import annotations

import json
import re
import signal
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.e2e.people import next_minute, person, this_minute
from tests.e2e.processes import KEY, ROOT

if TYPE_CHECKING:
    from tests.e2e.processes import Program, Site

pytestmark = pytest.mark.timeout(240)

PEOPLE = ROOT / "tests" / "data" / "people-10k.csv"
STOP_SECONDS = 20.0  # whatever waits for the database itself waits for a minute


def test_a_newcomer_s_message_arrives_once_at_its_minute_and_all_goes_on_after_ctrl_c(embedded):
    up = embedded.start("up", NINEBELL_API_KEY="").says("Try next")
    for fact in (f"http://127.0.0.1:{embedded.api_port}", str(embedded.data_dir)):
        assert fact in up.printed
    key = key_printed(up)
    due_at = next_minute(at_least_seconds=2)
    ada = register(embedded, person(due_at, "Asia/Kathmandu", 1), key)
    assert another_up(embedded) == f"The data directory {embedded.data_dir} is in use by process {up.pid}"
    embedded.until_sent(1, 120)

    (call,) = calls(embedded)
    assert due_at <= datetime.fromisoformat(call["received_at"]) < due_at + timedelta(minutes=1)
    assert call["body"]["email"] == "person1@example.org"
    assert call["body"]["message"] == "Hey, Given1 Family1 it's your birthday"
    assert call["idempotency_key"] == call["body"]["message_id"] == message_of(embedded, ada, key)

    assert up.signal(signal.SIGINT, STOP_SECONDS) == 0
    assert "Ninebell has stopped." in up.printed
    again = embedded.start("up", NINEBELL_API_KEY="").says("Try next")
    assert "API key" not in again.printed
    register(embedded, person(this_minute(), "America/Bogota", 2), key)
    embedded.until_sent(2)
    assert embedded.stats() == {"calls": 2, "keys": 2, "repeats": 0}
    assert again.signal(signal.SIGTERM, STOP_SECONDS) == 0


def test_ctrl_c_is_heard_at_once_even_if_the_database_has_died(embedded):
    up = embedded.start("up").says("Ninebell is up")
    conf = embedded.data_dir / "postgres" / "postgresql.conf"
    sound = conf.read_text()
    conf.write_text("no such setting\n")  # so that it stays dead
    kill_postgres(embedded)
    up.until("the database to be missed", lambda: embedded.readiness() == (503, "not ready", ("database",)))
    assert embedded.ask("GET", "/healthz").status == 200
    up.says("can't see the leader's bumps")  # by then, all who need the database are waiting for it
    assert up.signal(signal.SIGINT, STOP_SECONDS) == 0
    conf.write_text(sound)
    embedded.ready(embedded.start("up").says("Ninebell is up"))


def test_a_database_of_its_own_that_dies_is_started_again(embedded):
    up = embedded.start("up").says("Ninebell is up")
    dead = kill_postgres(embedded)
    up.says("postgres_started_again")
    embedded.ready(up)
    assert postgres(embedded).pid != dead
    register(embedded, person(this_minute(), "Asia/Tokyo", 1), KEY)
    embedded.until_sent(1)


def test_a_taken_port_stops_the_start_and_names_the_setting(embedded):
    embedded.start("run", "sink").until("the sink", lambda: listens(embedded))
    refused = embedded.run("up")
    assert refused.ended() == 2
    assert re.fullmatch(rf"NINEBELL_SINK_LISTEN=127\.0\.0\.1:{embedded.sink_port}: .*\n", refused.logged)
    assert not (embedded.data_dir / "postgres").exists()


def test_a_second_import_of_the_same_file_changes_nothing(embedded):
    embedded.start("up").says("Ninebell is up")
    first = embedded.run("import", str(PEOPLE), "--json")
    embedded.until_caught_up(seconds=10)
    second = embedded.run("import", str(PEOPLE), "--json")

    report, again = json.loads(first.printed), json.loads(second.printed)
    assert first.ended() == second.ended() == 1  # some lines of the file are rejected
    assert report["accepted"] > 9_000
    assert report["changed"] == 0
    assert again["accepted"] == again["changed"] == 0
    assert again["unchanged"] == report["accepted"]
    assert again["rejections"] == report["rejections"]
    assert all(rejection["reason"] for rejection in report["rejections"])
    assert {rejection["line"] for rejection in report["rejections"]} >= {2}
    embedded.until_caught_up()


def postgres(site: Site) -> psutil.Process:
    return psutil.Process(int((site.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0]))


def kill_postgres(site: Site) -> int:
    server = postgres(site)
    server.kill()
    server.wait()
    return int(server.pid)


def key_printed(up: Program) -> str:
    (key,) = re.findall(r"API key +(\S+)", up.printed)
    return str(key)


def register(site: Site, who: dict[str, str], key: str) -> str:
    answer = site.ask("POST", "/v1/users", who, key=key)
    assert answer.status == 201, answer.body
    return str(answer.body["id"])


def message_of(site: Site, user_id: str, key: str) -> str:
    (message,) = site.ask("GET", f"/v1/messages?user_id={user_id}", key=key).body["items"]
    return str(message["id"])


def another_up(site: Site) -> str:
    """The beginning of what a second one on this data directory is told, and nothing else."""
    refused = site.run("up", NINEBELL_LISTEN="127.0.0.1:0", NINEBELL_SINK_LISTEN="127.0.0.1:0")
    assert refused.ended() == 2
    (line,) = refused.logged.splitlines()
    return line.partition(":")[0]


def calls(site: Site) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (site.data_dir / "sink.jsonl").read_text().splitlines()]


def listens(site: Site) -> bool:
    try:
        return site.stats()["calls"] == 0
    except OSError:
        return False
