"""Can a person at the terminal see the read models, and have them built anew, swapped back and compared?"""

import json

import pytest

from application.ports import StoreUnavailable
from ops.at_hand import at_hand
from ops.cli import main
from ops.settings import read_settings
from ops.wiring import service
from projections import message_log
from projections.message_filter import Asked
from projections.registry import PROJECTIONS

PEOPLE = "external_id,first_name,email,timezone,birthday\n" + "".join(
    f"crm-{number},Ada,ada{number}@example.org,Etc/UTC,1990-05-15\n" for number in range(20)
)


@pytest.fixture
def run(migrated_database, monkeypatch, capsys):
    """Runs a command on a fresh database: exit code, standard output, standard error."""
    monkeypatch.setenv("DATABASE_URL", migrated_database)
    monkeypatch.setenv("NINEBELL_MASTER_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")

    def command(*arguments):
        capsys.readouterr()
        code = main(["projections", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def people(run, tmp_path):
    (tmp_path / "people.csv").write_text(PEOPLE)
    assert main(["import", str(tmp_path / "people.csv")]) == 0
    feed()


def feed():
    with at_hand(read_settings(), "test") as parts:
        for projector in parts.projectors.values():
            while projector.step():
                pass


def of(run, name):
    return next(one for one in json.loads(run("list", "--json")[1])["items"] if one["name"] == name)


def test_all_are_built_anew_and_what_was_live_stands_beside(people, run):
    code, out, _ = run("rebuild", "--all")
    assert (code, out.splitlines()) == (
        0,
        [f"{name} swapped in, version {projection.version}" for name, projection in PROJECTIONS.items()],
    )
    shown = of(run, "users_view")
    assert (shown["position"], shown["lag_events"]) == (20, 0)
    assert [(one["side"], one["position"]) for one in shown["beside"]] == [("previous", 20)]
    assert "previous: version 2 at 20" in run("list")[1]


def test_back_and_forth_and_gone(people, run):
    assert run("rebuild", "users_view")[0] == 0
    said = "users_view: the version before has caught up and is live; what was live is kept: the same command swaps them again\n"
    assert run("rollback", "users_view")[:2] == (0, said)
    assert run("drop", "users_view")[0] == 0
    assert of(run, "users_view")["beside"] == []
    assert run("rollback", "users_view")[::2] == (2, "no earlier version of users_view is kept\n")
    assert run("drop", "users_view")[::2] == (2, "users_view has no earlier tables\n")


def test_a_build_may_wait_beside_the_live_one(people, run):
    code, out, _ = run("rebuild", "users_view", "--no-swap", "--json")
    assert (code, json.loads(out)["items"][0]["swapped"]) == (0, False)
    assert [one["side"] for one in of(run, "users_view")["beside"]] == ["next"]
    assert run("drop", "users_view", "--build")[0] == 0
    assert of(run, "users_view")["beside"] == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("planner", "planner is a process manager: it acts on what it reads, so it is never built anew."),
        ("dispatcher", "dispatcher is a process manager: it acts on what it reads, so it is never built anew."),
        ("users", "'users' is no read model; there are: users_view messages_by_timezone message_log analytics_view"),
    ],
)
@pytest.mark.parametrize("command", ["rebuild", "rollback", "drop"])
def test_what_is_no_read_model_is_refused_by_name(run, command, name, said):
    code, _, error = run(command, name)
    assert code == 2
    assert error.startswith(said)


def test_which_read_models_are_meant_must_be_said(run):
    assert run("rebuild")[0] == 2
    assert run("rebuild", "users_view", "--all")[0] == 2


def test_what_differs_is_told_before_the_swap_and_may_prevent_it(people, run):
    assert run("rebuild", "users_view", "--expect-no-diff")[:2] == (
        0,
        "users_view: 0 added, 0 removed, 0 changed\nusers_view swapped in, version 2\n",
    )
    with at_hand(read_settings(), "test") as parts, parts.database.cursor() as cursor:
        [(user_id,)] = cursor.execute("SELECT user_id FROM users_view ORDER BY 1 LIMIT 1").fetchall()
        cursor.execute("UPDATE users_view SET timezone = 'Asia/Tokyo' WHERE user_id = %s", (user_id,))
    code, out, _ = run("rebuild", "users_view", "--expect-no-diff")
    assert (code, out.splitlines()) == (
        1,
        [
            "users_view: 0 added, 0 removed, 1 changed",
            "  changed columns: timezone in 1",
            f"  ~ {user_id}: timezone Asia/Tokyo -> Etc/UTC",
            "users_view built, and not swapped in, version 2",
        ],
    )
    assert run("verify", "users_view")[0] == 1
    code, out, _ = run("rebuild", "users_view", "--diff", "--json")
    [report] = json.loads(out)["items"]
    assert (code, report["swapped"], report["difference"][0]["columns"]) == (0, True, {"timezone": 1})
    assert run("verify", "users_view", "--sample", "10")[0] == 0


def test_sums_are_verified_whole_or_not_at_all(people, run):
    assert run("verify", "analytics_view")[0] == 0
    assert run("verify", "analytics_view", "--sample", "5")[0] == 2


def test_tables_of_an_earlier_shape_are_an_outage_to_whoever_queries_them(run):
    with at_hand(read_settings(), "test") as parts:
        with parts.database.cursor() as cursor:
            cursor.execute("ALTER TABLE message_log RENAME COLUMN reason TO why")
        with pytest.raises(StoreUnavailable, match="of another version"), service(parts, list).reading() as (cursor, _):
            message_log.page(cursor, Asked())
