"""Do due messages find their way through real transactions, whoever comes in between?"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from threading import Event as Signal
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.channel_plan import ChannelPlan, ChannelTraits
from application.dispatch_messages import Dispatcher
from application.ports import Deposed, Group, NewEvents
from application.recover_deliveries import Recovery
from domain.dispatch import DispatchFinished, DispatchRequested, DispatchStarted
from domain.message_type import MessageTypes
from domain.message_types.birthday import BIRTHDAY
from domain.scheduled_message import (
    DeliveryInDoubt,
    FailedOver,
    MessageCancelled,
    MessageExpired,
    MessageFailed,
    MessageSent,
    SendRequested,
)
from infrastructure.channel_states import PostgresChannels
from infrastructure.dispatcher_tables import PostgresDispatcherWork
from infrastructure.event_log import LOCK_SPACE
from infrastructure.leader import Elector
from infrastructure.work import begin_work
from tests.application.dispatch_stories import DUE, SECOND, SINK, TYPES, message, repeated, run, scheduled
from tests.dispatcher_desks import TEST, WORKER, PostgresDesk, flight, open_desk, put


@pytest.fixture
def desk(migrated_database: str) -> Iterator[PostgresDesk]:
    with open_desk(migrated_database) as desk:
        yield desk


def working(desk: PostgresDesk, channel: ChannelTraits = SINK, types: MessageTypes = TYPES, first_id: int = 1) -> Dispatcher:
    ids = count(first_id)
    return Dispatcher(desk.begin, types, ChannelPlan((channel,)), lambda: UUID(int=next(ids)))


def schedule(desk: PostgresDesk, numbers: Sequence[int], timezone: str = "Europe/London") -> None:
    for number in numbers:
        desk.write("messages", message(number), 0, scheduled(number, timezone))


def test_due_messages_go_out_in_dispatches_of_a_region(desk: PostgresDesk) -> None:
    schedule(desk, range(1, 104))
    schedule(desk, range(104, 107), "Asia/Tokyo")
    run(working(desk), DUE)
    with desk.begin() as work:
        handed = [stream.state for stream in work.load_dispatches([UUID(int=1), UUID(int=2), UUID(int=3)]).values()]
        assert work.members_in_flight() == {"sink": 106}
    assert sorted((state.region, len(state.members)) for state in handed if state) == [
        ("asia", 3),
        ("europe", 3),
        ("europe", 100),
    ]
    [requested] = desk.events("messages", message(105))[1:]
    assert isinstance(requested, SendRequested)


def test_a_message_cancelled_in_the_race_is_struck(desk: PostgresDesk) -> None:
    schedule(desk, [1, 2])
    cancelled = MessageCancelled(**repeated(), reason="suppressed")
    desk.in_between(lambda: desk.write("messages", message(1), 1, cancelled))
    run(working(desk), DUE)
    assert desk.events("dispatches", UUID(int=1)) == [
        DispatchRequested(channel="sink", region="europe", message_ids=(message(2),))
    ]
    assert desk.events("messages", message(1))[-1] == cancelled
    with desk.begin() as work:
        assert work.due_count() == 0


def test_a_message_scheduled_in_the_race_goes_out_next(desk: PostgresDesk) -> None:
    schedule(desk, [1])
    desk.in_between(lambda: schedule(desk, [2]))
    leader = working(desk)
    leader.step(DUE, steady=True)
    assert len(desk.events("messages", message(2))) == 1
    leader.step(DUE, steady=True)
    assert isinstance(desk.events("messages", message(2))[-1], SendRequested)


def test_a_failed_message_is_tried_again_and_a_late_one_expires(desk: PostgresDesk) -> None:
    schedule(desk, [1])
    leader = working(desk)
    run(leader, DUE)
    retry_at = DUE + timedelta(minutes=5)
    failed = MessageFailed(**repeated(), error="not_accepted:500", retry_count=1, retry_at=retry_at, dispatch_id=UUID(int=1))
    desk.write("messages", message(1), 2, failed)
    run(leader, retry_at)
    again = SendRequested(**repeated(), attempt=2, channel="sink", dispatch_id=UUID(int=2))
    assert desk.events("messages", message(1))[-1] == again
    desk.write("messages", message(1), 4, replace(failed, dispatch_id=UUID(int=2), retry_at=DUE + timedelta(hours=20)))
    run(leader, DUE + timedelta(hours=20))
    assert desk.events("messages", message(1))[-1] == MessageExpired(**repeated(), reason="late_window")


def taken_over(desk: PostgresDesk, numbers: Sequence[int], channel: ChannelTraits = SINK) -> None:
    """A worker claims the dispatch of these messages and falls silent: they are requested again, in UUID(int=900)."""
    schedule(desk, numbers)
    leader = working(desk, channel)
    run(leader, DUE)
    desk.bump(WORKER, 1)
    claim = DispatchStarted(worker=WORKER[0], incarnation=WORKER[1], claim_token=UUID(int=5))
    desk.write("dispatches", UUID(int=1), 1, claim)
    run(leader, DUE)
    plan, ids = ChannelPlan((channel,)), count(900)
    watching = Recovery(desk.begin, TYPES, plan, lambda: UUID(int=next(ids)), lease_seconds=15, call_timeout_seconds=10)
    for second in range(26):
        watching.step(DUE, second)


def test_a_dead_workers_messages_are_doubted_and_requested_again(desk: PostgresDesk) -> None:
    taken_over(desk, [1, 2])
    doubted, again = desk.events("messages", message(1))[-2:]
    assert isinstance(doubted, DeliveryInDoubt)
    assert isinstance(again, SendRequested)
    assert (again.dispatch_id, again.repeat_of) == (UUID(int=900), UUID(int=1))
    assert desk.events("dispatches", UUID(int=1))[-1] == DispatchFinished(how="worker_dead")
    with desk.begin() as work:
        assert work.members_in_flight() == {"sink": 2}
        assert work.claimants() == []


def test_a_dispatcher_that_forgot_its_position_sends_nothing_twice(desk: PostgresDesk) -> None:
    schedule(desk, [1, 2, 3])
    run(working(desk), DUE)
    with desk.store.database.connect() as connection:
        connection.execute("DELETE FROM positions; DELETE FROM in_flight")
    run(working(desk, first_id=50), DUE + SECOND)
    assert [len(desk.events("messages", message(number))) for number in (1, 2, 3)] == [2, 2, 2]
    with desk.begin() as work:
        assert (work.due_count(), work.members_in_flight()) == (0, {"sink": 3})


def test_of_two_dispatchers_the_deposed_one_writes_nothing(desk: PostgresDesk) -> None:
    schedule(desk, [1])
    electors = [Elector(desk.store.database, "dispatcher", take_over_at_once=True) for _ in range(2)]
    leaderships = [elector.step(0.0) for elector in electors]
    old, new = (
        Dispatcher(
            lambda lead=lead: begin_work(desk.store, PostgresDispatcherWork, "dispatcher", lead),  # type: ignore[misc]
            TYPES,
            ChannelPlan((SINK,)),
            lambda number=number: UUID(int=number),  # type: ignore[misc]
        )
        for number, lead in enumerate(leaderships, 1)
    )
    with pytest.raises(Deposed):
        old.step(DUE, steady=True)
    assert len(desk.events("messages", message(1))) == 1
    new.step(DUE, steady=True)
    [_, requested] = desk.events("messages", message(1))
    assert isinstance(requested, SendRequested)
    assert requested.dispatch_id == UUID(int=2)


def test_nobody_waits_for_a_row_that_another_works_on(desk: PostgresDesk) -> None:
    put(desk, flight(1), flight(2))
    with desk.begin() as work:
        work.started([(UUID(int=1), *WORKER), (UUID(int=2), *WORKER)])
    with desk.begin() as dispatching:
        dispatching.withdrawn({UUID(int=1): 1})
        with desk.begin() as other:
            assert other.claimed_by([WORKER]) == [UUID(int=2)]
            other.published([UUID(int=1), UUID(int=2)], DUE)


SPARE = replace(SINK, name="spare")


def planned(desk: PostgresDesk, *channels: ChannelTraits, first_id: int = 1) -> Dispatcher:
    ids = count(first_id)
    by_type = {"BIRTHDAY": [channel.name for channel in channels]}
    return Dispatcher(desk.begin, TYPES, ChannelPlan(channels, by_type), lambda: UUID(int=next(ids)))


def test_while_a_breaker_is_open_its_messages_go_through_the_next_channel(desk: PostgresDesk) -> None:
    schedule(desk, [1, 2])
    PostgresChannels(desk.store.database).trip("sink")
    run(planned(desk, SINK, SPARE), DUE)
    over, requested = desk.events("messages", message(1))[1:]
    assert isinstance(over, FailedOver)
    assert (over.from_channel, over.to_channel) == ("sink", "spare")
    assert isinstance(requested, SendRequested)
    with desk.begin() as work:
        assert work.members_in_flight() == {"spare": 2}


def test_failing_over_and_counting_what_is_in_flight_lock_each_other_out_never(desk: PostgresDesk) -> None:
    """As whoever repeats doubts counts first and then appends, and so do the leaders of other regions."""
    schedule(desk, [1])
    PostgresChannels(desk.store.database).trip("sink")
    counted, over = Signal(), Signal()

    def locks(condition: str) -> int:
        with desk.store.database.connect() as connection:
            found = connection.execute(f"SELECT FROM pg_locks WHERE locktype = 'advisory' AND {condition}")
            return found.rowcount

    def repeat() -> None:
        with desk.begin() as work:
            work.members_in_flight()
            counted.set()
            while not (over.is_set() or locks(f"classid = {LOCK_SPACE} AND granted") > 1):
                pass
            assert not work.append([Group((NewEvents("messages", message(2), 0, (scheduled(2),)),))], TEST, DUE).lost

    with ThreadPoolExecutor(1) as threads:

        def begin_repeating() -> None:
            repeating.append(threads.submit(repeat))
            while not (counted.is_set() or locks("NOT granted")):
                pass

        repeating: list[Future[None]] = []
        desk.in_between(begin_repeating)
        try:
            planned(desk, SINK, SPARE).step(DUE, steady=True)
        finally:
            over.set()
        repeating[0].result()
    assert isinstance(desk.events("messages", message(1))[1], FailedOver)


def test_without_another_channel_they_wait_until_it_has_closed(desk: PostgresDesk) -> None:
    schedule(desk, [1])
    channels = PostgresChannels(desk.store.database)
    channels.trip("sink")
    leader = planned(desk, SINK)
    run(leader, DUE)
    assert len(desk.events("messages", message(1))) == 1
    with desk.store.database.connect() as connection:
        connection.execute("UPDATE channel_states SET open_until = clock_timestamp()")
    channels.close("sink")
    run(leader, DUE)
    assert isinstance(desk.events("messages", message(1))[-1], SendRequested)


def test_a_channel_that_left_the_settings_gives_back_what_it_was_handed(desk: PostgresDesk) -> None:
    schedule(desk, [1, 2])
    run(planned(desk, SPARE), DUE)
    run(planned(desk, SINK, first_id=500), DUE)
    assert [type(event).__name__ for event in desk.events("messages", message(1))[2:]] == ["MessageReleased", "SendRequested"]
    with desk.begin() as work:
        assert work.members_in_flight() == {"sink": 2}


def test_what_was_handed_to_a_channel_that_is_gone_and_sent_all_the_same_holds_up_nobody(desk: PostgresDesk) -> None:
    """Its dispatch alone is taken back, in a log that comes after that of the messages which are due then."""
    taken_over(desk, [1], SPARE)
    sent = MessageSent(**repeated(), sent_at=DUE, response_code=200, provider_id="", template_version=1, dispatch_id=UUID(int=1))
    desk.write("messages", message(1), len(desk.events("messages", message(1))), sent)  # by the worker that was thought dead
    schedule(desk, [2])
    run(planned(desk, SINK, first_id=500), DUE)
    assert desk.events("dispatches", UUID(int=900))[-1] == DispatchFinished(how="withdrawn")
    assert isinstance(desk.events("messages", message(2))[-1], SendRequested)
    assert desk.events("messages", message(1))[-1] == sent
    with desk.begin() as work:
        assert work.members_in_flight() == {"sink": 1}


def test_a_window_that_was_made_longer_reaches_what_was_planned_before(desk: PostgresDesk) -> None:
    hour = timedelta(hours=1)
    short, long = (MessageTypes(replace(BIRTHDAY, late_window=hours * hour)) for hours in (1, 12))
    schedule(desk, [1])
    run(working(desk, types=short), DUE - SECOND)
    run(working(desk, types=long), DUE + 2 * hour)
    assert isinstance(desk.events("messages", message(1))[-1], SendRequested)
