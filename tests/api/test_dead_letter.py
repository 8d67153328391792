"""Can an operator have messages tried again over HTTP, and say what became of one in doubt?"""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from application.ports import Group, NewEvents, Origin
from domain.event import Event
from domain.scheduled_message import DeliveryInDoubt, MessageAbandoned, MessageExpired, SendRequested
from tests.api.conftest import NOW, Town, later, pointers

DUE = "2027-03-02T09:00:00Z"


def given_up(town: Town, number: int = 1, state: str = "abandoned", error: str = "rejected:400", **facts: Any) -> UUID:
    """A person's message, and what became of it."""
    user_id = town.create(external_id=f"crm-{number}", **facts)
    message_id = UUID(town.message_of(user_id)["id"])
    happens(town, message_id, state, error)
    town.catch_up()
    return message_id


def happens(town: Town, message_id: UUID, state: str, error: str = "rejected:400") -> None:
    stream = town.store.load_messages([message_id])[message_id]
    assert stream.state
    dispatch_id = uuid4()
    words: dict[str, Any] = {field: getattr(stream.state, field) for field in ("message_type", "timezone", "due_at")}
    request = SendRequested(**words, attempt=1, channel="sink", dispatch_id=dispatch_id)
    ends: dict[str, tuple[Event, ...]] = {
        "abandoned": (request, MessageAbandoned(**words, reason="rejected", error=error, dispatch_id=dispatch_id)),
        "in_doubt": (request, DeliveryInDoubt(**words, reason="timeout", channel="sink", dispatch_id=dispatch_id)),
        "expired": (MessageExpired(**words, reason="late_window"),),
    }
    group = Group((NewEvents("messages", message_id, stream.version, ends[state]),))
    assert not town.store.append([group], Origin("worker"), town.clock.instant).lost


def post(town: Town, path: str, body: Any = None) -> Any:
    return town.client.post(f"/v1/messages/{path}", json=body)


@pytest.mark.parametrize("state", ["abandoned", "expired"])
def test_what_was_given_up_is_tried_again(town: Town, state: str) -> None:
    message_id = given_up(town, state=state)
    answer = post(town, f"{message_id}/redrive", {"reason": "provider was down"})
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert (shown["status"], shown["due_at"], shown["reason"]) == ("scheduled", "2027-03-01T12:00:00Z", "")
    events = town.client.get(f"/v1/messages/{message_id}/events").json()["items"]
    assert (events[-1]["name"], events[-1]["who"]) == ("message.redriven.v2", "key:default")
    assert (events[-1]["data"]["by"], events[-1]["data"]["reason"]) == ("key:default", "provider was down")
    town.project()
    waited = {"Ninebell-Position": answer.headers["Ninebell-Position"]}
    assert town.client.get(f"/v1/messages/{message_id}", headers=waited).json() == shown


def test_nothing_needs_to_be_said_to_redrive(town: Town) -> None:
    message_id = given_up(town)
    assert town.client.post(f"/v1/messages/{message_id}/redrive").json()["status"] == "scheduled"


def test_it_goes_out_when_and_for_as_long_as_is_said(town: Town) -> None:
    message_id = given_up(town)
    body = {"due_at": "2027-03-01T19:00:00+01:00", "late_window_seconds": 3600}
    assert post(town, f"{message_id}/redrive", body).json()["due_at"] == "2027-03-01T18:00:00Z"
    data = town.client.get(f"/v1/messages/{message_id}/events").json()["items"][-1]["data"]
    assert data["send_before"] == "2027-03-01T19:00:00Z"


def test_a_second_mail_is_accepted_only_by_saying_so(town: Town) -> None:
    message_id = given_up(town, state="in_doubt")
    refused = post(town, f"{message_id}/redrive", {})
    assert (refused.status_code, "accept duplicates" in refused.json()["detail"]) == (409, True)
    answer = post(town, f"{message_id}/redrive", {"accept_duplicates": True}).json()
    assert (answer["status"], answer["in_doubt"]) == ("scheduled", True)


def test_one_a_year_stays_the_most(town: Town) -> None:
    user_id = town.create()
    message_id = town.message_of(user_id)["id"]
    happens(town, UUID(message_id), "abandoned")
    town.client.patch(f"/v1/users/{user_id}", json={"birthday": "1990-03-03"})
    town.catch_up()
    answer = post(town, f"{message_id}/redrive", {})
    assert (answer.status_code, answer.json()["detail"].startswith("Another message of its type")) == (409, True)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"due_at": "tonight"}, ["/due_at"]),
        ({"due_at": "9999-12-31T23:59:59-14:00"}, ["/due_at"]),
        ({"late_window_seconds": 59}, ["/late_window_seconds"]),
        ({"reason": "x" * 101}, ["/reason"]),
        ({"reason": "two\nlines"}, ["/reason"]),
        ({"by": "me"}, ["/by"]),
    ],
)
def test_a_wrong_field_of_a_redrive_is_named(town: Town, body: dict[str, Any], wrong: list[str]) -> None:
    answer = post(town, f"{given_up(town)}/redrive", body)
    assert (answer.status_code, pointers(answer)) == (422, wrong)


@pytest.mark.parametrize(("path", "body"), [("redrive", {}), ("resolve", {"outcome": "sent"})])
def test_no_message_is_found_under_an_unknown_id(town: Town, path: str, body: Any) -> None:
    assert post(town, f"{uuid4()}/{path}", body).status_code == 404


@pytest.mark.parametrize(("outcome", "status"), [("sent", "sent"), ("not_sent", "retrying")])
def test_a_doubt_is_resolved_by_whoever_knows(town: Town, outcome: str, status: str) -> None:
    message_id = given_up(town, state="in_doubt")
    answer = post(town, f"{message_id}/resolve", {"outcome": outcome})
    assert (answer.json()["status"], answer.json()["in_doubt"]) == (status, False)
    data = town.client.get(f"/v1/messages/{message_id}/events").json()["items"][-1]["data"]
    assert (data["outcome"], data["by"]) == (outcome, "key:default")
    assert post(town, f"{message_id}/resolve", {"outcome": outcome}).status_code == 409


@pytest.mark.parametrize("body", [{}, {"outcome": "perhaps"}])
def test_a_doubt_is_resolved_by_one_of_two_words(town: Town, body: dict[str, Any]) -> None:
    answer = post(town, f"{uuid4()}/resolve", body)
    assert (answer.status_code, pointers(answer)) == (422, ["/outcome"])


class TestMany:
    @pytest.fixture
    def letters(self, town: Town) -> dict[str, UUID]:
        letters = {
            "London": given_up(town, 1),
            "Calcutta": given_up(town, 2, error="rejected:422", timezone="Asia/Calcutta"),
            "expired": given_up(town, 3, "expired"),
            "doubtful": given_up(town, 4, "in_doubt"),
        }
        town.clock.instant = later(hours=1)
        letters["later"] = given_up(town, 5)
        return letters

    def test_what_the_filter_means_is_counted_and_left_alone(self, town: Town, letters: dict[str, UUID]) -> None:
        expected: list[tuple[dict[str, Any], int]] = [
            ({}, 3),
            ({"status": "expired"}, 1),
            ({"status": "in_doubt", "accept_duplicates": True}, 1),
            ({"timezone": "Asia/Kolkata"}, 1),
            ({"error": "rejected:422"}, 1),
            ({"message_reason": "rejected"}, 3),
            ({"message_reason": "retries_exhausted"}, 0),
            ({"type": "ANNIVERSARY"}, 0),
            ({"to": DUE}, 1),
            ({"from": DUE}, 2),
            ({"failed_from": "2027-03-01T12:30:00Z"}, 1),
            ({"failed_to": "2027-03-01T12:30:00Z"}, 2),
        ]
        for asked, found in expected:
            dry = post(town, "redrive", {**asked, "reason": "outage", "dry_run": True}).json()
            assert (dry["matched"], dry["redriven"]) == (found, 0), asked
        assert self.scheduled(town, letters) == []

    def test_what_the_filter_means_is_tried_again(self, town: Town, letters: dict[str, UUID]) -> None:
        expected: list[tuple[dict[str, Any], list[str]]] = [
            ({"timezone": "Asia/Kolkata"}, ["Calcutta"]),
            ({"status": "expired"}, ["expired"]),
            ({}, ["London", "later"]),
            ({"status": "in_doubt", "accept_duplicates": True}, ["doubtful"]),
        ]
        for asked, found in expected:
            before = self.scheduled(town, letters)
            done = post(town, "redrive", {**asked, "reason": "outage"}).json()
            assert (done["matched"], done["redriven"], done["refused"]) == (len(found), len(found), [])
            assert [name for name in self.scheduled(town, letters) if name not in before] == found
            town.project()

    def test_what_may_have_been_accepted_is_left_out_of_any_status(self, town: Town) -> None:
        doubtful = given_up(town, 1, "in_doubt")
        happens_after(town, doubtful)
        assert post(town, "redrive", {"reason": "outage"}).json()["matched"] == 0
        assert post(town, "redrive", {"reason": "outage", "accept_duplicates": True}).json()["redriven"] == 1

    def test_a_second_call_finds_nothing_more_even_where_the_read_model_lags(self, town: Town, letters: dict[str, UUID]) -> None:
        post(town, "redrive", {"reason": "outage"})
        again = post(town, "redrive", {"reason": "outage"}).json()
        assert (again["matched"], again["redriven"]) == (3, 0)
        assert again["refused"] == [{"why": "cannot redrive a message that is scheduled", "messages": 3}]
        town.project()
        assert post(town, "redrive", {"reason": "outage"}).json()["matched"] == 0

    def test_no_more_fall_due_in_a_minute_than_asked(self, town: Town, letters: dict[str, UUID]) -> None:
        done = post(town, "redrive", {"reason": "outage", "per_minute": 1}).json()
        states = town.store.load_messages(letters.values())
        due = sorted(stream.state.due_at for stream in states.values() if stream.state and stream.state.status == "scheduled")
        assert due == [NOW + timedelta(hours=1, minutes=minute) for minute in range(3)]
        assert done["last_due_at"] == "2027-03-01T13:02:00Z"

    @pytest.mark.parametrize(
        ("body", "wrong"),
        [
            ({}, ["/reason"]),
            ({"reason": ""}, ["/reason"]),
            ({"reason": "outage", "status": "sent"}, ["/status"]),
            ({"reason": "outage", "status": "in_doubt"}, ["/accept_duplicates"]),
            ({"reason": "outage", "timezone": "Mars/Olympus"}, ["/timezone"]),
            ({"reason": "outage", "type": "NOPE"}, ["/type"]),
            ({"reason": "outage", "per_minute": 0}, ["/per_minute"]),
        ],
    )
    def test_a_wrong_field_is_named_and_nothing_is_redriven(self, town: Town, body: dict[str, Any], wrong: list[str]) -> None:
        message_id = given_up(town)
        answer = post(town, "redrive", body)
        assert (answer.status_code, pointers(answer)) == (422, wrong)
        assert self.scheduled(town, {"it": message_id}) == []

    def scheduled(self, town: Town, letters: dict[str, UUID]) -> list[str]:
        states = town.store.load_messages(letters.values())
        return [name for name, each in letters.items() if (state := states[each].state) and state.status == "scheduled"]


def happens_after(town: Town, message_id: UUID) -> None:
    """A person gives up on what is in doubt."""
    stream = town.store.load_messages([message_id])[message_id]
    assert stream.state
    words: dict[str, Any] = {field: getattr(stream.state, field) for field in ("message_type", "timezone", "due_at")}
    end = MessageAbandoned(**words, reason="doubt", error="timeout", dispatch_id=None)
    assert not town.store.append([Group((NewEvents("messages", message_id, stream.version, (end,)),))], Origin("cli"), NOW).lost
    town.catch_up()


@pytest.mark.parametrize(
    ("asked", "found"), [({"error": "rejected:422"}, 1), ({"failed_from": "2027-03-01T12:00:01Z"}, 0), ({"error": "none"}, 0)]
)
def test_the_dead_letter_is_listed_by_what_went_wrong(town: Town, asked: dict[str, str], found: int) -> None:
    given_up(town, error="rejected:422")
    listed = town.client.get("/v1/messages", params={"status": "abandoned", **asked}).json()["items"]
    assert len(listed) == found
