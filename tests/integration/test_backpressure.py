"""However much falls due at one second, is only so much in flight, the most urgent first, and all of it in the end?"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.channel_plan import ChannelPlan
from application.dispatch_messages import Dispatcher
from application.pacing import MOST_IN_ALL, RESUME_BELOW, STOP_AT
from application.ports import Group, NewEvents
from domain.dispatch import DispatchFinished, DispatchRequested, DispatchStarted
from domain.event import Event
from domain.message_id import message_id
from domain.message_type import MessageTypes
from domain.message_types.birthday import BIRTHDAY
from domain.scheduled_message import MessageExpired, MessageScheduled, SendRequested
from tests.application.dispatch_stories import BEFORE, DUE, OCCASION, SINK, scheduled
from tests.dispatcher_desks import TEST, WORKER, PostgresDesk, flight, open_desk, put
from tests.servers import wait_until

URGENT, USUAL = replace(BIRTHDAY, name="URGENT", priority=10), replace(BIRTHDAY, name="USUAL", priority=100)
TYPES = MessageTypes(URGENT, USUAL)
MAIL = replace(SINK, name="mail")


class Flow:
    """A dispatcher on PostgreSQL, and workers who finish what they are told to."""

    def __init__(self, desk: PostgresDesk, by_type: Mapping[str, Sequence[str]] | None = None) -> None:
        ids = count(1)
        channels = ChannelPlan((SINK, MAIL), by_type)
        self._desk = desk
        self._dispatcher = Dispatcher(desk.begin, TYPES, channels, lambda: UUID(int=next(ids)))
        self._read = 0
        self._handed: list[tuple[UUID, DispatchRequested]] = []
        self.most_in_flight = 0

    def schedule(self, message_type: str, messages: int, due_at: datetime = DUE, first: int = 0) -> None:
        for start in range(first, first + messages, 1_000):
            numbers = range(start, min(start + 1_000, first + messages))
            events = [replace(scheduled(number, due_at=due_at), message_type=message_type) for number in numbers]
            groups = [
                Group((NewEvents("messages", message_id(event.user_id, message_type, OCCASION), 0, (event,)),))
                for event in events
            ]
            assert not self._desk.store.append(groups, TEST, BEFORE).lost

    def go_on(self, now: datetime = DUE) -> None:
        """The dispatcher does all it can."""
        more = True
        while more:
            more = self._dispatcher.step(now, steady=True)
            self.most_in_flight = max(self.most_in_flight, sum(self.in_flight.values()))

    @property
    def in_flight(self) -> dict[str, int]:
        with self._desk.begin() as work:
            return work.members_in_flight()

    def handed(self) -> list[DispatchRequested]:
        """What was handed out since this was asked last, in order."""
        stretch = self._desk.store.read("dispatches", self._read, 1_000_000, frozenset({DispatchRequested}))
        self._read = stretch.position
        found = [(one.stream_id, one.event) for one in stretch.events if isinstance(one.event, DispatchRequested)]
        self._handed += found
        return [event for _, event in found]

    def said(self) -> list[Event]:
        """What the messages' streams tell beyond that they were scheduled, in order."""
        stretch = self._desk.store.read("messages", 0, 1_000_000)
        return [recorded.event for recorded in stretch.events if not isinstance(recorded.event, MessageScheduled)]

    def finish(self, dispatches: int) -> None:
        """Workers are through with so many of those that `handed` told of, the oldest first."""
        done, self._handed = self._handed[:dispatches], self._handed[dispatches:]
        claim = DispatchStarted(worker=WORKER[0], incarnation=WORKER[1], claim_token=UUID(int=5))
        events = (claim, DispatchFinished(how="recorded"))
        groups = [Group((NewEvents("dispatches", dispatch_id, 1, events),)) for dispatch_id, _ in done]
        assert not self._desk.store.append(groups, TEST, DUE).lost


@pytest.fixture
def desk(migrated_database: str) -> Iterator[PostgresDesk]:
    with open_desk(migrated_database, shared=False) as desk:
        yield desk


def test_of_a_herd_only_so_much_is_in_flight_and_the_rest_follows_when_half_of_it_is_through(desk: PostgresDesk) -> None:
    flow = Flow(desk)
    flow.schedule("USUAL", 9_000)
    flow.schedule("URGENT", 3_000)
    flow.go_on()
    assert flow.in_flight == {"sink": STOP_AT}
    handed = [id_ for dispatch in flow.handed() for id_ in dispatch.message_ids]
    while flying := sum(flow.in_flight.values()):
        flow.finish(10)
        flow.go_on()
        more = [id_ for dispatch in flow.handed() for id_ in dispatch.message_ids]
        assert bool(more) == (flying - 1_000 < STOP_AT * RESUME_BELOW and len(handed) < 12_000)
        handed += more
    assert len(handed) == len(set(handed)) == 12_000
    assert flow.most_in_flight == STOP_AT
    urgent = {message_id(UUID(int=number), "URGENT", OCCASION) for number in range(3_000)}
    assert set(handed[:3_000]) == urgent


def test_two_channels_together_hold_no_more_than_is_allowed_in_all(desk: PostgresDesk) -> None:
    flow = Flow(desk, {"USUAL": ["mail"]})
    flow.schedule("URGENT", 9_000)
    flow.schedule("USUAL", 3_000)
    flow.go_on()
    assert sum(flow.in_flight.values()) == flow.most_in_flight == MOST_IN_ALL
    assert max(flow.in_flight.values()) <= STOP_AT


def test_after_an_outage_the_oldest_of_each_priority_goes_first_and_what_is_too_late_expires(desk: PostgresDesk) -> None:
    flow, names = Flow(desk), ("USUAL", "URGENT")
    for index, hour in enumerate((6, 0, 14, 1, 5)):
        for name in names:
            flow.schedule(name, 700, DUE + timedelta(hours=hour), first=1_000 * index)
    flow.go_on(DUE + timedelta(hours=15, minutes=30))  # past the end of the day in London, and twelve hours after 9:00
    requested = [event for event in flow.said() if isinstance(event, SendRequested)]
    assert [(event.message_type, event.due_at) for event in requested] == [
        (name, DUE + timedelta(hours=hour)) for name in reversed(names) for hour in (5, 6, 14) for _ in range(700)
    ]
    expired = Counter((event.message_type, event.due_at) for event in flow.said() if isinstance(event, MessageExpired))
    assert expired == {(name, DUE + timedelta(hours=hour)): 700 for name in names for hour in (0, 1)}
    assert len(requested) + expired.total() == 7_000


def test_behind_a_full_channel_what_becomes_too_late_expires_all_the_same(desk: PostgresDesk) -> None:
    put(desk, flight(900, members=STOP_AT))
    flow = Flow(desk)
    flow.schedule("USUAL", 2_500)
    flow.go_on()
    assert flow.said() == []
    flow.go_on(DUE + timedelta(hours=20))
    assert Counter(type(event) for event in flow.said()) == {MessageExpired: 2_500}


def test_who_fills_the_room_waits_for_who_was_filling_it(desk: PostgresDesk) -> None:
    def count_too() -> dict[str, int]:
        with desk.begin() as work:
            return work.members_in_flight()

    def somebody_waits() -> bool:
        with desk.store.database.cursor() as cursor:
            return bool(cursor.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchall())

    with ThreadPoolExecutor(1) as other:
        with desk.begin() as work:
            assert work.members_in_flight() == {}
            answer = other.submit(count_too)
            wait_until(lambda: answer.done() or somebody_waits(), None, "the other")
            work.put_in_flight([flight(1, members=100)])
        assert answer.result() == {"sink": 100}
