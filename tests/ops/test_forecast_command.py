"""Can a person at the terminal see the next herds, and whether they get out in time?"""

import json
from datetime import timedelta
from functools import partial

import pytest

from application.plan_messages import Planner
from infrastructure.clock import SystemClock
from infrastructure.planner_tables import PostgresPlannerWork
from infrastructure.work import begin_work
from ops.at_hand import at_hand
from ops.cli import main
from ops.settings import read_settings

HEADER = "external_id,first_name,email,timezone,birthday\n"
ZONES = ("Etc/UTC", "Etc/UTC", "Africa/Abidjan")


@pytest.fixture
def run(migrated_database, monkeypatch, capsys):
    """Runs a command on a fresh database: exit code, standard output, standard error."""
    monkeypatch.setenv("DATABASE_URL", migrated_database)
    monkeypatch.setenv("NINEBELL_MASTER_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")

    def command(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def three_born_tomorrow(run, tmp_path):
    tomorrow = SystemClock().now() + timedelta(days=1)
    people = [f"p{number},Pia,pia@example.org,{zone},{tomorrow:--%m-%d}\n" for number, zone in enumerate(ZONES)]
    (tmp_path / "people.csv").write_text(HEADER + "".join(people))
    assert run("import", tmp_path / "people.csv")[0] == 0
    return f"{tomorrow:%Y-%m-%d}T09:00:00Z"


def planned_and_projected():
    with at_hand(read_settings(), "test") as parts:
        planner = Planner(partial(begin_work, parts.store, PostgresPlannerWork, "planner", None), parts.types)
        while planner.step(parts.clock.now()):
            pass
        for projector in parts.projectors.values():
            while projector.step():
                pass


def test_the_herds_of_two_days_are_told(run, three_born_tomorrow):
    planned_and_projected()
    code, out, err = run("forecast", "--rate", "1/60s", "--json")
    found = json.loads(out)
    assert (code, err, found["rates"]) == (0, "", {"sink": {"messages": 1, "per_seconds": 60}})
    assert [(herd["minute"], herd["messages"], herd["drain_seconds"]) for herd in found["herds"]] == [
        (three_born_tomorrow, 3, 120)
    ]
    said = " ".join(run("forecast", "--rate", "1/60s")[1].split())
    assert "09:00 3 0:02:00 2 0 Etc/UTC 2 and 1 more" in said
    assert "Through sink go at most 1 within any 60 s." in said
    assert "With calls that take no time, 2 would be late and 0 too late to be sent." in said


def test_the_configured_rate_is_reckoned_with_and_no_other_is_guessed(run, three_born_tomorrow, monkeypatch, tmp_path):
    planned_and_projected()
    assert "No channel has a rate" in " ".join(run("forecast")[1].split())
    (tmp_path / "ninebell.toml").write_text('[channels.sink]\nrate = {recipients = 2, per = "1h"}\n')
    monkeypatch.setenv("NINEBELL_CONFIG", str(tmp_path / "ninebell.toml"))
    assert json.loads(run("forecast", "--json")[1])["peak"]["drain_seconds"] == 3600


def test_what_is_not_in_the_numbers_yet_is_told(run, three_born_tomorrow, tmp_path):
    code, out, err = run("forecast")
    assert code == 0
    assert "Nothing falls due" in out
    assert err == "planner is behind by 3: what these events bring is missing here\n"
    planned_and_projected()
    (tmp_path / "more.csv").write_text(HEADER + "p9,Pia,pia@example.org,Etc/UTC,\n")
    run("import", tmp_path / "more.csv")
    assert run("forecast")[2] == "planner is behind by 1: what these events bring is missing here\n"


@pytest.mark.parametrize("rate", ["100", "0/60s", "many/60s", "100/60", "100/0s"])
def test_another_form_of_a_rate_is_refused_in_one_line(run, rate):
    code, _, err = run("forecast", "--rate", rate)
    assert (code, err) == (2, "--rate must be CALLS/PER, as in 100/60s\n")
