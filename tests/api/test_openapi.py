"""Does the description describe all there is, in a form that tools can read?"""

import json
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import ROUTES


@pytest.fixture
def described(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def operations(described: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(method, path): operation for path, methods in described["paths"].items() for method, operation in methods.items()}


def test_every_route_is_described_once(described: dict[str, Any]) -> None:
    routes = {(endpoint.method.lower(), endpoint.path.replace(":uuid", "")) for endpoint in ROUTES}
    assert set(operations(described)) == routes
    assert len(routes) == len(ROUTES)
    names = [operation["operationId"] for operation in operations(described).values()]
    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere_and_every_schema_is_used(described: dict[str, Any]) -> None:
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(described)))
    assert referred == set(described["components"]["schemas"])
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in referred)


def test_every_operation_says_what_it_takes_and_gives(described: dict[str, Any]) -> None:
    assert described["openapi"] == "3.1.0"
    for (method, path), operation in operations(described).items():
        assert operation["summary"], path
        named = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))
        assert all(parameter["required"] for parameter in operation.get("parameters", []) if parameter["in"] == "path")
        responses = operation["responses"]
        assert any(status.startswith("2") for status in responses), path
        assert all(response["description"] for response in responses.values())
        assert ("requestBody" in operation) <= (method in ("post", "patch", "put"))
        assert (operation.get("security") == []) != ("401" in responses), path


def test_parameters_are_described_with_their_limits(described: dict[str, Any]) -> None:
    asked = {one["name"]: one for one in described["paths"]["/v1/messages"]["get"]["parameters"]}
    assert set(asked) == {
        "status",
        "reason",
        "type",
        "timezone",
        "user_id",
        "from",
        "to",
        "error",
        "failed_from",
        "failed_to",
        "limit",
        "cursor",
        "Ninebell-Position",
    }
    assert asked["limit"]["schema"] | {"minimum": 1, "maximum": 500, "default": 100} == asked["limit"]["schema"]


@pytest.mark.parametrize(
    "path", ["/v1/users", "/v1/messages", "/v1/templates", "/v1/dashboard/timezones", "/v1/dashboard/failures"]
)
def test_a_list_says_what_follows_even_where_nothing_ever_does(client: TestClient, described: dict[str, Any], path: str) -> None:
    answer = client.get(path).json()
    assert (set(answer), answer["next"]) == ({"items", "next"}, None)
    [content] = described["paths"][path]["get"]["responses"]["200"]["content"].values()
    schema = described["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    assert set(schema["required"]) == {"items", "next"}


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs", headers={"Authorization": ""})
    assert page.headers["Content-Type"].startswith("text/html")
    assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=.?https?:", page.text)
    assert "/openapi.json" in page.text
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
