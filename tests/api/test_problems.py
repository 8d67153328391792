"""How is what can't be done refused, and does nobody get in without the key?"""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from api.app import ROUTES
from tests.api.conftest import ADA, Town, pointers

JSON = {"Content-Type": "application/json"}
KEPT = [(endpoint.method, endpoint.path.replace(":uuid", "")) for endpoint in ROUTES if not endpoint.open]
OPEN = {"/healthz", "/readyz", "/docs", "/openapi.json"}


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer a-key-for-test", "Basic a-key-for-tests", "a-key-for-tests"])
def test_nothing_but_what_is_open_answers_without_the_key(client: TestClient, header: str) -> None:
    for method, path in [*KEPT, ("GET", "/v1/nothing"), ("GET", "/docs/"), ("GET", "//docs")]:
        answer = client.request(
            method, path.format(id=uuid4(), type="BIRTHDAY", language="fr", name="message_log"), headers={"Authorization": header}
        )
        assert (answer.status_code, answer.json()["status"]) == (401, 401), path
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.headers["X-Request-ID"]


def test_what_is_open_answers_without_the_key(client: TestClient) -> None:
    assert {endpoint.path for endpoint in ROUTES if endpoint.open} == OPEN
    assert {client.get(path, headers={"Authorization": ""}).status_code for path in OPEN} == {200}


def test_the_key_may_be_announced_in_any_case(client: TestClient) -> None:
    assert client.get("/v1/users", headers={"Authorization": "bearer a-key-for-tests"}).status_code == 200


def test_what_is_not_json_is_refused(client: TestClient) -> None:
    for body in (b"", b"{", b'{"a": 1}}', b"\xff", b'{"first_name": "\xff"}', b"[" * 100_000, b'{"a": 1e999}'):
        answer = client.post("/v1/users", content=body, headers=JSON)
        assert (answer.status_code, answer.json()["title"]) == (400, "Bad Request"), body[:20]


def test_what_is_no_object_is_refused(client: TestClient) -> None:
    for body in (b"[]", b"null", b'"Ada"', b"7"):
        answer = client.post("/v1/users", content=body, headers=JSON)
        assert (answer.status_code, pointers(answer)) == (422, [""]), body


@pytest.mark.parametrize(
    "media_type", ["", "text/plain", "application/xml", "application/json; charset=latin-1", "application/x-www-form-urlencoded"]
)
def test_another_content_type_is_refused(client: TestClient, media_type: str) -> None:
    answer = client.post("/v1/users", content=b"{}", headers={"Content-Type": media_type})
    assert (answer.status_code, answer.headers["Content-Type"]) == (415, "application/problem+json")
    assert "application/json" in answer.json()["detail"]


@pytest.mark.parametrize("media_type", ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"])
def test_json_may_say_that_it_is_utf_8(client: TestClient, media_type: str) -> None:
    assert client.post("/v1/users", json=ADA, headers={"Content-Type": media_type}).status_code == 201


def test_a_body_over_the_limit_is_refused_whether_it_says_its_length_or_not(client: TestClient) -> None:
    over = b'"' + b"x" * 1024 * 1024 + b'"'

    def chunks() -> Iterator[bytes]:
        yield from (over[start : start + 65536] for start in range(0, len(over), 65536))

    for content in (over, chunks()):
        answer = client.post("/v1/users", content=content, headers=JSON)
        assert (answer.status_code, answer.json()["status"]) == (413, 413)


def test_a_body_at_the_limit_is_read(client: TestClient) -> None:
    answer = client.post("/v1/users", content=b'"' + b"x" * (1024 * 1024 - 2) + b'"', headers=JSON)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/users", "GET, HEAD, POST"),
        ("POST", "/v1/users/{id}", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/v1/users/import", "POST"),
        ("OPTIONS", "/v1/messages/{id}/cancel", "POST"),
    ],
)
def test_a_method_that_is_not_there_is_answered_with_those_that_are(
    client: TestClient, method: str, path: str, allowed: str
) -> None:
    answer = client.request(method, path.format(id=uuid4(), type="BIRTHDAY", language="fr", name="message_log"))
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_path_that_is_not_there_is_a_problem_too(client: TestClient) -> None:
    answer = client.get("/v1/nothing")
    assert (answer.status_code, answer.json()) == (404, {"title": "Not Found", "status": 404})


@pytest.mark.parametrize(
    ("path", "query", "wrong"),
    [
        ("/v1/users", "limit=501", ["/limit"]),
        ("/v1/users", "limit=0&colour=red", ["/colour", "/limit"]),
        ("/v1/users", "limit=10&limit=11", ["/limit"]),
        ("/v1/users", "timezone=Europe/Lundun", ["/timezone"]),
        ("/v1/users", "cursor=7", ["/cursor"]),
        ("/v1/users/{id}/upcoming", "days=0", ["/days"]),
        ("/v1/messages", "status=posted&user_id=7&from=2027-03-01&to=17", ["/status", "/user_id", "/from", "/to"]),
        ("/v1/messages", "from=2027-03-01T00:00:00", ["/from"]),
        ("/v1/messages", "type=CHRISTMAS", ["/type"]),
        ("/v1/messages", "cursor=%00", ["/cursor"]),
        ("/v1/messages", "cursor=WzEsMl0", ["/cursor"]),
        ("/v1/projections", "limit=10", ["/limit"]),
        ("/v1/dashboard/throughput", "from=2027-03-02&to=2027-03-01", ["/to"]),
        ("/v1/dashboard/failures", "from=2027-03-02&to=2027-03-01", ["/to"]),
        ("/v1/dashboard/forecast", "from=2027-03-01T00:00:00Z&to=2029-03-01T00:00:00Z", ["/to"]),
    ],
)
def test_every_wrong_parameter_is_named(client: TestClient, path: str, query: str, wrong: list[str]) -> None:
    answer = client.get(f"{path.format(id=uuid4(), type='BIRTHDAY', language='fr')}?{query}")
    assert (answer.status_code, pointers(answer)) == (422, wrong)


@pytest.mark.parametrize("cursor", ["-1", "x", "1.5", "²", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 5000])
def test_a_history_takes_no_cursor_that_it_did_not_give(town: Town, cursor: str) -> None:
    answer = town.client.get(f"/v1/users/{town.create()}/events", params={"cursor": cursor})
    assert (answer.status_code, pointers(answer)) == (422, ["/cursor"])


def test_a_database_that_is_away_is_said_and_when_to_ask_again(town: Town) -> None:
    town.client.get("/v1/users")  # the key is known from now on
    town.store.database.close()
    for answer in (town.client.get("/v1/users"), town.client.post("/v1/users", json=ADA)):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert town.client.get("/healthz").status_code == 200


def test_a_database_that_was_never_there_is_said_too(town: Town) -> None:
    town.store.database.close()
    answer = town.client.get("/v1/users")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_readiness_names_what_is_red(town: Town) -> None:
    town.red.append("broker")
    answer = town.client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "not ready", "red": ["broker"]})
    town.red.clear()
    assert town.client.get("/readyz").json() == {"status": "ready"}


def test_a_fault_of_ours_says_nothing_but_where_it_is(town: Town) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("ada@example.org")

    with capture_logs() as logs:
        answer = town.with_limits(store=Broken()).post("/v1/users", json=ADA)
    assert (answer.status_code, answer.json()) == (500, {"title": "Internal Server Error", "status": 500})
    (logged,) = logs
    assert (logged["error"], logged["correlation_id"]) == ("RuntimeError", answer.headers["X-Request-ID"])
    assert "ada@example.org" not in repr(logs)


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, "a\u00e9", "<script>"])
def test_a_request_id_that_is_not_a_plain_word_is_replaced(client: TestClient, given: str) -> None:
    answer = client.get("/healthz", headers=[(b"X-Request-ID", given.encode())])
    assert answer.headers["X-Request-ID"] not in ("", given)


def test_personal_answers_are_not_to_be_kept_by_anybody_between(client: TestClient) -> None:
    assert client.get("/v1/users").headers["Cache-Control"] == "no-store"


def test_metrics_tell_how_far_the_followers_are_behind(town: Town) -> None:
    town.create()
    text = town.client.get("/metrics").text
    assert 'ninebell_follower_lag_events{follower="users_view"} 1.0' in text
    town.project()
    assert 'ninebell_follower_lag_events{follower="users_view"} 0.0' in town.client.get("/metrics").text
