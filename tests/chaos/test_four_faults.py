"""Are the promises of the fault matrix kept for the four faults that every run of the tests tries?"""

from __future__ import annotations

import pytest

from tests.chaos.trial import try_fault
from tests.conftest import broker_or_fail

pytestmark = pytest.mark.timeout(240)

SEED = 1


@pytest.mark.parametrize("fault", ["worker-killed", "database-immediate", "broker-wiped", "provider-cuts"])
def test_nothing_is_lost_and_nothing_is_sent_twice(fault, broker_there):
    result = try_fault(fault, SEED, lambda _: None)
    print(result)
    assert result.verdict.wrong == []


@pytest.fixture
def broker_there() -> None:
    """A missing broker is told in one line."""
    broker_or_fail().close()
