"""Events that can't be read lie in every log: do all process managers go on, on real transactions, and take them up later?"""

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from application.channel_plan import ChannelPlan
from application.dispatch_messages import Dispatcher
from application.ports import Log
from application.publish_dispatches import Publisher
from application.recover_deliveries import Recovery
from application.repeat_doubt import REPEAT_AFTER, RepeatDoubt
from application.retry_parked import RetryParked
from domain.dispatch import DispatchStarted
from domain.scheduled_message import DeliveryInDoubt, MessageFailed, SendRequested
from infrastructure.dispatcher_tables import PostgresDispatcherWork
from infrastructure.followers import Followers
from infrastructure.work import begin_work
from tests.application.dispatch_stories import DUE, SINK, TYPES, message, repeated, scheduled
from tests.application.test_dispatch_poison import Bus
from tests.broken_streams import break_stream, left_alone, mend_stream
from tests.dispatcher_desks import WORKER, PostgresDesk, open_desk

LATER = DUE + timedelta(minutes=1)
PLAN = ChannelPlan((SINK,))


class Office:
    """Every manager of the dispatcher's role, each following by its own name."""

    def __init__(self, desk: PostgresDesk) -> None:
        self.desk, ids = desk, count(1)
        new_id = lambda: UUID(int=next(ids))  # noqa: E731
        self.bus = Bus()
        self.dispatcher = Dispatcher(self.begin("dispatcher"), TYPES, PLAN, new_id)
        self.publisher = Publisher(self.begin("publisher"), self.bus, bus_starts_empty=True)  # type: ignore[arg-type]
        self.recovery = Recovery(self.begin("recovery"), TYPES, PLAN, new_id, lease_seconds=15, call_timeout_seconds=10)
        self.doubt = RepeatDoubt(self.begin("doubt"), TYPES, PLAN, new_id)
        self.retry = RetryParked(self.begin("dispatcher"), TYPES, PLAN)

    def begin(self, follower: str) -> Any:
        return lambda: begin_work(self.desk.store, PostgresDispatcherWork, follower, None)

    def dispatch(self, now: Any) -> None:
        while self.dispatcher.step(now, steady=True):
            pass

    def breaks(self, log: Log, stream_id: UUID) -> None:
        break_stream(self.desk.store.database, log, stream_id, DUE)

    def mends(self, log: Log, stream_id: UUID) -> None:
        mend_stream(self.desk.store.database, log, stream_id)
        with self.desk.store.database.connect() as connection:
            connection.execute("UPDATE parked_events SET again = true")

    def left(self) -> set[tuple[str, Log, UUID]]:
        return left_alone(self.desk.store.database)

    def kinds(self, number: int) -> list[str]:
        return [type(event).__name__ for event in self.desk.events("messages", message(number))]

    def dispatch_of(self, number: int) -> UUID:
        [request] = [event for event in self.desk.events("messages", message(number)) if isinstance(event, SendRequested)]
        return request.dispatch_id


@pytest.fixture
def office(migrated_database: str) -> Iterator[Office]:
    with open_desk(migrated_database) as desk:
        yield Office(desk)


def scheduled_apart(office: Office) -> None:
    """Two messages in a dispatch each, as they go to different regions."""
    for number, timezone in ((1, "Europe/London"), (2, "Asia/Tokyo")):
        office.desk.write("messages", message(number), 0, scheduled(number, timezone))
    office.dispatch(DUE)


def test_a_retry_that_cannot_be_read_waits_for_an_operator(office: Office) -> None:
    scheduled_apart(office)
    failed = MessageFailed(**repeated(), error="x", retry_count=1, retry_at=LATER, dispatch_id=office.dispatch_of(1))
    office.desk.write("messages", message(1), 2, failed)
    office.breaks("messages", message(1))
    office.dispatch(LATER)
    assert ("dispatcher", "messages", message(1)) in office.left()
    office.mends("messages", message(1))
    assert office.retry.step(LATER)
    office.dispatch(LATER)
    assert office.kinds(1)[-1] == "SendRequested"
    assert office.left() == set()


async def test_unstarted_dispatches_are_published_around_one_that_cannot_be_read(office: Office) -> None:
    scheduled_apart(office)
    broken, sound = office.dispatch_of(1), office.dispatch_of(2)
    office.breaks("dispatches", broken)
    with office.begin("publisher")() as work:
        work.followed("dispatches", work.follow("dispatches", 100).position)
    await office.publisher.step(LATER)
    assert office.bus.published == [sound]
    assert ("publisher", "dispatches", broken) in office.left()


def test_a_dead_workers_claims_are_taken_over_around_one_that_cannot_be_read(office: Office) -> None:
    scheduled_apart(office)
    broken, sound = office.dispatch_of(1), office.dispatch_of(2)
    for dispatch_id in (broken, sound):
        office.desk.write("dispatches", dispatch_id, 1, DispatchStarted(*WORKER, claim_token=UUID(int=5)))
    office.dispatch(DUE)
    office.breaks("dispatches", broken)
    for second in range(30):
        office.recovery.step(LATER, second)
    assert (office.kinds(1)[-1], office.kinds(2)[-2:]) == ("SendRequested", ["DeliveryInDoubt", "SendRequested"])
    office.mends("dispatches", broken)
    assert office.retry.step(LATER)
    for second in range(30, 60):
        office.recovery.step(LATER, second)
    assert office.kinds(1)[-2:] == ["DeliveryInDoubt", "SendRequested"]


def test_doubts_are_repeated_around_one_that_cannot_be_read(office: Office) -> None:
    scheduled_apart(office)
    for number in (1, 2):
        doubt = DeliveryInDoubt(**repeated(), reason="timeout", channel="sink", dispatch_id=office.dispatch_of(number))
        office.desk.write("messages", message(number), 2, doubt)
    office.breaks("messages", message(1))
    while office.doubt.step(LATER + REPEAT_AFTER):
        pass
    assert office.kinds(2)[-1] == "SendRequested"
    assert ("doubt", "messages", message(1)) in office.left()
    office.mends("messages", message(1))
    while office.doubt.step(LATER + REPEAT_AFTER):
        pass
    assert office.kinds(1)[-2:] == ["LateResultRecorded", "SendRequested"]


def test_everything_left_alone_is_counted_at_who_left_it(office: Office) -> None:
    scheduled_apart(office)
    office.breaks("messages", message(1))
    office.dispatch(LATER)
    with office.begin("planner")() as work:
        work.park("messages", message(2), "ValueError")
        work.park("messages", message(2), "ValueError")
        work.followed("messages", 1)
    parked = {follower.name: follower.parked for follower in Followers(office.desk.store).status(LATER)}
    assert (parked["dispatcher"], parked["planner"], parked["message_log"]) == (1, 1, 0)
