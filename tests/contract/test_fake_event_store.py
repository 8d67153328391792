"""Does the event store in memory keep the promises of the real one?"""

import pytest

from tests.contract.test_event_store import (
    test_a_conflict_hurts_only_its_group,
    test_a_group_lands_whole_or_not_at_all,
    test_a_stream_is_loaded_as_its_events_fold,
    test_an_erasure_leaves_a_redacted_user_whose_external_id_stays_taken,
    test_an_external_id_has_one_owner,
    test_no_events_only_check_the_version,
    test_what_was_appended_is_read_back_in_order,
)
from tests.fake_event_store import FakeEventStore

__all__ = [
    "test_a_conflict_hurts_only_its_group",
    "test_a_group_lands_whole_or_not_at_all",
    "test_a_stream_is_loaded_as_its_events_fold",
    "test_an_erasure_leaves_a_redacted_user_whose_external_id_stays_taken",
    "test_an_external_id_has_one_owner",
    "test_no_events_only_check_the_version",
    "test_what_was_appended_is_read_back_in_order",
]


@pytest.fixture
def store() -> FakeEventStore:
    return FakeEventStore()
