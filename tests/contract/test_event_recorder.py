"""Do our logs' tables and lock make a recorder that eventsourcing's own suites accept?"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresDatastore
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
)

from infrastructure.event_recorder import LogRecorder
from tests.store_stage import open_datastore


class WithoutPositions(LogRecorder):
    """An aggregate recorder is an application recorder that keeps its notification IDs to itself."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        super().insert_events(stored_events, **kwargs)


class OnLog:
    """Runs a suite of eventsourcing on one of our tables."""

    table: ClassVar[str]
    recorder: ClassVar[type[LogRecorder]] = LogRecorder
    datastore: PostgresDatastore

    @pytest.fixture(autouse=True)
    def _datastore(self, migrated_database: str) -> Iterator[None]:
        with open_datastore(migrated_database) as self.datastore:
            yield

    def create_recorder(self) -> LogRecorder:
        return self.recorder(self.datastore, events_table_name=self.table, now=lambda: datetime.now(UTC))


class OnPlainTable(OnLog):
    table = "users"


class OnPartitionedTable(OnLog):
    table = "messages"


class TestAggregateRecorderOnPlainTable(OnPlainTable, AggregateRecorderTestCase):
    recorder = WithoutPositions


class TestAggregateRecorderOnPartitionedTable(OnPartitionedTable, AggregateRecorderTestCase):
    recorder = WithoutPositions


class TestApplicationRecorderOnPlainTable(OnPlainTable, ApplicationRecorderTestCase[LogRecorder]):
    pass


class TestApplicationRecorderOnPartitionedTable(OnPartitionedTable, ApplicationRecorderTestCase[LogRecorder]):
    pass


class NonInterleaving(NonInterleavingNotificationIDsBaseCase):
    def create_stack(self, originator_id: UUID | str) -> list[StoredEvent]:
        return [StoredEvent(originator_id, version, "topic", b"state") for version in range(self.insert_num)]


class TestNonInterleavingOnPlainTable(OnPlainTable, NonInterleaving):
    pass


class TestNonInterleavingOnPartitionedTable(OnPartitionedTable, NonInterleaving):
    pass
