"""Can a person at the terminal see what was left alone, have it tried again, or forget it?"""

import asyncio
import json
from functools import partial

import aio_pika
import pytest

from application.plan_messages import Planner
from application.planner_ports import ParkedType
from infrastructure.clock import SystemClock
from infrastructure.planner_tables import PostgresPlannerWork
from infrastructure.rabbitmq_dead import DeadCommands
from infrastructure.work import begin_work
from ops.at_hand import at_hand
from ops.cli import main
from ops.settings import read_settings
from tests.broken_streams import break_stream, mend_stream

PEOPLE = "external_id,first_name,email,timezone,birthday\nada,Ada,ada@example.org,Etc/UTC,1990-05-15\n"


@pytest.fixture
def run(migrated_database, monkeypatch, capsys):
    """Runs a command on a fresh database: exit code, standard output, standard error."""
    monkeypatch.setenv("DATABASE_URL", migrated_database)
    monkeypatch.setenv("NINEBELL_MASTER_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")

    def command(*arguments):
        capsys.readouterr()
        code = main(["parked", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def ada(run, tmp_path):
    """Somebody of whom something was recorded that nobody can read; read models and planner went past it."""
    (tmp_path / "people.csv").write_text(PEOPLE)
    assert main(["import", str(tmp_path / "people.csv")]) == 0
    with at_hand(read_settings(), "test") as parts:
        user_id = parts.store.user_of("ada")
        assert user_id
        break_stream(parts.database, "users", user_id, SystemClock().now())
        goes_on(parts)
    return user_id


def goes_on(parts):
    while parts.projectors["users_view"].step():
        pass
    planner = Planner(partial(begin_work, parts.store, PostgresPlannerWork, "planner", None), parts.types)
    while planner.step(parts.clock.now()):
        pass


def mended(user_id):
    with at_hand(read_settings(), "test") as parts:
        mend_stream(parts.database, "users", user_id)


def shown(run, *arguments):
    return json.loads(run("list", *arguments, "--json")[1])["items"]


def test_a_command_that_comes_upon_what_it_cannot_read_says_so_in_one_line(ada, capsys):
    capsys.readouterr()
    assert main(["explain", "ada"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line == f"users: {ada} (unknown) can't be read: ninebell parked list says what was left alone, and why."


def test_nothing_parked_is_said(run):
    assert run("list") == (0, "nothing is parked\n", "")


def test_what_was_left_alone_is_listed_with_its_error(run, ada):
    items = shown(run)
    assert [(one["id"], one["follower"], one["what"], one["error"]) for one in items] == [
        ("planner/users/2", "planner", "something.sung.v9", "unknown"),
        ("users_view/users/2", "users_view", "something.sung.v9", "unknown"),
    ]
    assert {one["of"] for one in items} == {str(ada)}
    code, out, _ = run("list", "--follower", "planner")
    assert (code, len(out.splitlines()), "ada@example.org" in out) == (0, 2, False)
    assert len(shown(run, "--limit", "1")) == 1


def test_tried_again_too_early_it_fails_again_and_stays(run, ada):
    code, out, err = run("retry", "users_view/users/2")
    assert (code, out, err) == (1, "", "users_view/users/2 fails again: unknown\n")
    assert len(shown(run)) == 2


def test_once_it_can_be_read_a_read_model_applies_it_and_the_planner_looks_again(run, ada):
    mended(ada)
    code, out, err = run("retry", "--all")
    assert (code, err) == (0, "")
    assert out == "1 applied\n1 are looked at again by their process managers, while these run\n"
    [left] = shown(run)
    assert (left["id"], left["again"]) == ("planner/users/2", True)
    assert "(being tried again)" in run("list")[1]
    with at_hand(read_settings(), "test") as parts:
        goes_on(parts)
    assert shown(run) == []


def test_a_type_that_fails_on_somebody_is_listed_and_asked_again(run, ada):
    with at_hand(read_settings(), "test") as parts, begin_work(parts.store, PostgresPlannerWork, "planner", None) as work:
        now = parts.clock.now()
        work.put_parked([ada], [ParkedType(ada, "BIRTHDAY", now.date(), "ValueError")], now)
    [kind] = [one for one in shown(run) if one["what"] == "BIRTHDAY"]
    assert (kind["id"], kind["error"]) == (f"planner/types/{ada}/BIRTHDAY", "ValueError")
    assert run("retry", kind["id"])[:2] == (0, "1 are looked at again by their process managers, while these run\n")


def test_what_is_discarded_is_gone_and_says_who_did_it(run, ada):
    code, out, err = run("discard", "users_view/users/2")
    assert (code, out) == (0, "1 discarded\n")
    assert err == "discarded by cli: users_view/users/2 something.sung.v9 unknown\n"
    assert [one["follower"] for one in shown(run)] == ["planner"]
    assert run("discard", "--follower", "planner")[1] == "1 discarded\n"
    assert shown(run) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("retry",), "name either IDs, or --follower NAME, or --all"),
        (("discard", "--all", "--follower", "planner"), "name either IDs, or --follower NAME, or --all"),
        (("retry", "users_view/users/7"), "nothing is parked under users_view/users/7"),
    ],
)
def test_what_is_wrong_is_one_clear_line(run, arguments, said):
    code, _, err = run(*arguments)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1


def test_doctor_warns_of_what_is_parked(run, ada, capsys):
    capsys.readouterr()
    assert main(["doctor", "--json"]) == 1
    [finding] = [one for one in json.loads(capsys.readouterr().out)["findings"] if one["what"] == "followers"]
    assert "ninebell parked list" in finding["said"]


class TestDeadCommands:
    @pytest.fixture(autouse=True)
    def a_dead_command(self, amqp_url, monkeypatch):
        monkeypatch.setenv("AMQP_URL", amqp_url)
        asyncio.run(self.dies(amqp_url))
        yield
        asyncio.run(self.buried(amqp_url))

    async def dies(self, url):
        async with DeadCommands.open(url), await aio_pika.connect(url) as connection, connection.channel() as channel:
            exchange = await channel.get_exchange("ninebell.send.dead")
            await exchange.publish(aio_pika.Message(b"Dear Ada"), "")

    async def buried(self, url):
        async with DeadCommands.open(url) as dead:
            await dead.discard(None, 100)

    def test_they_are_listed_and_those_that_are_none_stay(self, run):
        [dead] = shown(run)
        assert (dead["follower"], dead["error"]) == ("bus", "undecodable")
        assert run("retry", "--follower", "bus") == (1, "", "1 in the dead queue are no send commands, and stay\n")
        assert shown(run, "--follower", "bus") == [dead]

    def test_they_are_dropped_by_their_digest(self, run):
        [dead] = shown(run)
        assert run("discard", dead["id"]) == (0, "1 discarded\n", "discarded by cli: 1 send commands\n")
        assert shown(run) == []

    def test_doctor_warns_of_them(self, run, capsys):
        assert main(["doctor", "--json"]) == 1
        findings = {one["what"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
        assert findings["broker"]["verdict"] == "warning"
        assert "1 dead" in findings["broker"]["said"]

    def test_doctor_names_a_node_that_does_not_answer(self, run, capsys, amqp_url, monkeypatch):
        monkeypatch.setenv("AMQP_URL", f"amqp://127.0.0.1:1/,{amqp_url}")
        asyncio.run(self.buried(amqp_url))
        assert main(["doctor", "--json"]) == 1
        findings = {one["what"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
        assert findings["broker"]["verdict"] == "warning"
        assert findings["broker"]["said"].startswith("RabbitMQ at 127.0.0.1:1 can't be used: ")
