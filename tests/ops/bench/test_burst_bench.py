"""Do the benchmarks of bursts, plans and appends measure what they say?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ops.bench import append, burst, schedule, simulate
from ops.bench.processes import ProcessFailed
from tests.ops.bench.results import told

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Broker

pytestmark = pytest.mark.timeout(180)


def test_callers_that_append_at_once_share_commits(tmp_path: Path) -> None:
    medians = told(append.measure((1, 8), 0.2, 3, print), tmp_path)["medians"]
    assert medians["1 thread, 1 a call: calls sharing a commit"] == 1
    assert medians["8 threads, 1 a call: calls sharing a commit"] > 1
    assert medians["1 thread, 1,000 a call"] > medians["1 thread, 1 a call"]


def test_however_short_the_time_every_caller_appends_once() -> None:
    """On a busy machine, a caller may not even begin within the time."""
    found = {figure.name: figure.median for figure in append.measure((8,), 0, 1, print).figures}
    assert found["8 threads, 1 a call: calls sharing a commit"] > 1


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
    assert found["medians"]["memory of planner at first"] > 10
    assert found["result"]["machine"]["rabbitmq"][0].isdigit()


def test_a_bulk_call_delivers_many_each_of_them_once(tmp_path: Path, broker: Broker) -> None:
    small = burst.Burst(messages=150, workers=1, bulk=100, lead_seconds=8)
    result = burst.measure(small, 1, broker.url, print)
    assert (result.part, result.settings["messages a call"]) == ("burst-bulk", 100)
    assert told(result, tmp_path)["medians"]["delivered"] > 0


def test_a_burst_that_falls_due_before_it_is_prepared_is_no_measurement(broker: Broker) -> None:
    with pytest.raises(ProcessFailed, match="--lead-seconds"):
        burst.measure(burst.Burst(messages=1, lead_seconds=-1), 1, broker.url, print)


def test_a_simulated_year_sends_every_birthday(tmp_path: Path) -> None:
    found = told(simulate.measure(5, 1, print), tmp_path)
    assert found["medians"]["a year"] > 0
