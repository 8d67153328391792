"""What can be said about a person over HTTP, and what is answered?"""

from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from api.http_wire import NewUser, UserPatch
from domain.user_details import FIELDS
from tests.api.conftest import ADA, Town, pointers


def test_a_new_person_is_answered_with_a_place_a_position_and_themselves(client: TestClient) -> None:
    answer = client.post("/v1/users", json=ADA | {"preferred_time": "07:30", "attributes": {"tier": "gold"}})
    shown = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/users/{shown['id']}"
    assert answer.headers["Ninebell-Position"] == "users=1"
    assert ADA.items() <= shown.items()
    assert (shown["preferred_time"], shown["attributes"]) == ("07:30", {"tier": "gold"})
    assert (shown["first_occasion"], shown["suppressed"]) == ("2027-03-01", False)


def test_the_read_model_shows_a_person_as_the_command_did(town: Town) -> None:
    shown = town.client.post("/v1/users", json=ADA | {"preferred_time": "07:30", "attributes": {"tier": "gold"}}).json()
    town.project()
    assert town.client.get(f"/v1/users/{shown['id']}").json() == shown
    assert town.client.get("/v1/users").json() == {"items": [shown], "next": None}


def test_an_id_may_be_given_and_is_then_taken(client: TestClient) -> None:
    chosen = str(uuid4())
    assert client.post("/v1/users", json=ADA | {"id": chosen}).json()["id"] == chosen
    again = client.post("/v1/users", json=ADA | {"id": chosen, "external_id": None})
    assert (again.status_code, again.json()["detail"]) == (409, f"user {chosen} exists")


def test_a_known_external_id_is_taken(town: Town) -> None:
    known = town.create()
    again = town.client.post("/v1/users", json=ADA)
    assert (again.status_code, again.json()["detail"]) == (409, f"user {known} exists")


def test_every_wrong_field_is_named(client: TestClient) -> None:
    wrong = {"id": "7", "email": "ada", "timezone": "Mars/Olympus", "birthday": "2027-02-30", "country": "gb", "shoe_size": 39}
    answer = client.post("/v1/users", json=wrong)
    assert answer.status_code == 422
    assert set(pointers(answer)) == {"/id", "/first_name", "/email", "/timezone", "/birthday", "/country", "/shoe_size"}
    assert "ada" not in answer.text


def test_a_patch_changes_what_it_names_and_null_clears(town: Town) -> None:
    user_id = town.create(attributes={"tier": "gold", "shop": "7"}, country="GB")
    answer = town.client.patch(
        f"/v1/users/{user_id}",
        json={"timezone": "Asia/Tokyo", "last_name": None, "country": None, "attributes": {"tier": None, "new": "1"}},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    shown = answer.json()
    assert (answer.status_code, answer.headers["Ninebell-Position"]) == (200, "users=5")
    assert (shown["first_name"], shown["last_name"], shown["timezone"]) == ("Ada", "", "Asia/Tokyo")
    assert (shown["country"], shown["attributes"]) == (None, {"shop": "7", "new": "1"})


def test_a_patch_that_changes_nothing_is_answered_with_the_present_position(town: Town) -> None:
    user_id = town.create(preferred_time="07:30", anniversary="2020-05-17", message_types=["BIRTHDAY", "ANNIVERSARY"])
    answer = town.client.patch(f"/v1/users/{user_id}", json={"first_name": "Ada"})
    assert (answer.status_code, answer.headers["Ninebell-Position"]) == (200, "users=1")


@pytest.mark.parametrize("patch", [{"external_id": "crm-2"}, {"external_id": None}])
def test_the_external_id_is_for_life(town: Town, patch: dict[str, Any]) -> None:
    answer = town.client.patch(f"/v1/users/{town.create()}", json=patch)
    assert (answer.status_code, pointers(answer)) == (422, ["/external_id"])


def test_a_patch_names_every_wrong_field_and_changes_nothing(town: Town) -> None:
    user_id = town.create()
    answer = town.client.patch(f"/v1/users/{user_id}", json={"email": None, "timezone": "CEST", "id": "7", "last_name": "King"})
    assert (answer.status_code, set(pointers(answer))) == (422, {"/email", "/timezone", "/id"})
    town.project()
    assert town.client.get(f"/v1/users/{user_id}").json()["last_name"] == "Lovelace"


def test_an_erased_person_is_gone_for_good(town: Town) -> None:
    user_id = town.create()
    town.project()
    for _ in range(2):
        answer = town.client.delete(f"/v1/users/{user_id}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["Ninebell-Position"] == "users=2"
    for lagging in (True, False):
        assert town.client.get(f"/v1/users/{user_id}").status_code == 410
        assert town.client.get(f"/v1/users/{user_id}/upcoming").status_code == 410
        assert town.client.patch(f"/v1/users/{user_id}", json={"first_name": "Eve"}).status_code == 410
        assert town.client.get("/v1/users", params={"external_id": "crm-1"}).json()["items"] == []
        assert town.client.get("/v1/users").json()["items"] == []
        if lagging:
            town.project()


def test_what_belonged_to_an_erased_person_is_never_used_again(town: Town) -> None:
    user_id = town.create()
    town.client.delete(f"/v1/users/{user_id}")
    assert town.client.post("/v1/users", json=ADA).status_code == 409
    assert town.client.post("/v1/users", json=ADA | {"id": str(user_id), "external_id": None}).status_code == 409


def test_the_history_of_an_erased_person_names_nobody(town: Town) -> None:
    user_id = town.create()
    assert "ada@example.org" in town.client.get(f"/v1/users/{user_id}/events").text
    town.client.delete(f"/v1/users/{user_id}")
    history = town.client.get(f"/v1/users/{user_id}/events")
    assert [event["name"] for event in history.json()["items"]] == ["user.registered.v1", "user.erased.v1"]
    assert not [personal for personal in ("Ada", "Lovelace", "ada@example.org", "crm-1", "1990") if personal in history.text]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/upcoming"),
        ("GET", "/events"),
        ("POST", "/suppress"),
        ("POST", "/unsuppress"),
    ],
)
def test_nobody_is_found_under_an_unknown_id(client: TestClient, method: str, path: str) -> None:
    body: Any = {"json": {}} if method == "PATCH" else {}
    assert client.request(method, f"/v1/users/{uuid4()}{path}", **body).status_code == 404
    assert client.request(method, f"/v1/users/7{path}", **body).status_code == 404


def test_a_suppressed_person_gets_nothing_until_unsuppressed(town: Town) -> None:
    user_id = town.create()
    suppressed = town.client.post(f"/v1/users/{user_id}/suppress", json={"reason": "bounced"})
    assert (suppressed.status_code, suppressed.json()["suppressed"]) == (200, True)
    assert town.client.get(f"/v1/users/{user_id}/upcoming").json() == {"items": []}
    again = town.client.post(f"/v1/users/{user_id}/unsuppress")
    assert (again.json()["suppressed"], again.headers["Ninebell-Position"]) == (False, "users=3")
    events = town.client.get(f"/v1/users/{user_id}/events").json()["items"]
    assert [event["data"] for event in events[1:]] == [{"reason": "bounced"}, {}]


def test_why_somebody_is_suppressed_need_not_be_said(town: Town) -> None:
    assert town.client.post(f"/v1/users/{town.create()}/suppress").json()["suppressed"] is True


@pytest.mark.parametrize("body", [{"reason": ""}, {"reason": 7}, {"why": "bounced"}])
def test_why_somebody_is_suppressed_is_a_short_text(town: Town, body: dict[str, Any]) -> None:
    answer = town.client.post(f"/v1/users/{town.create()}/suppress", json=body)
    assert (answer.status_code, pointers(answer)) == (422, [f"/{next(iter(body))}"])


def test_an_event_says_who_caused_it_and_in_which_request(town: Town) -> None:
    created = town.client.post("/v1/users", json=ADA, headers={"X-Request-ID": "import-7"})
    assert created.headers["X-Request-ID"] == "import-7"
    (event,) = town.client.get(f"{created.headers['Location']}/events").json()["items"]
    assert (event["position"], event["version"], event["name"]) == (1, 1, "user.registered.v1")
    assert (event["who"], event["correlation_id"], event["at"]) == ("key:default", "import-7", "2027-03-01T12:00:00Z")
    assert event["data"] | {"first_name": "Ada", "birthday": "1990-03-02"} == event["data"]


def test_a_list_is_turned_page_by_page(town: Town) -> None:
    made = {str(town.create(external_id=f"crm-{number}")) for number in range(5)}
    town.project()
    seen, pages = set[str](), 0
    cursor: dict[str, str] = {}
    while True:
        page = town.client.get("/v1/users", params={"limit": 2, **cursor}).json()
        seen |= {shown["id"] for shown in page["items"]}
        pages += 1
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert (seen, pages) == (made, 3)


def test_a_history_is_turned_page_by_page(town: Town) -> None:
    user_id = town.create()
    for zone in ("Asia/Tokyo", "Asia/Manila"):
        town.client.patch(f"/v1/users/{user_id}", json={"timezone": zone})
    first = town.client.get(f"/v1/users/{user_id}/events", params={"limit": 2}).json()
    rest = town.client.get(f"/v1/users/{user_id}/events", params={"limit": 2, "cursor": first["next"]}).json()
    assert [event["version"] for event in first["items"] + rest["items"]] == [1, 2, 3]
    assert rest["next"] is None


def test_people_are_found_by_external_id_and_by_any_name_of_their_zone(town: Town) -> None:
    london, calcutta = town.create(), town.create(external_id="crm-2", timezone="Asia/Calcutta")
    town.project()

    def found(**asked: str) -> list[str]:
        return [shown["id"] for shown in town.client.get("/v1/users", params=asked).json()["items"]]

    assert found(external_id="crm-1") == [str(london)]
    assert found(timezone="Asia/Kolkata") == [str(calcutta)]
    assert found(external_id="crm-1", timezone="Asia/Kolkata") == []
    assert found(external_id="crm-2", timezone="Asia/Kolkata") == [str(calcutta)]
    assert found(external_id="crm-3") == []


def test_what_is_to_come_is_told_with_its_rule_before_and_after_it_is_planned(town: Town) -> None:
    user_id = town.create(timezone="Asia/Kathmandu", birthday="--02-29", message_types=["BIRTHDAY"])
    soon = town.create(external_id="crm-2")
    (leap,) = town.client.get(f"/v1/users/{user_id}/upcoming").json()["items"]
    assert (leap["occasion"], leap["rule"], leap["utc_offset"]) == ("2028-02-29", "plain", "+05:45")
    assert (leap["due_at"], leap["tzdata"], leap["status"]) == ("2028-02-29T03:15:00Z", "2026f", None)
    far = town.client.get(f"/v1/users/{user_id}/upcoming", params={"days": 800}).json()["items"]
    assert [(one["occasion"], one["rule"]) for one in far[1:]] == [("2029-02-28", "leap_feb28")]
    (planned,) = town.client.get(f"/v1/users/{soon}/upcoming", params={"days": 30}).json()["items"]
    message = town.message_of(soon)
    (now,) = town.client.get(f"/v1/users/{soon}/upcoming", params={"days": 30}).json()["items"]
    assert (planned["status"], now["status"], now["message_id"]) == (None, "scheduled", message["id"])
    assert planned | {"status": "scheduled"} == now


def test_an_occasion_that_was_moved_is_told_at_its_new_instant(town: Town) -> None:
    user_id = town.create()
    message = town.message_of(user_id)
    town.client.post(f"/v1/messages/{message['id']}/reschedule", json={"due_at": "2027-03-02T15:00:00+01:00"})
    (told,) = town.client.get(f"/v1/users/{user_id}/upcoming", params={"days": 30}).json()["items"]
    assert told["due_at"] == "2027-03-02T14:00:00Z"


def test_the_described_bodies_are_those_that_are_taken() -> None:
    assert NewUser.__struct_fields__ == ("id", *FIELDS)
    assert UserPatch.__struct_fields__ == FIELDS[1:]
