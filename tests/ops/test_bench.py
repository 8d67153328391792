"""Does the benchmark measure what it says, and leave nothing behind?"""

from __future__ import annotations

import json
import tempfile
from contextlib import closing
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psutil
import pytest

from application.audit_messages import audit_messages
from infrastructure.audit_query import open_books
from ops.bench import append, burst, day, import_people, kept, past, queries, rebuild_beside, schedule, simulate, steady
from ops.bench.ground import ground
from ops.bench.processes import ProcessFailed
from ops.bench.report import show, write
from tests.conftest import broker_or_fail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ops.bench.report import Result
    from tests.servers import Broker

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with closing(broker_or_fail()) as broker:
        broker.start()
        yield broker


@pytest.fixture(autouse=True)
def nothing_is_left(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of its own for what is temporary, and no new child, once a measurement is over."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(kept, "HOME", tmp_path / "kept")
    (tmp_path / "temporary").mkdir()
    before = {child.pid for child in psutil.Process().children()}  # what the broker starts for itself comes and goes below it
    yield tmp_path
    assert list((tmp_path / "temporary").iterdir()) == []
    assert {child.pid for child in psutil.Process().children()} <= before


def told(result: Result, directory: Path) -> dict[str, Any]:
    """The result as a reader of its file finds it."""
    show(result)
    found: dict[str, Any] = json.loads(write(result, directory).read_bytes())
    assert found["medians"].keys() == {figure["name"] for figure in found["result"]["figures"]}
    return found


def test_callers_that_append_at_once_share_commits(tmp_path: Path) -> None:
    medians = told(append.measure((1, 8), 0.2, 3, print), tmp_path)["medians"]
    assert medians["1 thread, 1 a call: calls sharing a commit"] == 1
    assert medians["8 threads, 1 a call: calls sharing a commit"] > 1
    assert medians["1 thread, 1,000 a call"] > medians["1 thread, 1 a call"]


def test_everybody_registered_is_planned(tmp_path: Path) -> None:
    found = told(schedule.measure(120, 1, print), tmp_path)
    assert found["medians"]["both"] < found["medians"]["planned"]
    assert found["result"]["machine"]["postgresql"].startswith("18")


def test_a_burst_is_delivered_by_processes_of_their_own(tmp_path: Path, broker: Broker) -> None:
    small = burst.Burst(messages=150, workers=1, zones=("Asia/Shanghai", "Australia/Perth"), all_roles=True, lead_seconds=8)
    found = told(burst.measure(small, 1, broker.url, print), tmp_path)
    assert 0 < found["medians"]["first call after"] <= found["medians"]["lateness p50"] <= found["medians"]["last call after"]
    assert found["medians"]["CPU of worker 1"] > 0
    assert 0 <= found["medians"]["most in flight"] <= 150
    assert found["medians"]["memory of planner"] > 10
    assert found["result"]["machine"]["rabbitmq"][0].isdigit()


def test_a_bulk_call_delivers_many_each_of_them_once(tmp_path: Path, broker: Broker) -> None:
    small = burst.Burst(messages=150, workers=1, bulk=100, lead_seconds=8)
    result = burst.measure(small, 1, broker.url, print)
    assert (result.part, result.settings["messages a call"]) == ("burst-bulk", 100)
    assert told(result, tmp_path)["medians"]["delivered"] > 0


def test_a_burst_that_falls_due_before_it_is_prepared_is_no_measurement(broker: Broker) -> None:
    with pytest.raises(ProcessFailed, match="--lead-seconds"):
        burst.measure(burst.Burst(messages=1, lead_seconds=-1), 1, broker.url, print)


def test_messages_that_fall_due_one_after_another_are_timed_each_by_its_own_instant(tmp_path: Path, broker: Broker) -> None:
    small = steady.Steady(a_second=20, seconds=3, idle_seconds=1, lead_seconds=12)
    medians = told(steady.measure(small, 1, broker.url, print), tmp_path)["medians"]
    assert 0 < medians["earliest"] <= medians["lateness p50"] <= medians["lateness p99"] <= medians["lateness, the most"]
    assert medians["CPU of dispatcher, at work"] > 0
    assert medians["CPU of dispatcher, idle"] >= 0


def test_a_date_is_lived_through_and_caught_up_with(tmp_path: Path, broker: Broker) -> None:
    medians = told(day.measure(60, 1, broker.url, print), tmp_path)["medians"]
    assert medians["lived through"] > 0
    assert 0 < medians["backlog: last call after"] <= medians["backlog: recorded and shown after"]


def test_an_upload_is_found_and_planned_by_processes_of_their_own(tmp_path: Path) -> None:
    result = import_people.measure(600, 1, print)
    medians = told(result, tmp_path)["medians"]
    assert medians["accepted"] > medians["accepted and queryable"] > 0
    assert 0 < medians["queryable after the answer"] <= medians["planned after the answer"]
    assert all(looks and looks[-1][1] > 10 for looks in result.series.values())


def test_messages_go_out_and_questions_are_answered_beside_a_rebuild(tmp_path: Path, broker: Broker) -> None:
    small = rebuild_beside.Beside(events=1_000, messages_a_second=5, queries_a_second=10, seconds=2, warm_up_seconds=0)
    medians = told(rebuild_beside.measure(small, 1, broker.url, print), tmp_path)["medians"]
    for built in ("nothing", "message_log", "all"):
        assert medians[f"while {built} is built: queries failed"] == 0
        assert medians[f"while {built} is built: messages due"] > 0
        assert 0 < medians[f"while {built} is built: lateness p50"] <= medians[f"while {built} is built: lateness p99"]
    assert min(medians[f"while {built} is built: took"] for built in rebuild_beside.REBUILDS) > 0


def test_rebuilds_that_outlast_the_messages_are_no_measurement(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild_beside, "SPARE_SECONDS", 0)
    small = rebuild_beside.Beside(events=1_000, messages_a_second=1, queries_a_second=1, seconds=1, warm_up_seconds=0)
    with pytest.raises(ProcessFailed, match="fewer events"):
        rebuild_beside.measure(small, 1, broker.url, print)


def test_a_simulated_year_sends_every_birthday(tmp_path: Path) -> None:
    found = told(simulate.measure(5, 1, print), tmp_path)
    assert found["medians"]["a year"] > 0


def test_each_question_is_timed_and_no_large_table_read_from_end_to_end(tmp_path: Path) -> None:
    found = told(queries.measure(40_000, 200, print), tmp_path)
    assert found["medians"]["list of a user"] > 0
    assert found["result"]["settings"]["read from end to end"] == "nothing"


def test_a_past_that_nobody_lived_through_adds_up_and_is_the_same_every_time() -> None:
    wanted = past.Past(people=50, messages=2_000, first=date(2026, 2, 10), days=20)
    people = [past.Person(UUID(int=number), details.timezone) for number, details in enumerate(past.people_of(wanted))]
    with ground() as place:
        logs = []
        for name in ("one", "other"):
            with place.fresh(name) as (parts, _), parts.database.cursor() as cursor:
                events = past.live_through(parts, wanted, people, lambda _: None)
                for projector in parts.projectors.values():
                    projector.prepare()
                    while projector.step():
                        pass
                with open_books(parts.database) as books:
                    audit = audit_messages(books)
                assert (audit.differences, audit.total.scheduled) == ([], 2_000)
                cursor.execute(
                    "SELECT originator_id, originator_version, topic, state, recorded_at FROM messages ORDER BY notification_id"
                )
                logs.append(cursor.fetchall())
                assert len(logs[-1]) == events > 2 * 2_000
        assert logs[0] == logs[1]
