"""Is a number or an instant that no command can reckon with refused, before anything is done?"""

import json

import pytest

from ops.cli import main

MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ID = "01a4b2c3-d400-8222-8222-222222222222"
HUGE = str(10**30)
ENDLESS = "9" * 5_000  # more digits than Python makes a number of


@pytest.fixture
def run(migrated_database, monkeypatch, capsys):
    """Runs a command on a fresh database: exit code, standard output, standard error."""
    monkeypatch.setenv("DATABASE_URL", migrated_database)
    monkeypatch.setenv("NINEBELL_MASTER_KEY", MASTER_KEY)
    monkeypatch.setenv("AMQP_URL", "amqp://127.0.0.1:1/")

    def command(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def ada(run, tmp_path):
    file = tmp_path / "people.csv"
    file.write_text("external_id,first_name,email,timezone,birthday\nada,Ada,ada@example.com,Asia/Kathmandu,1990-05-15\n")
    assert run("import", file)[0] == 0


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("explain", "ada", "--days", "9999999"), "--days"),
        (("explain", "ada", "--days", "0"), "--days"),
        (("explain", "ada", "--type", "BIRTHDAY", "--year", "1"), "--year"),
        (("explain", "ada", "--type", "BIRTHDAY", "--year", HUGE), "--year"),
        (("audit", "--from", "2027-01-02", "--to", "2027-01-02"), "--to"),
        (("forecast", "--rate", f"{HUGE}/60s", "--json"), "--rate"),
        (("messages", "redrive", ID, "--reason", "x", "--per-minute", HUGE), "--per-minute"),
        (("messages", "list", "--from", "0001-01-01"), "--from"),
        (("messages", "list", "--to", "9999-12-31T23:59:59Z"), "--to"),
        (("parked", "list", "--limit", "-1"), "--limit"),
        (("parked", "list", "--limit", HUGE), "--limit"),
        (("projections", "rebuild", "message_log", "--processes", "-1"), "--processes"),
        (("projections", "rebuild", "message_log", "--diff", "--examples", "-1"), "--examples"),
        (("projections", "verify", "message_log", "--sample", "0"), "--sample"),
        (("projections", "verify", "message_log", "--sample", HUGE), "--sample"),
        (("projections", "verify", "message_log", "--examples", HUGE), "--examples"),
        (("recover", "--restored-to", "0001-01-01", "--dry-run"), "--restored-to"),
        (("trace", ID, "--since", "0001-01-01"), "--since"),
        (
            (
                "simulate",
                "--people",
                "p",
                "--from",
                "2027-01-01",
                "--to",
                "2027-01-02",
                "--out",
                "o",
                "--outage",
                "0001-01-01T00:00:00+14:00/2027-01-01",
            ),
            "--outage",
        ),
        (("run", "worker", "--autoscale", f"{ENDLESS}:2"), "--autoscale"),
        (("run", "sink", "--delay-ms", "-1"), "--delay-ms"),
        (("run", "sink", "--delay-ms", "inf"), "--delay-ms"),
        (("run", "sink", "--error-rate", "1.1"), "--error-rate"),
        (("run", "sink", "--throttle-rate", "nan"), "--throttle-rate"),
        (("run", "sink", "--cut-rate", "-0.1"), "--cut-rate"),
        (("up", "--sink-delay-ms", HUGE), "--sink-delay-ms"),
        (("up", "--sink-error-rate", "2"), "--sink-error-rate"),
        (("up", "--sink-throttle-rate", "2"), "--sink-throttle-rate"),
        (("up", "--sink-cut-rate", "2"), "--sink-cut-rate"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else None,
)
@pytest.mark.usefixtures("ada")
def test_what_makes_no_sense_is_wrong_usage_and_named(run, words, named):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert named in err
    assert "Traceback" not in err


@pytest.mark.usefixtures("ada")
def test_ten_years_can_be_looked_ahead(run):
    code, out, _ = run("explain", "ada", "--days", "3660", "--json")
    assert (code, len(json.loads(out)["messages"])) == (0, 10)


@pytest.mark.parametrize("number", ["ffffffff-ffff-7fff-bfff-ffffffffffff", "00000000-0000-7000-8000-000000000000"])
def test_an_id_of_no_time_is_nobodys(run, number):
    code, out, _ = run("trace", number)
    assert code == 1
    assert out.startswith("no user, message or dispatch has this ID")


@pytest.mark.parametrize("lease", ["inf", "nan", "1e300"])
def test_a_lease_without_end_is_refused(run, monkeypatch, lease):
    monkeypatch.setenv("NINEBELL_LEASE_SECONDS", lease)
    code, _, err = run("audit")
    assert code == 2
    assert err.startswith("NINEBELL_LEASE_SECONDS:")
