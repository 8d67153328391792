"""Where two leaders of regions meet on what they share, is nothing torn, held up or locked out?"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from uuid import uuid4

import pytest
from msgspec.structs import replace

from application.channel_plan import ChannelPlan
from application.dispatch_messages import Dispatcher
from application.pacing import STOP_AT
from application.ports import Group, NewEvents
from application.repeat_doubt import REPEAT_AFTER, RepeatDoubt
from domain.dispatch import DispatchFinished, DispatchRequested
from domain.region import REGIONS
from domain.scheduled_message import DeliveryInDoubt, SendRequested
from infrastructure.channel_states import PostgresChannels
from infrastructure.dispatcher_tables import PostgresDispatcherWork
from infrastructure.region_leaders import RegionLeaders
from infrastructure.work import begin_work
from tests.application.dispatch_stories import DUE, SINK, TYPES, message, repeated, run, scheduled
from tests.dispatcher_desks import TEST, Interrupted, PostgresDesk, flight, open_desk, put

LONDON, TOKYO = "Europe/London", "Asia/Tokyo"
PLAN = ChannelPlan((SINK,))
EAST, WEST = ("asia", "oceania"), ("europe", "africa", "americas")
READY = DUE + REPEAT_AFTER


@pytest.fixture
def desk(migrated_database: str) -> Iterator[PostgresDesk]:
    with open_desk(migrated_database) as desk:
        yield desk


def leading(desk: PostgresDesk, regions: Sequence[str], plan: ChannelPlan = PLAN) -> Dispatcher:
    kind = partial(PostgresDispatcherWork, regions=regions)
    return Dispatcher(lambda: begin_work(desk.store, kind, "dispatcher", None), TYPES, plan, uuid4)


def repeating(desk: PostgresDesk, regions: Sequence[str]) -> RepeatDoubt:
    kind = partial(PostgresDispatcherWork, regions=regions)
    return RepeatDoubt(lambda: begin_work(desk.store, kind, "doubt", None), TYPES, PLAN, uuid4)


def requests(desk: PostgresDesk, number: int) -> list[SendRequested]:
    return [event for event in desk.events("messages", message(number)) if isinstance(event, SendRequested)]


@pytest.mark.parametrize("page", [6, 7, 8, 9], ids=["before", "first", "second", "past"])
def test_a_dispatch_in_doubt_is_repeated_whole_where_another_regions_leader_stopped_amid_it(
    desk: PostgresDesk, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Halves would go out under the key of the whole: a provider that knows it takes the second half for the first."""
    for number in (1, 2, 3):
        desk.write("messages", message(number), 0, scheduled(number, LONDON))
    run(leading(desk, REGIONS), DUE)
    first = requests(desk, 1)[0].dispatch_id
    doubt = DeliveryInDoubt(**repeated(LONDON), reason="timeout", channel="sink", dispatch_id=first)
    doubts = [NewEvents("messages", message(number), 2, (doubt,)) for number in (1, 2, 3)]
    end = NewEvents("dispatches", first, 1, (DispatchFinished(how="recorded"),))
    assert not desk.store.append([Group((*doubts, end))], TEST, DUE).lost
    desk.write("messages", message(4), 0, scheduled(4, TOKYO))
    monkeypatch.setattr("application.repeat_doubt.READ_AT_ONCE", page)
    repeating(desk, EAST).step(READY)
    joined = repeating(desk, REGIONS)
    while joined.step(READY):
        pass
    again = {request.dispatch_id for number in (1, 2, 3) for request in requests(desk, number)[1:]}
    assert [len(requests(desk, number)) for number in (1, 2, 3)] == [2, 2, 2]
    assert len(again) == 1
    [asked, *_] = desk.events("dispatches", again.pop())
    [began, *_] = desk.events("dispatches", first)
    assert isinstance(asked, DispatchRequested)
    assert asked == began


@pytest.mark.parametrize("breaker", ["half_open", "closed"])
@pytest.mark.parametrize("ended", ["released", "silent"])
def test_what_is_in_flight_of_a_region_that_nobody_leads_bars_no_other(desk: PostgresDesk, ended: str, breaker: str) -> None:
    """Nobody publishes it, nor takes it over from a dead worker: so as a trial it would have no answer, and it fills all room."""
    database = desk.store.database
    east = RegionLeaders(database, "dispatcher", EAST)
    east.step(0.0)
    put(desk, flight(1, region="asia", members=STOP_AT))
    if breaker == "half_open":
        PostgresChannels(database).trip("sink")
    with database.connect() as connection:
        connection.execute("UPDATE channel_states SET open_until = clock_timestamp()")
    for number in (1, 2):
        desk.write("messages", message(number), 0, scheduled(number, LONDON))
    west = leading(desk, WEST)
    run(west, DUE)
    assert not any(requests(desk, number) for number in (1, 2))
    if ended == "released":
        east.stop()
    with database.connect() as connection:
        connection.execute("UPDATE leader_bumps SET bumped_at = bumped_at - interval '15 seconds' WHERE NOT released")
    run(west, DUE)
    assert sum(len(requests(desk, number)) for number in (1, 2)) == (1 if breaker == "half_open" else 2)


def test_taking_back_what_a_channel_that_is_gone_was_handed_locks_out_no_other_leader(desk: PostgresDesk) -> None:
    """As all leaders do at once when the settings change: they count what is in flight, and append."""
    for number, zone in enumerate((TOKYO, LONDON), start=1):
        desk.write("messages", message(number), 0, scheduled(number, zone))
    run(leading(desk, EAST, ChannelPlan((replace(SINK, name="gone"),))), DUE)
    west = Dispatcher(lambda: begin_work(desk.store, partial(Interrupted, regions=WEST), "dispatcher", None), TYPES, PLAN, uuid4)
    with ThreadPoolExecutor(1) as threads:
        taking_back: list[Future[None]] = []

        def begin_taking_back() -> None:
            taking_back.append(threads.submit(run, leading(desk, EAST), DUE))
            while not (taking_back[0].done() or somebody_waits(desk)):
                pass

        desk.in_between(begin_taking_back)
        run(west, DUE)
        taking_back[0].result()
    assert [request.channel for request in requests(desk, 1)] == ["gone", "sink"]
    assert [request.channel for request in requests(desk, 2)] == ["sink"]


def somebody_waits(desk: PostgresDesk) -> bool:
    with desk.store.database.connect() as connection:
        return connection.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").rowcount > 0
