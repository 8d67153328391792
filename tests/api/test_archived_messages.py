"""What does the API answer about a message whose month was archived?"""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from application.explain_year import explain_year
from application.retain_months import retain_month
from application.trace import trace
from infrastructure.archive import all_archived
from infrastructure.month_archiver import MonthArchiver
from infrastructure.month_restorer import MonthRestorer
from infrastructure.story_search import PostgresStories
from infrastructure.work import PostgresWork, begin_work
from tests.api.conftest import NOW, Town
from tests.retention_scene import UNTOLD

MONTH = date(2027, 3, 1)
ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "", {}),
    ("GET", "?version=1", {}),
    ("GET", "/events", {}),
    ("POST", "/cancel", {}),
    ("POST", "/reschedule", {"json": {"due_at": "2027-03-02T18:00:00Z"}}),
    ("POST", "/redrive", {"json": {"reason": "outage"}}),
    ("POST", "/resolve", {"json": {"outcome": "sent"}}),
]


@pytest.fixture
def archived(town: Town, tmp_path: Path) -> str:
    """The path of a message that is over and archived."""
    path = f"/v1/messages/{town.message_of(town.create())['id']}"
    assert town.client.post(f"{path}/cancel").status_code == 200
    town.catch_up()
    with begin_work(town.store, PostgresWork, "dispatcher", None) as work:
        work.followed("messages", town.store.head().messages)
    done = retain_month(MonthArchiver(town.store.database, tmp_path), MONTH, NOW + timedelta(days=500), UNTOLD, dry_run=False)
    assert done.status == "dropped", done.why
    return path


@pytest.mark.parametrize(("method", "resource", "content"), ASKED, ids=[f"{method} {path}" for method, path, _ in ASKED])
def test_whatever_is_asked_of_it_the_month_is_named(
    town: Town, archived: str, method: str, resource: str, content: dict[str, Any]
) -> None:
    answer = town.client.request(method, archived + resource, **content)
    assert (answer.status_code, answer.headers["Content-Type"]) == (410, "application/problem+json")
    assert answer.json()["detail"] == "the messages of 2027-03 were archived: ninebell restore 2027-03 brings them back"


def test_restored_it_is_shown_again(town: Town, archived: str) -> None:
    [month] = all_archived(town.store.database)
    MonthRestorer(town.store.database).restore(month, UNTOLD)
    assert town.client.get(archived).json()["status"] == "cancelled"
    assert [event["name"] for event in town.client.get(f"{archived}/events").json()["items"]] == [
        "message.scheduled.v1",
        "message.cancelled.v1",
    ]


def test_why_it_came_or_not_is_out_of_reach_and_so_is_its_story(town: Town, archived: str) -> None:
    (user_id,) = {one.stream_id for one in town.store.read("users", 0, 10).events}
    of_year = explain_year(user_id, "BIRTHDAY", 2027, town.store, town.service.types, (), NOW + timedelta(days=500))
    assert [(one.code, one.occasion) for one in of_year.because] == [("archived", date(2027, 3, 2))]
    assert "ninebell restore 2027-03" in of_year.because[0].sentence
    story = trace(archived.rpartition("/")[2], town.store, PostgresStories(town.store.database))
    assert (story.events, ["ninebell restore 2027-03" in said for said in story.unreadable]) == ([], [True])
