"""Is there anything a client can say that is not understood or refused?"""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from api.app import ROUTES
from domain.user_details import FIELDS
from tests.api.conftest import ADA, Town

EXAMPLES = settings(
    max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

TEXT = some.text(max_size=20) | some.sampled_from(
    ["\x00", "\ud800", "--02-29", "2027-03-01", "24:00", "Asia/Tokyo", "null", "BIRTHDAY"]
)
VALUE = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | TEXT,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
PERSON = some.dictionaries(some.sampled_from(("id", *FIELDS)) | TEXT, VALUE, max_size=4)
LISTS = [endpoint for endpoint in ROUTES if endpoint.method == "GET" and "{" not in endpoint.path and not endpoint.open]
PARAMETER = (
    some.sampled_from(["limit", "cursor", "from", "to", "status", "type", "timezone", "user_id", "external_id", "days"]) | TEXT
)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


@EXAMPLES
@given(said=PERSON, about_ada=some.booleans())
def test_whatever_is_said_of_a_new_person_is_taken_or_refused(town: Town, said: dict[str, Any], about_ada: bool) -> None:
    content = encoded(ADA | said if about_ada else said)
    answer = town.client.post("/v1/users", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (201, 400, 409, 422), content


@EXAMPLES
@given(patches=some.lists(PERSON, min_size=1, max_size=3))
def test_whatever_is_changed_is_taken_or_refused(town: Town, patches: list[dict[str, Any]]) -> None:
    users = town.client.get("/v1/users?external_id=crm-1").json()["items"]
    user_id = users[0]["id"] if users else town.create()
    town.project()
    for patch in patches:
        answer = town.client.patch(f"/v1/users/{user_id}", content=encoded(patch), headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 400, 422), patch


@EXAMPLES
@given(objects=some.lists(PERSON, max_size=4), content=some.binary(max_size=200), csv=some.booleans())
def test_whatever_is_uploaded_is_accounted_for(town: Town, objects: list[dict[str, Any]], content: bytes, csv: bool) -> None:
    media = "text/csv" if csv else "application/x-ndjson"
    upload = b"external_id,first_name,email,timezone\n" + content if csv else b"\n".join(map(encoded, objects)) + b"\n"
    answer = town.client.post("/v1/users/import", content=upload, headers={"Content-Type": media})
    assert answer.status_code in (200, 400), upload
    if answer.status_code == 200:
        report = answer.json()
        assert report["rejected"] == len({rejection["line"] for rejection in report["rejections"]})


@EXAMPLES
@given(asked=some.lists(some.tuples(PARAMETER, TEXT.filter(lambda text: text.isprintable())), max_size=3))
def test_whatever_is_asked_is_answered_or_refused(town: Town, asked: list[tuple[str, str]]) -> None:
    params: Any = [(name.encode("utf-8", "replace").decode(), value) for name, value in asked]
    for endpoint in LISTS:
        answer = town.client.get(endpoint.path, params=params)
        assert answer.status_code in (200, 422), (endpoint.path, asked)
