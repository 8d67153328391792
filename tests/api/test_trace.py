"""Does one ID find the whole story, at the terminal?"""

import base64
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from application.delivery_ports import Rejected
from infrastructure.story_search import PostgresStories
from ops.cli import main
from tests.api.conftest import ADA, NOW, Town, later
from tests.broken_streams import break_stream
from tests.delivery_scene import Provider
from tests.sending import send_what_is_due

Trace = Callable[..., tuple[int, str, str]]
MERGE = {"Content-Type": "application/merge-patch+json"}
WHOLE = [
    "user.registered.v1 by key:default",
    "message.scheduled.v1 by planner",
    "message.send_requested.v1 by dispatcher",
    "dispatch.requested.v1 by dispatcher",
    "message.sent.v1 by worker",
    "dispatch.started.v1 by worker",
    "dispatch.finished.v1 by worker",
]


@pytest.fixture
def trace(town: Town, town_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Trace:
    """Runs the command on the town's database: exit code, standard output, standard error."""
    monkeypatch.setenv("DATABASE_URL", town_database)
    monkeypatch.setenv("NINEBELL_MASTER_KEY", base64.b64encode(bytes(32)).decode())
    with town.store.database.transaction() as cursor:
        town.store.keyring.claim(cursor)

    def command(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["trace", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def asked(town: Town, correlation_id: str = "order-7", **fields: Any) -> UUID:
    answer = town.client.post("/v1/users", json=ADA | fields, headers={"Ninebell-Correlation-Id": correlation_id})
    assert answer.status_code == 201, answer.text
    return UUID(answer.json()["id"])


def told(out: str) -> list[str]:
    """What happened and by whom, of each line."""
    return [" ".join(line.split()[3:6]) for line in out.splitlines()[1:]]


def test_a_request_is_told_from_the_request_to_the_delivery(town: Town, trace: Trace) -> None:
    asked(town)
    asked(town, "order-8", external_id="crm-2")
    town.catch_up()
    send_what_is_due(town.store, later(hours=21))
    code, out, _ = trace("order-7")
    assert (code, out.splitlines()[0]) == (0, "request order-7: 7 events")
    assert sorted(told(out)) == sorted(WHOLE)
    instants = [line.split()[0] for line in out.splitlines()[1:]]
    assert instants == sorted(instants)
    assert instants[0] == "2027-03-01T12:00:00.000Z"
    assert " message_types=BIRTHDAY " in out
    assert re.search(r" message_ids=[0-9a-f-]{36},[0-9a-f-]{36}$", out, re.MULTILINE)
    assert "order-8" not in out


def test_an_id_that_was_made_here_is_found_by_its_instant(town: Town, trace: Trace) -> None:
    town.clock.instant = datetime.now(UTC)
    answer = town.client.post("/v1/users", json=ADA)
    town.clock.instant += timedelta(hours=1)
    town.create(external_id="crm-2")
    code, out, _ = trace(answer.headers["Ninebell-Correlation-Id"])
    assert (code, told(out)) == (0, WHOLE[:1])
    assert answer.json()["id"] in out


@pytest.mark.parametrize("of", ["external_id", "user", "message", "dispatch"])
def test_every_other_id_tells_the_same_story(town: Town, trace: Trace, of: str) -> None:
    user_id = asked(town)
    message_id = town.message_of(user_id)["id"]
    (dispatch_id,) = send_what_is_due(town.store, later(hours=21))
    ids = {"external_id": "crm-1", "user": user_id, "message": message_id, "dispatch": dispatch_id}
    code, out, _ = trace(ids[of])
    before = [] if of != "dispatch" else WHOLE[:2]  # a batch is a hundred stories': it tells what it did
    assert (code, sorted(told(out))) == (0, sorted(set(WHOLE) - set(before)))
    assert out.startswith("user" if of == "external_id" else of)


def test_a_message_tells_what_moved_it_and_not_what_did_not_matter(town: Town, trace: Trace) -> None:
    user_id = asked(town)
    message_id = town.message_of(user_id)["id"]
    for hours, change in ((1, {"timezone": "Asia/Tokyo"}), (2, {"first_name": "Augusta"})):
        town.clock.instant = later(hours=hours)
        town.client.patch(f"/v1/users/{user_id}", json=change, headers=MERGE | {"X-Request-ID": f"change-{hours}"})
        town.plan()
    _, out, _ = trace(message_id)
    assert told(out) == [
        "user.registered.v1 by key:default",
        "message.scheduled.v1 by planner",
        "user.timezone_changed.v1 by key:default",
        "message.rescheduled.v1 by planner",
    ]
    _, out, _ = trace("change-1")
    assert "user.timezone_changed.v1 by key:default" in told(out)
    assert "message.rescheduled.v1 by planner" in told(out)


def test_what_the_sweep_planned_months_later_is_of_the_story_of_the_facts_it_read(town: Town, trace: Trace) -> None:
    user_id = asked(town, birthday="1990-05-01")
    town.plan()
    town.clock.instant = later(days=1)
    town.client.patch(f"/v1/users/{user_id}", json={"first_name": "Augusta"}, headers=MERGE | {"X-Request-ID": "renamed"})
    town.clock.instant = datetime(2027, 4, 29, 12, tzinfo=UTC)
    town.catch_up()
    send_what_is_due(town.store, datetime(2027, 5, 1, 8, tzinfo=UTC))
    _, out, _ = trace("order-7")
    assert sorted(told(out)) == sorted(WHOLE)
    _, out, _ = trace("renamed")
    assert told(out) == ["user.renamed.v1 by key:default"]
    _, out, _ = trace(town.client.get("/v1/messages").json()["items"][0]["id"])
    assert sorted(told(out)) == sorted(WHOLE)


def test_an_operators_request_about_a_message_is_found(town: Town, trace: Trace) -> None:
    message_id = town.message_of(asked(town))["id"]
    provider = Provider(idempotent=False)
    provider.answers[UUID(message_id)] = [Rejected("rejected:400")]
    send_what_is_due(town.store, later(hours=21), provider)
    town.clock.instant = later(hours=22)
    town.client.post(f"/v1/messages/{message_id}/redrive", headers={"X-Request-ID": "mend-1"})
    send_what_is_due(town.store, later(hours=22), provider)
    code, out, _ = trace("mend-1")
    assert (code, "message.redriven.v2 by key:default" in told(out), told(out)[-1]) == (0, True, "dispatch.finished.v1 by worker")


def test_nothing_personal_is_told_unless_it_is_asked_for(town: Town, trace: Trace) -> None:
    asked(town)
    for way in ((), ("--json",)):
        _, out, _ = trace("order-7", *way)
        assert not [word for word in ("Ada", "Lovelace", "ada@example.org", "1990-03-02", "crm-1") if word in out]
        _, out, _ = trace("order-7", "--personal", *way)
        assert [word for word in ("Ada", "Lovelace", "ada@example.org", "1990-03-02", "crm-1") if word not in out] == []


def test_a_script_reads_all_there_is_to_know(town: Town, trace: Trace) -> None:
    user_id = asked(town)
    code, out, _ = trace(user_id, "--json")
    story = json.loads(out)
    assert (code, story["kind"], story["id"], story["unreadable"], story["left_out"]) == (0, "user", str(user_id), [], 0)
    (event,) = story["events"]
    assert event["data"]["timezone"] == "Europe/London"
    assert {name: event[name] for name in ("log", "stream_id", "version", "name", "at", "who", "correlation_id")} == {
        "log": "users",
        "stream_id": str(user_id),
        "version": 1,
        "name": "user.registered.v1",
        "at": "2027-03-01T12:00:00Z",
        "who": "key:default",
        "correlation_id": "order-7",
    }


@pytest.mark.parametrize("wanted", ["order-9", "6f1f3f5c-7d1c-4a39-9a55-0a9b1f5c2d11", "01234567-89ab-7cde-8123-456789abcdef"])
def test_an_id_of_nothing_says_what_was_looked_through(town: Town, trace: Trace, wanted: str) -> None:
    asked(town)
    code, out, _ = trace(wanted)
    assert (code, out.splitlines()[0].startswith("no user, message or dispatch has this ID")) == (1, True)
    assert "users: " in out
    assert "--since" in out


def test_an_id_nobody_noted_is_found_among_the_last_events_or_from_an_instant_on(town: Town, trace: Trace) -> None:
    asked(town)
    with town.store.database.connect() as connection:
        connection.execute("DELETE FROM caller_ids")
    assert told(trace("order-7")[1]) == WHOLE[:1]
    assert told(trace("order-7", "--since", "2027-03-01T11:00:00Z")[1]) == WHOLE[:1]
    assert trace("order-7", "--since", "2027-03-01T14:00:00Z")[0] == 1
    assert trace("order-7", "--since", "yesterday")[0] == 2


def test_no_more_is_looked_through_than_a_bounded_stretch(town: Town, trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infrastructure.story_search.AHEAD", 2)
    monkeypatch.setattr("infrastructure.story_search.BACK", 1)
    asked(town, "order-0", external_id="crm-0")
    for number in range(1, 6):
        asked(town, f"order-{number}", external_id=f"crm-{number}")
    with town.store.database.connect() as connection:
        connection.execute("DELETE FROM caller_ids")
    assert [trace(f"order-{number}")[0] for number in range(6)] == [1, 1, 1, 0, 0, 0]
    assert "users: 3 events from" in trace("order-0")[1]


def test_callers_ids_are_noted_for_commands_alone_and_forgotten_in_the_end(town: Town) -> None:
    stories = PostgresStories(town.store.database)
    user_id = asked(town)
    town.client.get(f"/v1/users/{user_id}", headers={"X-Request-ID": "only-a-look"})
    town.create(external_id="crm-2")
    with town.store.database.connect() as connection:
        assert connection.execute("SELECT correlation_id, at FROM caller_ids").fetchall() == [("order-7", NOW)]
    assert stories.called_at("order-7") == [NOW]
    stories.forget(NOW)
    assert stories.called_at("order-7") == [NOW]
    stories.forget(NOW + timedelta(seconds=1))
    assert stories.called_at("order-7") == []


def test_what_is_too_much_to_tell_is_counted(town: Town, trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("application.trace.MOST_STREAMS", 1)
    for number in range(3):
        asked(town, external_id=f"crm-{number}")
    code, out, err = trace("order-7")
    assert (code, told(out), err) == (0, WHOLE[:1], "2 more streams belong to this story\n")


def test_what_can_not_be_read_is_named_and_the_rest_is_told(town: Town, trace: Trace) -> None:
    user_id = asked(town)
    message_id = town.message_of(user_id)["id"]
    break_stream(town.store.database, "messages", UUID(message_id), NOW)
    code, out, err = trace(user_id)
    assert (code, told(out)) == (0, WHOLE[:1])
    assert f"{message_id} (unknown)" in err
    assert "ninebell parked list" in err
    code, out, err = trace(message_id)
    assert (code, out) == (0, f"what has this ID is out of reach: {message_id}\n"), "it is somebody's"
    assert f"{message_id} (unknown)" in err


def test_whoever_was_erased_has_a_story_without_a_person(town: Town, trace: Trace) -> None:
    user_id = asked(town)
    town.catch_up()
    town.client.delete(f"/v1/users/{user_id}")
    town.catch_up()
    code, out, _ = trace(user_id, "--personal")
    assert (code, "user.erased.v1 by key:default" in told(out), "message.cancelled.v1 by planner" in told(out)) == (0, True, True)
    assert "Ada" not in out
    assert trace("crm-1")[0] == 1
