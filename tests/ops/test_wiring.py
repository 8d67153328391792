"""Is each part given what the settings and the one clock say?"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.dispatch import requested_at
from infrastructure.clock import SimulatedClock
from infrastructure.region_leaders import Term
from ops.installation import Installation
from ops.settings import read_settings
from ops.wiring import Parts, build, dispatcher, recovery, repeat_doubt

NOWHERE = Installation("postgresql://127.0.0.1:1/none?connect_timeout=1", bytes(32))
TERM = Term((), lambda: ())
LATER = datetime.now(UTC).replace(microsecond=123_000) + timedelta(days=400)


@pytest.fixture
def parts() -> Iterator[Parts]:
    """Of a process whose database's clock is more than a year ahead of this machine's."""
    parts = build(read_settings({}), NOWHERE, name="test")
    vars(parts)["clock"] = SimulatedClock(LATER)
    yield parts
    parts.database.close()


@pytest.mark.parametrize("made", [dispatcher, recovery, repeat_doubt])
def test_a_dispatchs_id_tells_the_databases_time_and_not_this_machines(parts: Parts, made: Callable[[Parts, Term], Any]) -> None:
    new_id = made(parts, TERM)._new_id
    ids = [new_id() for _ in range(1_000)]
    assert {requested_at(each) for each in ids} == {LATER}
    assert len(set(ids)) == len(ids)
    parts.clock.advance(timedelta(milliseconds=1))  # type: ignore[attr-defined]
    assert new_id() > max(ids)
