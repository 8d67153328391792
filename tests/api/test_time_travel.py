"""What does the API answer about the past, and about what can't be read?"""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.api.conftest import NOW, Town, later, pointers
from tests.broken_streams import TOPIC, break_stream

MERGE = {"Content-Type": "application/merge-patch+json"}


def moved(town: Town) -> UUID:
    """Ada, who moved to Tokyo an hour after she was registered in London, and to Paris an hour later."""
    user_id = town.create()
    for hours, zone in ((1, "Asia/Tokyo"), (2, "Europe/Paris")):
        town.clock.instant = later(hours=hours)
        assert town.client.patch(f"/v1/users/{user_id}", json={"timezone": zone}, headers=MERGE).status_code == 200
    return user_id


@pytest.mark.parametrize(
    ("asked", "zone"),
    [
        ({"as_of": "2027-03-01T12:00:00Z"}, "Europe/London"),
        ({"as_of": "2027-03-01T12:59:59.999Z"}, "Europe/London"),
        ({"as_of": "2027-03-01T14:00:00+01:00"}, "Asia/Tokyo"),
        ({"as_of": "2027-03-02T00:00:00Z"}, "Europe/Paris"),
        ({"version": "1"}, "Europe/London"),
        ({"version": "2"}, "Asia/Tokyo"),
        ({"version": "3"}, "Europe/Paris"),
    ],
)
def test_a_person_is_shown_as_they_were(town: Town, asked: dict[str, str], zone: str) -> None:
    user_id = moved(town)
    then = town.client.get(f"/v1/users/{user_id}", params=asked)
    town.project()
    now = town.client.get(f"/v1/users/{user_id}").json()
    assert (then.status_code, then.json()) == (200, now | {"timezone": zone})


def test_a_message_is_shown_as_it_was(town: Town) -> None:
    message = town.message_of(town.create())
    town.clock.instant = later(hours=1)
    town.client.post(f"/v1/messages/{message['id']}/cancel")
    town.project()
    path = f"/v1/messages/{message['id']}"
    cancelled = message | {"status": "cancelled", "reason": "operator"}
    assert town.client.get(path).json() == cancelled
    for asked, shown in [
        ({"as_of": "2027-03-01T12:30:00Z"}, message),
        ({"version": "1"}, message),
        ({"as_of": "2027-03-01T13:00:00Z"}, cancelled),
        ({"version": "2"}, cancelled),
    ]:
        assert town.client.get(path, params=asked).json() == shown


@pytest.mark.parametrize("kind", ["users", "messages"])
def test_what_was_not_known_then_is_not_found_and_why_is_said(town: Town, kind: str) -> None:
    user_id = town.create()
    path = f"/v1/users/{user_id}" if kind == "users" else f"/v1/messages/{town.message_of(user_id)['id']}"
    early = town.client.get(path, params={"as_of": "2027-03-01T11:59:59Z"})
    assert (early.status_code, early.json()["detail"]) == (
        404,
        "It was not known by 2027-03-01T11:59:59Z yet: its first event is of 2027-03-01T12:00:00Z.",
    )
    beyond = town.client.get(path, params={"version": "2"})
    assert (beyond.status_code, beyond.json()["detail"]) == (404, "It has come to version 1 only.")


@pytest.mark.parametrize("kind", ["users", "messages"])
def test_who_never_was_is_not_found_in_the_past_either(town: Town, kind: str) -> None:
    never = town.client.get(f"/v1/{kind}/{uuid4()}", params={"version": "1"})
    assert (never.status_code, never.json()["detail"]) == (
        404,
        {"users": "No user has this ID.", "messages": "No scheduled message has this ID."}[kind],
    )


@pytest.mark.parametrize("kind", ["users", "messages"])
@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        ({"as_of": "2027-03-01T12:00:00Z", "version": "1"}, ["/version"]),
        ({"as_of": "2027-03-01"}, ["/as_of"]),
        ({"as_of": "2027-03-01T12:00:00"}, ["/as_of"]),
        ({"version": "0"}, ["/version"]),
        ({"version": "x", "at": "1"}, ["/at", "/version"]),
    ],
)
def test_a_moment_that_is_none_is_refused(town: Town, kind: str, asked: dict[str, str], wrong: list[str]) -> None:
    answer = town.client.get(f"/v1/{kind}/{uuid4()}", params=asked)
    assert (answer.status_code, pointers(answer)) == (422, wrong)


@pytest.mark.parametrize("asked", [{}, {"version": "1"}, {"as_of": "2027-03-01T12:00:00Z"}])
def test_whoever_was_erased_is_gone_from_the_past_too(town: Town, asked: dict[str, str]) -> None:
    user_id = moved(town)
    town.client.delete(f"/v1/users/{user_id}")
    town.project()
    assert town.client.get(f"/v1/users/{user_id}", params=asked).status_code == 410


def commands(user_id: UUID, message_id: str) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        ("PATCH", f"/v1/users/{user_id}", {"json": {"timezone": "Asia/Tokyo"}, "headers": MERGE}),
        ("DELETE", f"/v1/users/{user_id}", {}),
        ("POST", f"/v1/users/{user_id}/suppress", {}),
        ("POST", f"/v1/users/{user_id}/unsuppress", {}),
        ("GET", f"/v1/users/{user_id}/upcoming", {}),
        ("GET", f"/v1/users/{user_id}/events", {}),
        ("GET", f"/v1/users/{user_id}?version=1", {}),
        ("POST", f"/v1/messages/{message_id}/cancel", {}),
        ("POST", f"/v1/messages/{message_id}/reschedule", {"json": {"due_at": (NOW + timedelta(days=1)).isoformat()}}),
        ("POST", f"/v1/messages/{message_id}/redrive", {}),
        ("POST", f"/v1/messages/{message_id}/resolve", {"json": {"outcome": "sent"}}),
        ("GET", f"/v1/messages/{message_id}/events", {}),
        ("GET", f"/v1/messages/{message_id}?version=1", {}),
    ]


def test_what_can_not_be_read_is_named_with_what_helps(town: Town) -> None:
    user_id = town.create()
    message_id = town.message_of(user_id)["id"]
    break_stream(town.store.database, "users", user_id, NOW)
    break_stream(town.store.database, "messages", UUID(message_id), NOW)
    described = town.client.get("/openapi.json").json()["paths"]
    for method, path, said in commands(user_id, message_id):
        answer = town.client.request(method, path, **said)
        assert (answer.status_code, answer.headers["Content-Type"]) == (409, "application/problem+json"), path
        assert "ninebell parked list" in answer.json()["detail"], path
        assert "redrive" in path or f"{user_id if 'users' in path else message_id} (unknown)" in answer.json()["detail"], path
        assert TOPIC not in answer.text
        shape = path.partition("?")[0].replace(str(user_id), "{id}").replace(message_id, "{id}")
        assert "409" in described[shape][method.lower()]["responses"], path
