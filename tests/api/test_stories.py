"""Which ID ties a request to what comes of it?"""

import re
from typing import Any
from uuid import UUID

import pytest

from application.delivery_ports import NotAccepted, Rejected
from tests.api.conftest import ADA, Town, later
from tests.delivery_scene import Provider
from tests.sending import send_what_is_due

TRACE = "0af7651916cd43dd8448eb211c80319c"


def ids_of(town: Town, user_id: str) -> list[str]:
    items = town.client.get(f"/v1/users/{user_id}/events").json()["items"]
    return [item["correlation_id"] for item in items]


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({"Ninebell-Correlation-Id": "order-7"}, "order-7"),
        ({"X-Request-ID": "proxy-8"}, "proxy-8"),
        ({"X-Request-ID": "proxy-8", "Ninebell-Correlation-Id": "order-7"}, "order-7"),
        ({"X-Request-ID": "proxy-8", "Ninebell-Correlation-Id": "two words"}, "proxy-8"),
        ({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, TRACE),
        ({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X-Request-ID": "proxy-8"}, "proxy-8"),
    ],
)
def test_a_clients_own_id_is_answered_and_kept(town: Town, headers: dict[str, str], taken: str) -> None:
    answer = town.client.post("/v1/users", json=ADA, headers=headers)
    assert (answer.headers["Ninebell-Correlation-Id"], answer.headers["X-Request-ID"]) == (taken, taken)
    assert ids_of(town, answer.json()["id"]) == [taken]


@pytest.mark.parametrize("headers", [{}, {"traceparent": "00-short-b7ad6b7169203331-01"}, {"Ninebell-Correlation-Id": "x" * 65}])
def test_without_one_an_id_is_made_that_tells_its_instant(town: Town, headers: dict[str, str]) -> None:
    answer = town.client.post("/v1/users", json=ADA, headers=headers)
    made = answer.headers["Ninebell-Correlation-Id"]
    assert UUID(made).version == 7
    assert ids_of(town, answer.json()["id"]) == [made]


def test_every_command_says_in_its_description_that_it_is_answered(town: Town) -> None:
    described: dict[str, Any] = town.client.get("/openapi.json").json()["paths"]
    for methods in described.values():
        for method, operation in methods.items():
            answered = next(answer for code, answer in operation["responses"].items() if code.startswith("2"))
            taken = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "header"}
            is_command = method != "get"
            assert ("Ninebell-Correlation-Id" in answered.get("headers", {})) == is_command
            assert ("Ninebell-Correlation-Id" in taken) == is_command


def test_what_a_request_brings_about_at_once_is_of_its_story(town: Town) -> None:
    made = town.client.post("/v1/users", json=ADA, headers={"Ninebell-Correlation-Id": "order-7"}).json()
    message = town.message_of(UUID(made["id"]))
    town.client.post(f"/v1/messages/{message['id']}/cancel", headers={"Ninebell-Correlation-Id": "order-8"})
    events = town.client.get(f"/v1/messages/{message['id']}/events").json()["items"]
    told = [(one["name"], one["who"], one["correlation_id"]) for one in events]
    assert told == [
        ("message.scheduled.v1", "planner", "order-7"),
        ("message.cancelled.v1", "key:default", "order-8"),
    ]
    assert re.fullmatch(r"users:\d+", events[0]["causation_id"])


def test_one_id_goes_from_the_request_to_the_delivery(town: Town) -> None:
    made = town.client.post("/v1/users", json=ADA, headers={"Ninebell-Correlation-Id": "order-7"}).json()
    message = town.message_of(UUID(made["id"]))
    (dispatch_id,) = send_what_is_due(town.store, later(hours=21))
    events = town.client.get(f"/v1/messages/{message['id']}/events").json()["items"]
    told = [(one["name"], one["who"], one["correlation_id"], one["causation_id"]) for one in events]
    assert told == [
        ("message.scheduled.v1", "planner", "order-7", "users:1"),
        ("message.send_requested.v1", "dispatcher", "order-7", "due"),
        ("message.sent.v1", "worker", "order-7", f"dispatch:{dispatch_id}"),
    ]
    # A batch is a hundred stories': it has one of its own, and each message names it.
    batch = town.store.history("dispatches", dispatch_id)
    assert [one.origin.correlation_id for one in batch] == [str(dispatch_id)] * 3


def test_what_the_sweep_plans_begins_a_story_of_the_messages_own(town: Town) -> None:
    user_id = town.create(birthday="1990-03-05")
    town.plan()
    town.clock.instant = later(days=2)
    message = town.message_of(user_id)
    send_what_is_due(town.store, later(days=3, hours=21))
    events = town.client.get(f"/v1/messages/{message['id']}/events").json()["items"]
    assert [(one["name"], one["correlation_id"]) for one in events] == [
        ("message.scheduled.v1", message["id"]),
        ("message.send_requested.v1", message["id"]),
        ("message.sent.v1", message["id"]),
    ]
    assert events[0]["causation_id"] == "sweep"


def test_a_retry_is_of_the_same_story_and_a_redrive_of_the_operators(town: Town) -> None:
    made = town.client.post("/v1/users", json=ADA, headers={"Ninebell-Correlation-Id": "order-7"}).json()
    message = town.message_of(UUID(made["id"]))
    provider = Provider(idempotent=False)
    provider.answers[UUID(message["id"])] = [NotAccepted("not_accepted:500"), Rejected("rejected:400")]
    send_what_is_due(town.store, later(hours=21), provider)
    send_what_is_due(town.store, later(hours=22), provider)
    town.clock.instant = later(hours=23)
    path = f"/v1/messages/{message['id']}"
    assert town.client.post(f"{path}/redrive", headers={"Ninebell-Correlation-Id": "mend-1"}).status_code == 200
    send_what_is_due(town.store, later(hours=23), provider)
    events = town.client.get(f"{path}/events").json()["items"]
    assert [(one["name"].split(".")[1], one["correlation_id"]) for one in events] == [
        ("scheduled", "order-7"),
        ("send_requested", "order-7"),
        ("failed", "order-7"),
        ("send_requested", "order-7"),
        ("abandoned", "order-7"),
        ("redriven", "mend-1"),
        ("send_requested", "mend-1"),
        ("sent", "mend-1"),
    ]
