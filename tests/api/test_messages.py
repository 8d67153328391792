"""What can be asked of messages over HTTP, and told to them?"""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from application.channel_plan import ChannelPlan
from application.ports import Group, NewEvents, Origin
from application.provider_limit import ProviderLimit
from domain.dispatch import DispatchRequested, DispatchStarted
from domain.scheduled_message import SendRequested
from tests.api.conftest import NOW, SINK, Town, pointers

BIRTHDAY = "2027-03-02"


def test_a_message_is_shown_as_the_contract_says(town: Town) -> None:
    user_id = town.create()
    message = town.message_of(user_id)
    expected = {
        "id": message["id"],
        "user_id": str(user_id),
        "type": "BIRTHDAY",
        "occasion": BIRTHDAY,
        "timezone": "Europe/London",
        "due_at": "2027-03-02T09:00:00Z",
        "status": "scheduled",
        "reason": "",
        "attempts": 0,
        "channel": "",
        "sent_at": None,
        "in_doubt": False,
    }
    assert message == expected
    assert town.client.get(f"/v1/messages/{message['id']}").json() == expected


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["Asia/Calcutta", "Europe/London"]),
        ({"timezone": "Asia/Kolkata"}, ["Asia/Calcutta"]),
        ({"from": "2027-03-02T09:00:00Z"}, ["Europe/London"]),
        ({"to": "2027-03-02T09:00:00Z"}, ["Asia/Calcutta"]),
        ({"from": "2027-03-02T03:30:00Z", "to": "2027-03-02T10:00:01+01:00"}, ["Asia/Calcutta", "Europe/London"]),
        ({"status": "scheduled", "type": "BIRTHDAY"}, ["Asia/Calcutta", "Europe/London"]),
        ({"status": "sent"}, []),
        ({"type": "ANNIVERSARY"}, []),
        ({"reason": "tzdata"}, []),
        ({"user_id": str(uuid4())}, []),
    ],
)
def test_messages_are_found_by_what_is_asked(town: Town, asked: dict[str, str], found: list[str]) -> None:
    town.create()
    town.create(external_id="crm-2", timezone="Asia/Calcutta")
    town.catch_up()
    listed = town.client.get("/v1/messages", params=asked).json()["items"]
    assert [message["timezone"] for message in listed] == found


def test_messages_are_found_by_the_reason_they_show(town: Town) -> None:
    message = town.message_of(town.create())
    town.create(external_id="crm-2")
    town.client.post(f"/v1/messages/{message['id']}/cancel")
    town.catch_up()
    listed = town.client.get("/v1/messages", params={"reason": "operator"}).json()["items"]
    assert [(one["id"], one["reason"]) for one in listed] == [(message["id"], "operator")]


def test_a_reason_that_no_message_has_is_refused(town: Town) -> None:
    answer = town.client.get("/v1/messages", params={"reason": "weather"})
    assert (answer.status_code, pointers(answer)) == (422, ["/reason"])


def test_messages_are_turned_page_by_page(town: Town) -> None:
    for number in range(5):
        town.create(external_id=f"crm-{number}")
    town.catch_up()
    whole = town.client.get("/v1/messages").json()["items"]
    turned: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = town.client.get("/v1/messages", params={"limit": 2, **cursor}).json()
        turned += page["items"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert (turned, len(whole)) == (whole, 5)


def test_an_operator_cancels_a_message(town: Town) -> None:
    message = town.message_of(town.create())
    answer = town.client.post(f"/v1/messages/{message['id']}/cancel")
    assert answer.json() == message | {"status": "cancelled", "reason": "operator"}
    assert answer.headers["Ninebell-Position"] == "messages=2"
    town.project()
    shown = town.client.get(f"/v1/messages/{message['id']}", headers={"Ninebell-Position": "messages=2"})
    assert shown.json() == answer.json()
    events = town.client.get(f"/v1/messages/{message['id']}/events").json()["items"]
    assert [(event["name"], event["who"]) for event in events] == [
        ("message.scheduled.v1", "planner"),
        ("message.cancelled.v1", "key:default"),
    ]
    assert events[1]["data"]["reason"] == "operator"


def test_an_operator_moves_a_message(town: Town) -> None:
    message = town.message_of(town.create())
    answer = town.client.post(f"/v1/messages/{message['id']}/reschedule", json={"due_at": "2027-03-02T18:00:00+01:00"})
    assert answer.json() == message | {"due_at": "2027-03-02T17:00:00Z", "reason": "operator"}


@pytest.mark.parametrize("body", [{}, {"due_at": "tomorrow"}, {"due_at": "2027-03-02T18:00:00"}, {"due_at": 17}])
def test_a_message_is_moved_to_an_instant_only(town: Town, body: dict[str, Any]) -> None:
    answer = town.client.post(f"/v1/messages/{uuid4()}/reschedule", json=body)
    assert (answer.status_code, pointers(answer)) == (422, ["/due_at"])


@pytest.mark.parametrize(
    "due_at", ["9999-12-31T23:59:59-14:00", "9999-12-31T12:00:00Z", "2028-03-02T18:00:00Z", "0001-01-01T00:00:00+14:00"]
)
def test_a_message_is_not_moved_more_than_a_year_from_its_day(town: Town, due_at: str) -> None:
    message = town.message_of(town.create())
    answer = town.client.post(f"/v1/messages/{message['id']}/reschedule", json={"due_at": due_at})
    assert (answer.status_code, pointers(answer)) == (422, ["/due_at"])


def test_a_message_that_a_worker_has_is_left_to_it(town: Town) -> None:
    message = town.message_of(town.create())
    _claim(town, message)
    for action, body in (("cancel", None), ("reschedule", {"due_at": "2027-03-02T18:00:00Z"})):
        answer = town.client.post(f"/v1/messages/{message['id']}/{action}", json=body)
        assert (answer.status_code, answer.json()["title"]) == (409, "Conflict")
        assert answer.json()["detail"]


def test_a_cancelled_message_is_not_moved(town: Town) -> None:
    message = town.message_of(town.create())
    town.client.post(f"/v1/messages/{message['id']}/cancel")
    answer = town.client.post(f"/v1/messages/{message['id']}/reschedule", json={"due_at": "2027-03-02T18:00:00Z"})
    assert (answer.status_code, answer.json()["detail"]) == (409, "cannot reschedule a message that is cancelled")


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/reschedule")])
def test_no_message_is_found_under_an_unknown_id(town: Town, method: str, path: str) -> None:
    body: Any = {"json": {"due_at": "2027-03-02T18:00:00Z"}} if path == "/reschedule" else {}
    assert town.client.request(method, f"/v1/messages/{uuid4()}{path}", **body).status_code == 404


def test_the_dashboards_add_up(town: Town) -> None:
    town.message_of(town.create())
    town.client.post(f"/v1/messages/{town.message_of(town.create(external_id='crm-2'))['id']}/cancel")
    town.create(external_id="crm-3", timezone="Asia/Calcutta")
    town.catch_up()
    summary = town.client.get("/v1/dashboard/summary").json()["messages"]
    assert (summary["scheduled"], summary["cancelled"], sum(summary.values())) == (2, 1, 3)
    zones = town.client.get("/v1/dashboard/timezones").json()["items"]
    assert [(zone["timezone"], zone["pending"]) for zone in zones] == [("Asia/Kolkata", 1), ("Europe/London", 1)]
    forecast = town.client.get("/v1/dashboard/forecast").json()["items"]
    assert [(one["minute"], one["messages"]) for one in forecast] == [("2027-03-02T03:30:00Z", 1), ("2027-03-02T09:00:00Z", 1)]
    throughput = town.client.get("/v1/dashboard/throughput", params={"from": "2027-03-01"}).json()["hours"]
    assert {one["status"]: one["messages"] for one in throughput} == {"scheduled": 3, "cancelled": 1}
    year = town.client.get("/v1/dashboard/throughput", params={"from": "2026-03-02"}).json()["hours"]
    assert {one["hour"]: one["status"] for one in year} == {"2027-03-01T00:00:00Z": "scheduled"}, "the days of a longer time"
    failures = town.client.get("/v1/dashboard/failures", params={"from": "2027-03-01"}).json()["items"]
    assert failures == [{"status": "cancelled", "reason": "operator", "messages": 1}]


def test_the_forecast_tells_the_herds_to_come_and_how_long_they_take_to_leave(town: Town) -> None:
    for number, timezone in enumerate(("Europe/London", "Europe/Lisbon", "Europe/London", "Asia/Kathmandu")):
        town.create(external_id=f"crm-{number}", timezone=timezone)
    town.catch_up()
    slow = replace(SINK, limit=ProviderLimit(most=1, per_seconds=60))
    found = town.with_limits(channels=ChannelPlan([slow])).get("/v1/dashboard/forecast").json()
    assert (found["from"], found["to"], found["planned_until"]) == (
        "2027-03-01T12:00:00Z",
        "2027-03-03T12:00:00Z",
        "2027-03-03T12:00:00Z",
    )
    assert found["items"] == [
        {"minute": "2027-03-02T03:15:00Z", "timezone": "Asia/Kathmandu", "messages": 1},
        {"minute": "2027-03-02T09:00:00Z", "timezone": "Europe/Lisbon", "messages": 1},
        {"minute": "2027-03-02T09:00:00Z", "timezone": "Europe/London", "messages": 2},
    ]
    assert found["peak"] == found["herds"][1]
    assert found["peak"] == {
        "minute": "2027-03-02T09:00:00Z",
        "messages": 3,
        "drained_at": "2027-03-02T09:02:00Z",
        "drain_seconds": 120,
        "late": 2,
        "expired": 0,
    }
    assert (found["messages"], found["late"], found["expired"], found["waiting"]) == (4, 2, 0, 0)
    assert town.client.get("/v1/dashboard/forecast").json()["rates"] == {}
    asked = {"from": "2027-03-02T09:00:59Z", "to": "2027-03-02T09:01:00Z"}
    assert town.client.get("/v1/dashboard/forecast", params=asked).json()["messages"] == 3
    town.clock.instant += timedelta(hours=16)
    later = town.client.get("/v1/dashboard/forecast").json()
    assert (later["waiting"], later["messages"]) == (1, 3)


def test_every_follower_is_listed_also_before_it_has_read_anything(town: Town) -> None:
    def listed() -> dict[str, Any]:
        return {one["name"]: one for one in town.client.get("/v1/projections").json()["items"]}

    read_models = ["users_view", "messages_by_timezone", "message_log", "analytics_view"]
    assert list(listed()) == [*read_models, "planner", "dispatcher", "publisher", "doubt"]
    assert {(one["position"], one["head"], one["lag_events"], one["lag_seconds"]) for one in listed().values()} == {
        (0, 0, 0, 0.0)
    }
    town.create()
    town.plan()
    followers = listed()
    assert set(followers["planner"]) == {"name", "kind", "version", "position", "head", "lag_events", "lag_seconds", "parked"}
    assert {name: one["lag_events"] for name, one in followers.items()} == {
        "users_view": 1,
        "messages_by_timezone": 1,
        "message_log": 1,
        "analytics_view": 1,
        "planner": 0,
        "dispatcher": 1,
        "publisher": 0,
        "doubt": 1,
    }


def _claim(town: Town, message: dict[str, Any]) -> None:
    """As dispatcher and worker do."""
    dispatch_id, message_id = uuid4(), UUID(message["id"])
    state = next(iter(town.store.load_messages([message_id]).values())).state
    assert state is not None
    requested = SendRequested(
        message_type=state.message_type,
        timezone=state.timezone,
        due_at=state.due_at,
        attempt=1,
        channel="sink",
        dispatch_id=dispatch_id,
    )
    dispatch = (
        DispatchRequested(channel="sink", region="europe", message_ids=(message_id,)),
        DispatchStarted(worker="w", incarnation=uuid4(), claim_token=uuid4()),
    )
    group = Group((NewEvents("messages", message_id, 1, (requested,)), NewEvents("dispatches", dispatch_id, 0, dispatch)))
    assert not town.store.append([group], Origin("test"), NOW).lost
