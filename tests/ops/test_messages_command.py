"""Can a person at the terminal find messages, cancel, move and redrive them, and say what became of one in doubt?"""

import json
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest

from application.plan_messages import Planner
from application.ports import Group, NewEvents, Origin
from domain.scheduled_message import DeliveryInDoubt, MessageAbandoned, MessageRedriven, SendRequested
from infrastructure.clock import SystemClock
from infrastructure.planner_tables import PostgresPlannerWork
from infrastructure.work import begin_work
from ops.at_hand import at_hand
from ops.cli import main
from ops.redrive import A_LINE_PER
from ops.settings import read_settings

HEADER = "external_id,first_name,email,timezone,birthday\n"


@pytest.fixture
def run(migrated_database, monkeypatch, capsys):
    """Runs a command on a fresh database: exit code, standard output, standard error."""
    monkeypatch.setenv("DATABASE_URL", migrated_database)
    monkeypatch.setenv("NINEBELL_MASTER_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")

    def command(*arguments):
        capsys.readouterr()
        code = main(["messages", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def people(run, tmp_path):
    """So many people, born tomorrow: their messages by external_id."""

    def born(number):
        tomorrow = SystemClock().now() + timedelta(days=1)
        lines = [f"p{each},Pia,pia{each}@example.org,Etc/UTC,{tomorrow:--%m-%d}\n" for each in range(number)]
        (tmp_path / "people.csv").write_text(HEADER + "".join(lines))
        assert main(["import", str(tmp_path / "people.csv")]) == 0
        with at_hand(read_settings(), "test") as parts:
            planner = Planner(partial(begin_work, parts.store, PostgresPlannerWork, "planner", None), parts.types)
            while planner.step(parts.clock.now()):
                pass
            project(parts)
            owners = {f"p{each}": parts.store.user_of(f"p{each}") for each in range(number)}
            with parts.database.connect() as connection:
                rows = connection.execute("SELECT user_id, id FROM message_log").fetchall()
        of_user = dict(rows)
        return {name: of_user[owner] for name, owner in owners.items()}

    return born


def project(parts):
    while parts.projectors["message_log"].step():
        pass


def happens(message_ids, end, error="rejected:400"):
    """Others lead these messages to an end."""
    with at_hand(read_settings(), "test") as parts:
        streams = parts.store.load_messages(message_ids)
        groups = [
            Group((NewEvents("messages", each, streams[each].version, told(streams[each].state, end, error)),))
            for each in streams
        ]
        assert not parts.store.append(groups, Origin("worker"), parts.clock.now()).lost
        project(parts)


def told(state, end, error):
    words = {"message_type": state.message_type, "timezone": state.timezone, "due_at": state.due_at}
    dispatch_id = uuid4()
    request = SendRequested(**words, attempt=1, channel="sink", dispatch_id=dispatch_id)
    if end == "in_doubt":
        return request, DeliveryInDoubt(**words, reason="timeout", channel="sink", dispatch_id=dispatch_id)
    return request, MessageAbandoned(**words, reason="rejected", error=error, dispatch_id=dispatch_id)


def state_of(message_id):
    with at_hand(read_settings(), "test") as parts:
        return parts.store.load_messages([message_id])[message_id].state


def projected():
    with at_hand(read_settings(), "test") as parts:
        project(parts)


def test_the_dead_letter_is_listed_with_its_errors(run, people):
    messages = people(3)
    happens([messages["p0"]], "abandoned")
    happens([messages["p1"]], "abandoned", "rejected:422")
    code, out, err = run("list", "--status", "abandoned")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split() == [
        "id",
        "type",
        "occasion",
        "zone",
        "due",
        "status",
        "since",
        "channel",
        "reason",
        "error",
    ]
    assert sorted(line.split()[-1] for line in out.splitlines()[1:]) == ["rejected:400", "rejected:422"]
    [one] = json.loads(run("list", "--error", "rejected:422", "--json")[1])["items"]
    assert (one["id"], one["status"], one["reason"], one["error"]) == (
        str(messages["p1"]),
        "abandoned",
        "rejected",
        "rejected:422",
    )
    assert "@example.org" not in out


def test_what_waits_in_doubt_shows_since_when_where_and_why(run, people):
    messages = people(1)
    happens(messages.values(), "in_doubt")
    [line] = run("list", "--status", "in_doubt")[1].splitlines()[1:]
    shown = json.loads(run("list", "--status", "in_doubt", "--json")[1])["items"][0]
    assert (shown["channel"], shown["reason"], shown["error"], shown["in_doubt"]) == ("sink", "doubt", "timeout", True)
    assert shown["since"] <= f"{SystemClock().now():%Y-%m-%dT%H:%M:%SZ}"
    assert all(word in line for word in ("sink", "timeout", shown["since"][:19]))


def test_a_list_goes_on_where_it_ended(run, people):
    messages = people(3)
    first = json.loads(run("list", "--limit", "2", "--json")[1])
    rest = json.loads(run("list", "--limit", "2", "--cursor", first["next"], "--json")[1])
    assert {one["id"] for one in (*first["items"], *rest["items"])} == {str(each) for each in messages.values()}
    assert rest["next"] is None
    assert f"--cursor {first['next']}" in run("list", "--limit", "2")[1]


def test_one_persons_messages_are_found_by_their_own_name_for_them(run, people):
    messages = people(2)
    assert [one["id"] for one in json.loads(run("list", "--user", "p1", "--json")[1])["items"]] == [str(messages["p1"])]


def test_a_list_behind_the_log_says_so(run, people):
    messages = people(1)
    run("cancel", messages["p0"])
    code, _, err = run("list")
    assert (code, "are the projections running?" in err) == (0, True)


def test_a_message_is_cancelled_and_moved_by_hand(run, people):
    messages = people(2)
    code, out, _ = run("cancel", messages["p0"])
    assert (code, f"{messages['p0']} BIRTHDAY of" in out, "cancelled operator" in out) == (0, True, True)
    due_at = (state_of(messages["p1"]).due_at + timedelta(hours=1)).replace(microsecond=0)
    code, out, _ = run("reschedule", messages["p1"], "--due-at", f"{due_at:%Y-%m-%dT%H:%M:%SZ}")
    assert (code, state_of(messages["p1"]).due_at, f"due {due_at:%Y-%m-%dT%H:%M:%SZ}" in out) == (0, due_at, True)
    assert run("cancel", messages["p0"])[::2] == (1, "cannot cancel a message that is cancelled\n")


@pytest.mark.parametrize(("outcome", "status"), [("sent", "sent"), ("not_sent", "retrying")])
def test_a_doubt_is_resolved_by_a_word(run, people, outcome, status):
    messages = people(1)
    happens(messages.values(), "in_doubt")
    code, out, _ = run("resolve", messages["p0"], outcome)
    assert (code, status in out, state_of(messages["p0"]).in_doubt) == (0, True, False)
    assert run("resolve", messages["p0"], outcome)[0] == 1


def test_a_message_is_redriven_with_who_and_why(run, people):
    messages = people(1)
    happens(messages.values(), "abandoned")
    code, out, _ = run("redrive", messages["p0"], "--reason", "provider was down", "--late-window", "2h")
    assert (code, out.startswith("1 redriven, the last one due at ")) == (0, True)
    with at_hand(read_settings(), "test") as parts:
        last = parts.store.history("messages", messages["p0"])[-1]
    assert isinstance(last.event, MessageRedriven)
    assert (last.event.by, last.event.reason, last.origin.who) == ("cli", "provider was down", "cli")
    assert last.event.send_before - last.event.due_at == timedelta(hours=2)
    code, _, err = run("redrive", messages["p0"])
    assert (code, err) == (1, "1 stay as they are: cannot redrive a message that is scheduled\n")


def test_what_a_filter_finds_is_counted_first_and_redriven_once(run, people):
    messages = people(5)
    happens([messages[name] for name in ("p0", "p1", "p2")], "abandoned")
    happens([messages["p3"]], "abandoned", "rejected:422")
    happens([messages["p4"]], "in_doubt")
    assert run("redrive", "--error", "rejected:400", "--dry-run")[1] == "3 match (dry run: nothing was changed)\n"
    code, out, _ = run("redrive", "--error", "rejected:400", "--reason", "outage", "--per-minute", "2", "--json")
    done = json.loads(out)
    assert (code, done["matched"], done["redriven"], done["refused"]) == (0, 3, 3, [])
    due = sorted(state_of(messages[name]).due_at for name in ("p0", "p1", "p2"))
    assert [after - due[0] for after in due] == [timedelta(), timedelta(seconds=30), timedelta(minutes=1)]
    assert [state_of(messages[name]).status for name in ("p3", "p4")] == ["abandoned", "in_doubt"]
    projected()
    assert json.loads(run("redrive", "--error", "rejected:400", "--reason", "outage", "--json")[1])["matched"] == 0


def test_what_may_have_been_accepted_goes_out_again_only_if_that_is_said(run, people):
    messages = people(1)
    happens(messages.values(), "in_doubt")
    assert run("redrive", "--status", "in_doubt", "--reason", "outage")[0] == 2
    code, out, _ = run("redrive", "--status", "in_doubt", "--reason", "outage", "--accept-duplicates", "--json")
    assert (code, json.loads(out)["redriven"], state_of(messages["p0"]).status) == (0, 1, "scheduled")


def test_many_are_told_a_line_per_thousand(run, people):
    messages = people(A_LINE_PER + 1)
    happens(messages.values(), "abandoned")
    _, out, err = run("redrive", "--reason", "outage")
    assert err.splitlines() == [f"{A_LINE_PER} redriven of {A_LINE_PER} looked at"]
    assert out.startswith(f"{A_LINE_PER + 1} redriven")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "--type", "NOPE"), "--type: is none of BIRTHDAY"),
        (("list", "--timezone", "Mars/Olympus"), "--timezone: Mars/Olympus is not an IANA zone"),
        (("list", "--from", "tomorrow"), "--from: tomorrow is not an instant"),
        (("list", "--limit", "0"), "--limit: must be from 1 to 500"),
        (("list", "--cursor", "x"), "--cursor: is not one that a list gave out"),
        (("list", "--user", "nobody"), "No user has this ID."),
        (("cancel", UUID(int=1)), "No scheduled message has this ID."),
        (("reschedule", UUID(int=1), "--due-at", "9999-12-31T23:59:59-14:00"), "--due-at:"),
        (("resolve", UUID(int=1), "sent"), "No scheduled message has this ID."),
        (("redrive",), "--reason: say why"),
        (("redrive", "--reason", "x", "--per-minute", "0"), "--per-minute: must be from 1 to 1000000"),
        (("redrive", "--reason", "x", "--late-window", "soon"), "--late-window: soon is not a length of time"),
        (("redrive", "--reason", "x" * 101), "--reason: must be at most 100 characters"),
        (("redrive", UUID(int=1), "--status", "expired"), "name either messages or a filter"),
    ],
)
def test_what_is_wrong_is_one_clear_line(run, arguments, said):
    code, _, err = run(*arguments)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1


def test_every_command_has_help_with_an_example(capsys):
    for command in ("list", "cancel", "reschedule", "redrive", "resolve"):
        assert main(["messages", command, "--help"]) == 0
        assert f"ninebell messages {command} " in capsys.readouterr().out
