"""Do the benchmarks of uploads and of what falls due over time measure what they say?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ops.bench import day, import_people, steady
from tests.ops.bench.results import told

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Broker

pytestmark = pytest.mark.timeout(180)


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
