"""On the running system: is a person with messages sent, pending and archived gone once they are erased, and is that proven?"""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from application.plan_messages import KEPT
from application.ports import Group, NewEvents, Origin
from domain.message_id import message_id
from domain.scheduled_message import MessageExpired, MessageScheduled
from infrastructure.partitions import ensure_partitions
from ops.at_hand import at_hand
from ops.settings import read_settings
from tests.e2e.people import person, this_minute
from tests.e2e.processes import until

if TYPE_CHECKING:
    from tests.e2e.processes import Site

pytestmark = pytest.mark.timeout(240)

ZONE = "Etc/UTC"
ADA = {"external_id": "crm-9-Quetsch", "first_name": "Wilhelmine", "last_name": "Zwetschgenwasser", "email": "minchen@z.org"}


def test_a_person_with_messages_sent_pending_and_archived_is_erased(embedded):
    embedded.start("up").says("Ninebell is up")
    ada = UUID(embedded.ask("POST", "/v1/users", greeted_today_and_tomorrow()).body["id"])
    embedded.until_sent(1)
    until("one sent, one pending", lambda: sorted(statuses(embedded, ada)) == ["scheduled", "sent"])
    month = long_ago(embedded, ada)
    caught_up(embedded)
    archive = retain(embedded, month)
    assert report(embedded, str(ada))[0] == 1

    assert embedded.ask("DELETE", f"/v1/users/{ada}").status == 204
    caught_up(embedded)
    code, said = report(embedded, str(ada))
    assert (code, said["clean"], [one for one in said["looked"] if one["found"]]) == (0, True, [])
    assert f"archive {month:%Y-%m}" in {one["place"] for one in said["looked"]}
    assert sorted(statuses(embedded, ada)) == ["cancelled", "sent"]
    assert embedded.ask("GET", f"/v1/users/{ada}").status == 410
    events = embedded.ask("GET", f"/v1/users/{ada}/events")
    assert [event["name"] for event in events.body["items"]] == ["user.registered.v1", "user.erased.v1"]
    code, said = report(embedded, ADA["external_id"])
    assert (code, said["clean"], "names no ID any more" in said["notes"][0]) == (1, False, True)

    assert embedded.run("restore", f"{month:%Y-%m}").ended() == 0
    caught_up(embedded)
    assert report(embedded, str(ada))[0] == 0
    for text in (gzip.decompress(archive).decode(), json.dumps(events.body), embedded.everything_printed().decode()):
        assert [word for word in ADA.values() if word in text] == []


def greeted_today_and_tomorrow() -> dict[str, Any]:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    married = tomorrow.replace(year=2000) if (tomorrow.month, tomorrow.day) != (2, 29) else date(2000, 2, 29)
    return person(this_minute(), ZONE) | ADA | {"anniversary": str(married), "message_types": ["BIRTHDAY", "ANNIVERSARY"]}


def statuses(site: Site, user_id: UUID) -> list[str]:
    """Of the messages that are not archived."""
    return [message["status"] for message in site.ask("GET", f"/v1/messages?user_id={user_id}").body["items"]]


def caught_up(site: Site) -> None:
    until("everybody to have read everything", lambda: all(lag == 0 for lag in site.lags().values()))


def long_ago(site: Site, user_id: UUID) -> date:
    """A month with a message of this person that expired; everybody hears of it."""
    day = (datetime.now(UTC) - KEPT - timedelta(days=40)).date()
    at = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
    said: dict[str, Any] = {"message_type": "BIRTHDAY", "timezone": ZONE, "due_at": at}
    scheduled = MessageScheduled(**said, user_id=user_id, occasion=day, rule="plain", tzdata="2026f", type_version=1)
    events = (scheduled, MessageExpired(**said, reason="late_window"))
    with at_hand(read_settings(site.environment), "test") as parts:
        with parts.database.connect() as connection:
            ensure_partitions(connection, day, day)
        parts.store.append([Group((NewEvents("messages", message_id(user_id, "BIRTHDAY", day), 0, events),))], Origin("test"), at)
    return day.replace(day=1)


def retain(site: Site, month: date) -> bytes:
    """The file that the month lies in."""
    program = site.run("retain", "--before", str(month + timedelta(days=31)), "--json")
    assert program.ended() == 0, program.printed + program.logged
    [done] = json.loads(program.printed)["months"]
    assert (done["month"], done["status"], done["messages"]) == (f"{month:%Y-%m}", "dropped", 1)
    [file] = (site.data_dir / "archive").glob("*.jsonl.gz")
    return file.read_bytes()


def report(site: Site, user: str) -> tuple[int, Any]:
    program = site.run("erasure-report", user, "--json")
    return program.ended(), json.loads(program.printed)
