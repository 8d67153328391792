"""Does a query that brings along a command's position see what the command did?"""

import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from api.app import make_app
from application.ports import Position
from projections.projection import Projection
from tests.api.conftest import KEY, Town
from tests.api.serving import call, served

A_LOOPS_THREADS = 40
MERGE = {"Content-Type": "application/merge-patch+json"}


def test_a_query_waits_until_its_read_model_has_seen_the_position(town: Town) -> None:
    client = town.with_limits(wait_seconds=30.0)
    created = client.post("/v1/users", json={"first_name": "Ada", "email": "ada@example.org", "timezone": "Asia/Tokyo"})
    projecting = threading.Thread(target=town.project)
    projecting.start()
    found = client.get(created.headers["Location"], headers={"Ninebell-Position": created.headers["Ninebell-Position"]})
    projecting.join()
    assert found.json() == created.json()


@pytest.mark.parametrize("path", ["/v1/users", "/v1/messages", "/v1/dashboard/summary", "/v1/dashboard/forecast"])
def test_a_read_model_that_does_not_come_so_far_is_answered_with_503(town: Town, path: str) -> None:
    answer = town.client.get(path, headers={"Ninebell-Position": "users=7,messages=7"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_a_query_about_messages_waits_for_the_planner_too(town: Town) -> None:
    town.create()
    town.project()
    position = {"Ninebell-Position": "users=1"}
    assert town.client.get("/v1/users", headers=position).status_code == 200
    assert town.client.get("/v1/messages", headers=position).status_code == 503
    town.catch_up()
    assert len(town.client.get("/v1/messages", headers=position).json()["items"]) == 1


@pytest.mark.parametrize("asked", ["/events", "?as_of=2027-03-01T12:00:00Z", "?version=1"])
def test_a_query_about_a_messages_events_waits_for_the_planner_too(town: Town, asked: str) -> None:
    user_id = town.create()
    path = f"/v1/messages/{town.message_of(user_id)['id']}{asked}"
    moved = town.client.patch(f"/v1/users/{user_id}", json={"timezone": "Asia/Tokyo"}, headers=MERGE)
    position = {"Ninebell-Position": moved.headers["Ninebell-Position"]}
    assert town.client.get(f"/v1/users/{user_id}/events", headers=position).status_code == 200
    assert town.client.get(path, headers=position).status_code == 503
    town.plan()
    assert town.client.get(path, headers=position).status_code == 200


@pytest.mark.parametrize("asked", ["/events", "?version=1"])
def test_a_query_about_a_persons_events_waits_for_those_alone(town: Town, asked: str) -> None:
    path = f"/v1/users/{town.create()}{asked}"
    assert town.client.get(path, headers={"Ninebell-Position": "users=1,messages=7"}).status_code == 200
    assert town.client.get(path, headers={"Ninebell-Position": "users=7"}).status_code == 503


@pytest.mark.parametrize("position", ["", "users", "users=", "users=-1", "users=1,users=2", "people=1", "users=1;messages=2"])
def test_a_position_that_no_answer_gave_is_refused(town: Town, position: str) -> None:
    assert town.client.get("/v1/users", headers={"Ninebell-Position": position}).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/messages/redrive", {"reason": "provider was down", "dry_run": True}),
        ("POST", "/v1/messages/redrive", {"reason": "provider was down"}),
        ("PUT", "/v1/templates/BIRTHDAY/fr", {"subject": "Joyeux anniversaire !", "body": "Bonjour {{ first_name }}"}),
        ("POST", "/v1/projections/message_log/rebuild", None),
        ("POST", "/v1/users/import", [{}]),
    ],
    ids=["redrive counted first", "redrive of none", "template", "rebuild", "import of nobody"],
)
def test_a_command_that_appends_nothing_answers_with_the_current_position(town: Town, method: str, path: str, body: Any) -> None:
    town.create()
    town.catch_up()
    headers = {"Content-Type": "application/x-ndjson"} if isinstance(body, list) else {}
    answer = town.client.request(method, path, json=body, headers=headers)
    assert answer.is_success, answer.text
    assert answer.headers["Ninebell-Position"] == "users=1,messages=1"


def test_who_waits_keeps_nobody_else_from_an_answer(town: Town) -> None:
    waiting, answered = threading.Semaphore(0), []

    class Noticing:
        """The followers, and a sign for each query that begins to wait."""

        def status(self, now: datetime) -> Sequence[Struct]:
            return town.service.followers.status(now)

        def wait_for(self, read_model: Projection, position: Position, timeout_seconds: float) -> bool:
            waiting.release()
            return town.service.followers.wait_for(read_model, position, timeout_seconds)

    def ask(port: int, head: str = "") -> None:
        answer = call(port, f"GET /v1/users HTTP/1.1\nHost: x\nAuthorization: Bearer {KEY}\nConnection: close{head}", end=False)
        answered.append(answer.split()[1])

    town.create()
    app = make_app(replace(town.service, followers=Noticing(), wait_seconds=20.0))
    with served(app) as port:
        patient = [threading.Thread(target=ask, args=(port, "\nNinebell-Position: users=1")) for _ in range(A_LOOPS_THREADS)]
        for one in patient:
            one.start()
        for _ in patient:
            waiting.acquire()
        ask(port)
        assert answered == [b"200"]
        town.project()
        for one in patient:
            one.join()
    assert answered == [b"200"] * (1 + A_LOOPS_THREADS)
