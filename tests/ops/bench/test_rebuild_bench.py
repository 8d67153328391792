"""Do the benchmarks of read models measure what they say?"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from application.audit_messages import audit_messages
from infrastructure.audit_query import open_books
from ops.bench import past, queries, rebuild_beside
from ops.bench.ground import ground
from ops.bench.processes import ProcessFailed
from tests.ops.bench.results import told

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Broker

pytestmark = pytest.mark.timeout(180)


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
