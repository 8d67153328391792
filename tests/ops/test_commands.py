"""Do the commands do what they say, on a real database, and end with the right exit code?"""

import json
import re
from hashlib import sha256
from uuid import UUID

import psycopg
import pytest

from application.erase_user import erase_user
from application.ports import Origin
from application.provider_limit import ProviderLimit
from infrastructure.channel_states import PostgresChannels
from infrastructure.database import Database
from infrastructure.partitions import ensure_partitions
from ops import cli
from ops.at_hand import at_hand
from ops.cli import main
from ops.settings import read_settings
from tests.ops.test_retain_command import DAY, MESSAGE, STORY
from tests.retention_scene import told

MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
HEADER = "external_id,first_name,last_name,email,timezone,birthday,country,message_types\n"
ADA = "ada,Ada,Lovelace,ada@example.com,Asia/Kathmandu,1990-05-15,NP,BIRTHDAY;ANNIVERSARY\n"
BOB = "bob,Bob,,bob@example.com,Mars/Olympus,,,\n"


@pytest.fixture
def run(migrated_database, monkeypatch, capsys):
    """Runs a command on a fresh database: exit code, standard output, standard error."""
    monkeypatch.setenv("DATABASE_URL", migrated_database)
    monkeypatch.setenv("NINEBELL_MASTER_KEY", MASTER_KEY)

    def command(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def people(tmp_path):
    def write(text, name="people.csv"):
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        return file

    return write


def report_of(run, *arguments):
    code, out, _ = run("import", *arguments, "--json")
    return code, json.loads(out)


def test_an_import_says_what_became_of_every_line(run, people):
    code, report = report_of(run, people(HEADER + ADA + BOB))
    assert code == 1
    assert (report["accepted"], report["rejected"]) == (1, 1)
    assert report["rejections"][0]["line"] == 3
    assert report["rejections"][0]["field"] == "timezone"


def test_a_second_import_of_the_same_file_changes_nothing(run, people):
    file = people(HEADER + ADA)
    assert report_of(run, file) == (0, report_of_counts(accepted=1))
    assert report_of(run, file) == (0, report_of_counts(unchanged=1))


def report_of_counts(**counts):
    names = ("accepted", "changed", "unchanged", "superseded", "rejected")
    return {**dict.fromkeys(names, 0), **counts, "rejections": []}


def test_a_dry_run_counts_and_changes_nothing(run, people):
    file = people(HEADER + ADA)
    assert report_of(run, file, "--dry-run")[1]["accepted"] == 1
    assert report_of(run, file)[1]["accepted"] == 1


def test_rejected_lines_go_to_the_file_asked_for(run, people, tmp_path):
    rejects = tmp_path / "rejects.csv"
    code, out, err = run("import", people(HEADER + BOB), "--rejects", rejects)
    assert code == 1
    assert rejects.read_text().splitlines()[0] == "line,field,reason"
    assert rejects.read_text().splitlines()[1].startswith("2,timezone,")
    assert "1 rejected" in out
    assert "line 2: timezone" in err


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (HEADER + 'ada,"Ada', "breaks off"),
        ("external_id,first_name\n", "email"),
        (HEADER.replace("country", "shoe_size"), "column 7"),
    ],
    ids=["breaks-off", "missing-column", "unknown-column"],
)
def test_a_file_that_cannot_be_imported_is_refused_whole(run, people, text, named):
    code, _, err = run("import", people(text))
    assert code == 2
    assert named in err
    assert "nothing was imported" in err


def test_a_file_that_is_not_there_is_named(run):
    code, _, err = run("import", "/nowhere/people.csv")
    assert code == 2
    assert "/nowhere/people.csv" in err


def test_ndjson_is_imported_by_its_ending(run, people):
    line = {"external_id": "ada", "first_name": "Ada", "email": "ada@example.com", "timezone": "Europe/London"}
    assert report_of(run, people(json.dumps(line) + "\n", "people.ndjson"))[1]["accepted"] == 1


def test_whoever_was_erased_is_imported_again_only_if_readmitted(run, people):
    file = people(HEADER + ADA)
    run("import", file)
    with at_hand(read_settings(), "test") as parts:
        [ada] = parts.store.users_of(["ada"]).values()
        assert isinstance(ada, UUID)
        erase_user(ada, parts.store, Origin("cli"), parts.clock.now())
    code, report = report_of(run, file)
    assert (code, report["accepted"], [each["reason"] for each in report["rejections"]]) == (1, 0, ["erased"])
    assert report_of(run, file, "--readmit") == (0, report_of_counts(accepted=1))


def test_explain_names_date_zone_offset_instant_and_rule(run, people):
    run("import", people(HEADER + ADA), "--first-occasion", "2020-01-01")
    code, out, _ = run("explain", "ada")
    assert code == 0
    assert "09:00:00 in Asia/Kathmandu (UTC+05:45)" in out
    assert "T03:15:00Z, rule plain, tzdata 20" in out
    assert "nothing comes of ANNIVERSARY" in out
    assert "ada@example.com" not in out


def test_explain_says_why_there_is_no_such_user(run):
    code, _, err = run("explain", "nobody")
    assert code == 2
    assert "no user has this ID" in err


def test_explain_speaks_json(run, people):
    run("import", people(HEADER + ADA))
    code, out, _ = run("explain", "ada", "--json")
    assert code == 0
    assert json.loads(out)["messages"][0]["type"] == "BIRTHDAY"


def test_an_audit_of_nothing_adds_up(run):
    code, out, _ = run("audit", "--json")
    assert code == 0
    assert json.loads(out)["balanced"] is True


def test_an_audit_that_does_not_add_up_ends_with_1(run):
    with at_hand(read_settings(), "test") as parts:
        with parts.database.connect() as connection:
            ensure_partitions(connection, DAY, DAY)
        told(parts.store, (MESSAGE, STORY))
        with parts.database.connect() as connection:
            connection.execute("DELETE FROM message_log")
    code, out, _ = run("audit")
    assert (code, out.splitlines()[-1].endswith("IT DOES NOT ADD UP.")) == (1, True)
    code, out, _ = run("audit", "--json")
    assert (code, json.loads(out)["balanced"]) == (1, False)


def test_an_audit_fits_into_a_terminal(run, people, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run("audit")
    head, _total, sum_ = out.splitlines()
    assert (code, head) == (0, "day   scheduled sent late cancelled expired abandoned in doubt pending")
    assert len(head.replace("day  ", "2027-05-15")) <= 80
    assert sum_.startswith("0 scheduled = 0 sent")
    assert sum_.endswith("0 pending: it adds up.")


def test_an_audit_goes_by_what_is_asked_for(run, people):
    run("import", people(HEADER + ADA))
    code, out, _ = run("audit", "--by", "zone", "--by", "type", "--from", "2027-01-01", "--to", "2027-02-01")
    assert (code, out.split()[:3]) == (0, ["zone", "type", "scheduled"])
    assert json.loads(run("audit", "--by", "zone", "--by", "type", "--json")[1])["rows"] == []
    assert run("audit", "--by", "week")[0] == 2


def test_doctor_prints_every_setting_with_secrets_masked(run):
    code, out, _ = run("doctor")
    assert code == 0
    assert "NINEBELL_MASTER_KEY" in out
    assert MASTER_KEY not in out
    assert "tzdata 20" in out


def test_doctor_and_forecast_tell_of_a_channel_whose_limit_is_used_up(run, migrated_database, monkeypatch, tmp_path):
    (tmp_path / "ninebell.toml").write_text('[channels.sink]\nrate = {calls = 2, per = "2h"}\n')
    monkeypatch.setenv("NINEBELL_CONFIG", str(tmp_path / "ninebell.toml"))
    assert "channels: sink takes calls" in run("doctor")[1]
    with Database(migrated_database, application_name="test") as database:
        PostgresChannels(database).take("sink", ProviderLimit(most=2, per_seconds=7_200), [1, 1])
    code, out, _ = run("doctor")
    assert code == 1
    assert re.search(r"channels: sink waits: its limit is used up until \d{4}-\d\d-\d\d \d\d:\d\dZ", out)
    assert "sink waits: its limit is used up until" in run("forecast")[2]
    assert "sink waits" not in run("forecast", "--rate", "1/60s")[2]


def test_a_broker_that_is_not_there_is_unreachable_to_doctor(run, monkeypatch):
    monkeypatch.setenv("AMQP_URL", "amqp://127.0.0.1:1/")
    code, out, _ = run("doctor", "--json")
    assert code == 3
    assert "AMQP_URL" in str([finding for finding in json.loads(out)["findings"] if finding["verdict"] == "unreachable"])


def test_a_database_that_is_not_there_is_named(monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/none")
    monkeypatch.setenv("NINEBELL_MASTER_KEY", MASTER_KEY)
    assert main(["audit"]) == 3
    assert "DATABASE_URL" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["file/below", "file"])
def test_a_data_directory_that_cannot_be_is_named(tmp_path, monkeypatch, capsys, place):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NINEBELL_DATA_DIR", str(tmp_path / place))
    assert main(["audit"]) == 2
    assert f"NINEBELL_DATA_DIR={tmp_path / place}" in capsys.readouterr().err


def test_another_master_key_is_refused_for_a_database_that_holds_users(run, people, monkeypatch):
    run("import", people(HEADER + ADA))
    monkeypatch.setenv("NINEBELL_MASTER_KEY", MASTER_KEY.replace("M", "N"))
    code, _, err = run("audit")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "NINEBELL_MASTER_KEY" in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["dance"], "dance"), (["run", "butler"], "butler"), (["run", "worker"], "AMQP_URL"), (["import"], "FILE")],
    ids=["command", "role", "worker-without-broker", "no-file"],
)
def test_wrong_usage_is_refused_with_a_hint(run, arguments, named):
    code, _, err = run(*arguments)
    assert code == 2
    assert named in err


def test_a_pause_is_kept_and_listed_with_its_reason_until_it_is_resumed(run):
    code, out, _ = run("pause", "sink", "--reason", "wrong texts")
    assert (code, out.count("\n")) == (0, 1)
    assert re.fullmatch(r"sink is paused since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ by cli: wrong texts\n", out)
    assert run("pause", "sink", "--reason", "again")[1] == "It is paused already:\n" + out
    assert run("pause", "--list")[1] == out
    [listed] = json.loads(run("pause", "--list", "--json")[1])
    assert (listed["name"], listed["who"], listed["reason"]) == ("sink", "cli", "wrong texts")
    code, doctors, _ = run("doctor")
    assert code == 1
    assert out.strip() in doctors
    assert run("resume", "sink")[:2] == (0, "sink is resumed.\n")
    assert run("pause", "--list")[1] == "Nothing is paused.\n"


def test_resuming_everything_leaves_what_was_paused_by_its_name(run):
    run("pause", "BIRTHDAY", "--reason", "wrong texts")
    code, out, _ = run("resume")
    assert code == 1
    assert out.startswith("everything is not paused\nBIRTHDAY is paused since")
    run("pause", "--reason", "all of it")
    code, out, _ = run("resume", "--reason", "fixed")
    assert code == 0
    assert out.startswith("Everything is resumed.\nBIRTHDAY is paused since")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["sink"], "--reason"), (["pigeon", "--reason", "x"], "pigeon is neither"), ([], "--reason")],
    ids=["no-reason", "no-such-thing", "nothing-named-and-no-reason"],
)
def test_a_wrong_pause_is_refused(run, arguments, named):
    code, _, err = run("pause", *arguments)
    assert code == 2
    assert named in err
    assert run("pause", "--list")[1] == "Nothing is paused.\n"


def test_what_nobody_foresaw_is_neither_found_nor_wrong_usage(monkeypatch, capsys):
    monkeypatch.setattr(cli, "app", lambda *_, **__: 1 // 0)
    assert main(["audit"]) == 70
    assert capsys.readouterr().err.splitlines()[-1].startswith("ZeroDivisionError")


def test_every_command_has_help_with_an_example(capsys):
    for command in ("up", "run", "import", "explain", "trace", "audit", "doctor", "simulate", "pause", "resume", "recover"):
        assert main([command, "--help"]) == 0
        assert re.search(rf"^(  |Example: )ninebell {command}( |$)", capsys.readouterr().out, re.MULTILINE)


def keys_there(dsn):
    with psycopg.connect(dsn) as connection:
        return [(name, bytes(hashed)) for name, hashed in connection.execute("SELECT name, hash FROM ninebell.api_keys")]


def test_a_command_makes_no_key_that_nobody_would_be_shown(run, migrated_database):
    assert run("audit")[0] == 0
    assert keys_there(migrated_database) == []


def test_a_key_that_is_reset_is_printed_alone(run, migrated_database):
    code, out, err = run("keys", "reset")
    assert (code, keys_there(migrated_database)) == (0, [("default", sha256(out.strip().encode()).digest())])
    assert "shown this once" in err
    assert run("keys", "reset")[1] != out
