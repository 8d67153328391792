"""Does the view count each change once, in its hour, zone and type, and each sending by how late it was?"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.message_id import message_id
from domain.scheduled_message import LateResultRecorded
from projections import analytics_view
from projections.analytics_counts import BUCKETS
from projections.analytics_view import ANALYTICS_VIEW, FailureReason, LatenessBucket, Throughput
from projections.projection import Cursor, Projection
from tests.domain.message_stories import (
    ABANDONED,
    DISPATCH,
    DUE,
    EXPIRED,
    FAILED,
    IN_DOUBT,
    REPEATED,
    REQUESTED,
    SCHEDULED,
    SENT,
    SUPPRESSED,
    USER,
)
from tests.projections.telling import AT, ReadModel

ID = message_id(USER, "BIRTHDAY", date(2027, 5, 15))
HOUR = AT.replace(minute=0, second=0)
DAY = AT.date()


@pytest.fixture
def analytics(read_model: Callable[[Projection], ReadModel]) -> ReadModel:
    return read_model(ANALYTICS_VIEW)


def test_each_change_of_status_counts_in_the_hour_it_was_recorded(analytics: ReadModel, cursor: Cursor) -> None:
    analytics.given(ID, SCHEDULED, at=AT - timedelta(hours=1)).given(ID, REQUESTED, SENT)
    analytics.given(message_id(UUID(int=8), "BIRTHDAY", DAY), SCHEDULED, REQUESTED)
    assert analytics_view.throughput(cursor, DAY, DAY) == [
        Throughput(HOUR - timedelta(hours=1), "scheduled", 1),
        Throughput(HOUR, "requested", 2),
        Throughput(HOUR, "scheduled", 1),
        Throughput(HOUR, "sent", 1),
    ]


def test_the_last_hour_of_a_day_is_that_days(analytics: ReadModel, cursor: Cursor) -> None:
    analytics.given(ID, SCHEDULED, at=datetime(2027, 5, 15, 23, 59, 59, tzinfo=UTC))
    assert analytics_view.throughput(cursor, DAY + timedelta(days=1), DAY + timedelta(days=9)) == []
    assert analytics_view.throughput(cursor, DAY, DAY) == [Throughput(datetime(2027, 5, 15, 23, tzinfo=UTC), "scheduled", 1)]


def test_longer_times_are_asked_of_day_by_day(analytics: ReadModel, cursor: Cursor) -> None:
    analytics.given(ID, SCHEDULED, at=AT - timedelta(days=1, hours=1)).given(ID, REQUESTED, at=AT - timedelta(days=1)).given(
        ID, SENT
    )
    other = UUID(int=8)
    analytics.given(other, replace(SCHEDULED, timezone="Asia/Calcutta"), at=AT - timedelta(days=1))
    start, before = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC), DAY - timedelta(days=1)
    yesterday = start - timedelta(days=1)
    sent = Throughput(start, "sent", 1)
    assert analytics_view.throughput(cursor, before, DAY, by="day") == [
        Throughput(yesterday, "requested", 1),
        Throughput(yesterday, "scheduled", 2),
        sent,
    ]
    assert analytics_view.throughput(cursor, before, DAY, by="day", timezone="Europe/London") == [
        Throughput(yesterday, "requested", 1),
        Throughput(yesterday, "scheduled", 1),
        sent,
    ]
    assert analytics_view.throughput(cursor, DAY, DAY, by="day", message_type="BIRTHDAY") == [sent]


def test_a_result_that_changes_nothing_is_not_counted(analytics: ReadModel, cursor: Cursor) -> None:
    analytics.given(ID, LateResultRecorded(**REPEATED, dispatch_id=DISPATCH, result="accepted"))
    assert analytics_view.throughput(cursor, DAY, DAY) == []


def test_counts_can_be_asked_of_one_zone_and_one_type(analytics: ReadModel, cursor: Cursor) -> None:
    analytics.given(ID, SCHEDULED).given(UUID(int=8), replace(SCHEDULED, timezone="Asia/Calcutta", message_type="ANNIVERSARY"))
    assert analytics_view.throughput(cursor, DAY, DAY, timezone="Asia/Kolkata") == [Throughput(HOUR, "scheduled", 1)]
    assert analytics_view.throughput(cursor, DAY, DAY, message_type="ANNIVERSARY") == [Throughput(HOUR, "scheduled", 1)]
    assert analytics_view.throughput(cursor, DAY, DAY, timezone="Asia/Kolkata", message_type="BIRTHDAY") == []


@pytest.mark.parametrize(
    ("late_by", "edge"),
    [
        (timedelta(seconds=-3), 1),
        (timedelta(0), 1),
        (timedelta(seconds=1), 1),
        (timedelta(seconds=1, microseconds=1), 2),
        (timedelta(seconds=60), 60),
        (timedelta(seconds=61), 300),
        (timedelta(hours=24), 86_400),
        (timedelta(hours=24, seconds=1), None),
    ],
    ids=str,
)
def test_a_sending_falls_into_the_bucket_of_its_lateness(
    analytics: ReadModel, cursor: Cursor, late_by: timedelta, edge: int | None
) -> None:
    sent = replace(SENT, sent_at=DUE + late_by)
    analytics.given(ID, sent).given(UUID(int=8), sent)
    histogram = analytics_view.lateness(cursor, DAY, DAY + timedelta(days=1))
    assert [bucket for bucket in histogram if bucket.messages] == [LatenessBucket(edge, 2)]
    assert [bucket.up_to_seconds for bucket in histogram] == [*BUCKETS, None]


def test_lateness_can_be_asked_of_one_type(analytics: ReadModel, cursor: Cursor) -> None:
    analytics.given(ID, SENT)
    assert not any(bucket.messages for bucket in analytics_view.lateness(cursor, DAY, DAY, message_type="ANNIVERSARY"))
    assert sum(bucket.messages for bucket in analytics_view.lateness(cursor, DAY, DAY, message_type="BIRTHDAY")) == 1


def test_what_kept_messages_from_being_sent_counts_by_its_reason(analytics: ReadModel, cursor: Cursor) -> None:
    analytics.given(ID, SCHEDULED, REQUESTED, FAILED, REQUESTED, FAILED, REQUESTED, ABANDONED)
    analytics.given(UUID(int=8), EXPIRED).given(UUID(int=9), IN_DOUBT, SENT)
    analytics.given(UUID(int=10), replace(SUPPRESSED, message_type="ANNIVERSARY"))
    assert analytics_view.failures(cursor, DAY, DAY) == [
        FailureReason("retrying", "not_accepted:500", 2),
        FailureReason("abandoned", "rejected:400", 1),
        FailureReason("cancelled", "suppressed", 1),
        FailureReason("expired", "late_window", 1),
        FailureReason("in_doubt", "timeout", 1),
    ]


def test_failures_can_be_asked_of_one_type_and_of_other_days(analytics: ReadModel, cursor: Cursor) -> None:
    analytics.given(ID, SUPPRESSED).given(UUID(int=8), replace(SUPPRESSED, message_type="ANNIVERSARY"))
    assert analytics_view.failures(cursor, DAY, DAY, message_type="BIRTHDAY") == [FailureReason("cancelled", "suppressed", 1)]
    assert analytics_view.failures(cursor, DAY + timedelta(days=1), DAY + timedelta(days=9)) == []


def test_what_was_abandoned_without_an_answer_has_a_reason_too(analytics: ReadModel, cursor: Cursor) -> None:
    analytics.given(ID, replace(ABANDONED, reason="doubt", error=""))
    assert analytics_view.failures(cursor, DAY, DAY) == [FailureReason("abandoned", "doubt", 1)]
