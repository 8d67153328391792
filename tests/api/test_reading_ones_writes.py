"""Does a query that brings along a command's position see what the command did?"""

import threading

import pytest

from tests.api.conftest import Town


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


@pytest.mark.parametrize("position", ["", "users", "users=", "users=-1", "users=1,users=2", "people=1", "users=1;messages=2"])
def test_a_position_that_no_answer_gave_is_refused(town: Town, position: str) -> None:
    assert town.client.get("/v1/users", headers={"Ninebell-Position": position}).status_code == 400
