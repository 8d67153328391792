"""What does the API say to whoever wants a read model built anew?"""

from typing import Any

import pytest

from infrastructure.wanted_rebuilds import PostgresWantedRebuilds
from projections.registry import PROJECTIONS
from tests.api.conftest import NOW, Town


def rebuilds(town: Town) -> dict[str, Any]:
    """By follower, those that are told."""
    items = town.client.get("/v1/projections").json()["items"]
    return {one["name"]: one["rebuild"] for one in items if "rebuild" in one}


def test_a_rebuild_is_taken_and_listed_until_it_is_done(town: Town) -> None:
    assert rebuilds(town) == {}
    answer = town.client.post("/v1/projections/message_log/rebuild")
    told = {"state": "waiting", "who": "key:default", "at": "2027-03-01T12:00:00Z", "why": ""}
    assert (answer.status_code, answer.json()) == (202, told)
    assert rebuilds(town) == {"message_log": told}
    PostgresWantedRebuilds(town.store.database).done("message_log")
    assert rebuilds(town) == {}


@pytest.mark.parametrize("name", ["message_log", "users_view"])
def test_there_is_one_rebuild_at_a_time(town: Town, name: str) -> None:
    assert town.client.post("/v1/projections/message_log/rebuild").status_code == 202
    assert town.client.post(f"/v1/projections/{name}/rebuild").status_code == 409


def test_nothing_is_built_over_what_waits_to_be_swapped_in(town: Town) -> None:
    with town.store.database.cursor() as cursor:
        cursor.execute("INSERT INTO read_models VALUES ('users_view', 'next', 1, '{users_view}', '0')")
    assert town.client.post("/v1/projections/users_view/rebuild").status_code == 409
    assert rebuilds(town) == {}


def test_what_was_refused_says_why_and_may_be_asked_for_again(town: Town) -> None:
    town.client.post("/v1/projections/analytics_view/rebuild")
    PostgresWantedRebuilds(town.store.database).refuse("analytics_view", "a file is not there")
    told = rebuilds(town)["analytics_view"]
    assert (told["state"], told["why"]) == ("refused", "a file is not there")
    assert town.client.post("/v1/projections/analytics_view/rebuild").status_code == 202
    assert rebuilds(town)["analytics_view"]["state"] == "waiting"


@pytest.mark.parametrize("name", ["planner", "sums"])
def test_what_is_no_read_model_is_not_found(town: Town, name: str) -> None:
    assert town.client.post(f"/v1/projections/{name}/rebuild").status_code == 404


def test_only_a_process_that_knows_the_live_version_builds_it(town: Town) -> None:
    wanted = PostgresWantedRebuilds(town.store.database)
    assert wanted.want("message_log", "cli", NOW)
    assert wanted.next(PROJECTIONS.values()) == "message_log"
    with town.store.database.cursor() as cursor:
        cursor.execute("UPDATE read_models SET version = version + 1 WHERE name = 'message_log'")
    assert wanted.next(PROJECTIONS.values()) is None
