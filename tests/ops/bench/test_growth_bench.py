"""Is much stored in minutes as the system would have stored it, and is what a measurement adds to it taken back?"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from domain.message_id import occasion_of
from infrastructure.partitions import strays
from ops.bench import append, append_stored, growth
from ops.bench.grown import EVERYTHING, grow, lasting_ground
from ops.bench.kept import Kept
from tests.ops.bench.results import told

if TYPE_CHECKING:
    from pathlib import Path

    from ops.wiring import Parts
    from tests.servers import Broker

pytestmark = pytest.mark.timeout(180)

MADE = 600
FEW = growth.Growth(messages=300, stored=(MADE,), people=(40, 40), lead_seconds=8)


class Stopped(Exception):
    """As by the person who waits."""


def quietly(*_: object) -> None:
    """Tells nobody."""


def stopping(text: str, *share: float) -> None:
    if share and share[0] > 1.5 * MADE:
        raise Stopped


def counted(parts: Parts) -> dict[str, int]:
    with parts.database.cursor() as cursor:
        tables = ("messages", "message_log", "planned", "users", "users_view", "due", "dispatches")
        return {table: cursor.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in tables}


def test_a_past_is_copied_under_ids_of_its_dates_and_goes_on_where_it_was_stopped() -> None:
    kept = Kept("growth", {"messages": 1})
    with lasting_ground(kept, MADE) as place:
        make = partial(growth.make_past, growth=FEW, tell=quietly)
        with place.lasting("grown", make) as (parts, _):
            made = counted(parts)
            with pytest.raises(Stopped):
                grow(parts, 3 * made["messages"], EVERYTHING, stopping)
        with place.lasting("grown", make) as (parts, _):
            assert counted(parts)["messages"] == 2 * made["messages"]
            grow(parts, 3 * made["messages"], EVERYTHING, quietly)
            grown = counted(parts)
            assert {table: grown[table] / made[table] for table in ("messages", "message_log", "planned")} == {
                "messages": 3,
                "message_log": 3,
                "planned": 3,
            }
            assert grown["users"] == made["users"]
            append.run_once(parts, 4, 1, 0.1)
            assert counted(parts)["messages"] > grown["messages"]
            grow(parts, 3 * made["messages"], EVERYTHING, quietly)
            assert counted(parts) == grown
            assert_lived(parts)
    kept.forget()


def assert_lived(parts: Parts) -> None:
    """Every stream folds to what the read model says of it, in the month of its date."""
    with parts.database.connect() as connection:
        assert strays(connection) == 0
        logged: dict[UUID, tuple[str, object]] = {
            row[0]: row[1:] for row in connection.execute("SELECT id, status, occasion FROM message_log")
        }
    for message_id, stream in parts.store.load_messages(logged).items():
        assert stream.state is not None
        assert (stream.state.status, occasion_of(message_id)) == logged[message_id]


def test_appending_is_timed_at_each_size_and_nothing_is_left(tmp_path: Path) -> None:
    medians = told(append_stored.measure((1, 4), (MADE, 2 * MADE), 0.1, 1, quietly), tmp_path)["medians"]
    assert medians["4 threads, 600 stored"] > 0
    slower = medians["1 thread, 600 stored"] / medians["1 thread, 1.2k stored"]
    assert medians["1 thread: 1.2k against 600"] == pytest.approx(slower)
    assert not list((tmp_path / "kept").rglob("database"))


def test_a_burst_is_measured_beside_ever_more() -> None:
    assert [stage.name for stage in growth.Growth().stages()] == [
        "1M events, 10k people, 1 zone",
        f"1M events, 10k people, {len(growth.ALL_ZONES)} zones",
        "10M events, 10k people, 1 zone",
        "30M events, 10k people, 1 zone",
        "30M events, 1M people, 1 zone",
    ]


def test_a_burst_costs_what_it_does_beside_what_is_stored(tmp_path: Path, broker: Broker) -> None:
    found = told(growth.measure(FEW, 1, broker.url, quietly), tmp_path)["medians"]
    stages = [stage.name for stage in FEW.stages()]
    assert len(stages) == 2
    assert [name for name in found if name.startswith("CPU of all: ")] == [f"CPU of all: {stage}" for stage in stages]
    assert all(found[f"CPU of all: {stage}"] > 0 for stage in stages)
