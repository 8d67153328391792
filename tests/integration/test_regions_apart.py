"""Does every message go out once, whoever leads which region, however far each has read?"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count, product
from uuid import UUID, uuid4

import psycopg
import pytest

from application.channel_plan import ChannelPlan
from application.delivery_ports import SendCommand
from application.dispatch_messages import Dispatcher
from application.ports import Deposed, StoreUnavailable
from application.publish_dispatches import Publisher
from application.repeat_doubt import RepeatDoubt
from application.retry_parked import RetryParked
from domain.dispatch import DispatchFinished, DispatchRequested, DispatchStarted
from domain.event import Event
from domain.region import REGIONS
from domain.scheduled_message import DeliveryInDoubt, MessageCancelled, MessageReinstated, MessageRescheduled, SendRequested
from infrastructure.database import Database
from infrastructure.dispatcher_tables import PostgresDispatcherWork
from infrastructure.followers import Followers
from infrastructure.leader import SILENCE_SECONDS
from infrastructure.region_leaders import RegionLeaders, leaders_heard
from infrastructure.work import begin_work
from tests.application.dispatch_stories import BEFORE, DUE, SINK, TYPES, message, repeated, run, scheduled
from tests.dispatcher_desks import WORKER, PostgresDesk, open_desk

LONDON, TOKYO, LIMA = "Europe/London", "Asia/Tokyo", "America/Lima"
PLAN = ChannelPlan((SINK,))
EAST, WEST = ("asia", "oceania"), ("europe", "africa", "americas")


@pytest.fixture
def desk(migrated_database: str) -> Iterator[PostgresDesk]:
    with open_desk(migrated_database) as desk:
        yield desk


def leading(desk: PostgresDesk, regions: Sequence[str]) -> Dispatcher:
    kind = partial(PostgresDispatcherWork, regions=regions)
    return Dispatcher(lambda: begin_work(desk.store, kind, "dispatcher", None), TYPES, PLAN, uuid4)


def moved(timezone: str) -> MessageRescheduled:
    return MessageRescheduled(**repeated(timezone), reason="zone_moved", rule="plain", tzdata="2026f")


def cancelled(timezone: str) -> MessageCancelled:
    return MessageCancelled(**repeated(timezone), reason="suppressed")


def reinstated(timezone: str) -> MessageReinstated:
    return MessageReinstated(**repeated(timezone), reason="", rule="plain", tzdata="2026f")


def sent(desk: PostgresDesk, number: int) -> int:
    return sum(isinstance(event, SendRequested) for event in desk.events("messages", message(number)))


def rows(desk: PostgresDesk) -> int:
    with desk.begin() as work:
        return work.due_count()


Told = Callable[[int], list[Event]]


@pytest.mark.parametrize(
    ("told", "requests"),
    [
        (lambda n: [scheduled(n, TOKYO), moved(LONDON)], 1),
        (lambda n: [scheduled(n, LONDON), moved(TOKYO), moved(LONDON)], 1),
        (lambda n: [scheduled(n, TOKYO), cancelled(TOKYO), reinstated(LONDON)], 1),
        (lambda n: [scheduled(n, LONDON), moved(TOKYO), cancelled(TOKYO)], 0),
    ],
    ids=["moved", "there-and-back", "reinstated-elsewhere", "cancelled-elsewhere"],
)
def test_a_message_between_two_regions_goes_out_once(desk: PostgresDesk, told: Told, requests: int) -> None:
    """Whichever of the two has read how far when each thing happens, and whichever catches up first."""
    shards = [leading(desk, EAST), leading(desk, WEST)]
    earlier = len(told(0)) - 1
    for number, (west_first, *reads) in enumerate(product((True, False), repeat=1 + 2 * earlier), start=1):
        for version, event in enumerate(told(number)):
            desk.write("messages", message(number), version, event)
            for shard, does in zip(shards, reads[2 * version : 2 * version + 2], strict=False):
                if does:
                    run(shard, BEFORE)
        for now in (BEFORE, DUE, DUE):
            for shard in reversed(shards) if west_first else shards:
                run(shard, now)
        assert (sent(desk, number), rows(desk)) == (requests, 0), (west_first, reads)


def test_regions_are_parted_and_joined_wherever_each_stands(desk: PostgresDesk) -> None:
    numbers = count(1)

    def write(*zones: str) -> None:
        for zone in zones:
            desk.write("messages", message(number := next(numbers)), 0, scheduled(number, zone))

    write(LONDON, TOKYO, LIMA)
    run(leading(desk, REGIONS), BEFORE)
    write(LONDON, TOKYO, LIMA)
    run(leading(desk, ["asia"]), DUE)
    assert [sent(desk, number) for number in range(1, 7)] == [0, 1, 0, 0, 1, 0]
    write(LONDON, TOKYO, LIMA)
    run(leading(desk, ["americas"]), DUE)
    write(LONDON, TOKYO, LIMA)
    [standing] = [one for one in Followers(desk.store).status(DUE) if one.name == "dispatcher"]
    assert standing.lag_events > 0, "the slowest region counts"
    run(leading(desk, REGIONS), DUE)
    run(leading(desk, REGIONS), DUE)  # and reads what it has requested itself
    assert [sent(desk, number) for number in range(1, 13)] == [1] * 12
    [standing] = [one for one in Followers(desk.store).status(DUE) if one.name == "dispatcher"]
    assert (standing.lag_events, rows(desk)) == (0, 0)
    with desk.begin() as work:
        assert work.members_in_flight() == {"sink": 12}


def test_what_is_finished_of_a_region_that_nobody_leads_makes_room_for_the_others(desk: PostgresDesk) -> None:
    for number in (1, 2):
        desk.write("messages", message(number), 0, scheduled(number, TOKYO))
    run(leading(desk, EAST), DUE)
    [request, _] = [
        event for number in (1, 2) for event in desk.events("messages", message(number)) if isinstance(event, SendRequested)
    ]
    with desk.begin() as work:
        assert work.members_in_flight() == {"sink": 2}
    desk.write("dispatches", request.dispatch_id, 1, DispatchFinished(how="recorded"))
    run(leading(desk, WEST), DUE)
    with desk.begin() as work:
        assert work.members_in_flight() == {}
    run(leading(desk, EAST), DUE)
    with desk.begin() as work:
        assert work.members_in_flight() == {}, "whoever reads of it only then finds it over"


class Heard:
    """A bus that only listens."""

    def __init__(self) -> None:
        self.ids: list[UUID] = []

    async def publish(self, commands: Sequence[SendCommand]) -> None:
        self.ids += [command.dispatch_id for command in commands]


async def test_what_a_region_requests_is_published_by_its_leader_alone(desk: PostgresDesk) -> None:
    for number, zone in enumerate((LONDON, TOKYO, LIMA), start=1):
        desk.write("messages", message(number), 0, scheduled(number, zone))
    run(leading(desk, REGIONS), DUE)
    heard = []
    for regions in (EAST, WEST, REGIONS):
        bus, kind = Heard(), partial(PostgresDispatcherWork, regions=regions)
        begin = lambda kind=kind: begin_work(desk.store, kind, "publisher", None)  # noqa: E731
        publisher = Publisher(begin, bus, bus_starts_empty=False)  # type: ignore[arg-type]
        while await publisher.step(DUE):
            pass
        heard.append(len(bus.ids))
    assert heard == [1, 2, 0]


def test_each_region_has_one_leader_and_a_standby_takes_what_is_let_go(desk: PostgresDesk) -> None:
    database = desk.store.database
    east, everywhere = RegionLeaders(database, "dispatcher", EAST), RegionLeaders(database, "dispatcher")
    east.step(0.0)
    everywhere.step(0.0)
    assert (east.term().regions, everywhere.term().regions) == (EAST, ("americas", "europe", "africa"))
    before = everywhere.term()
    east.stop()
    with database.cursor() as cursor:
        assert [role for role, heard in leaders_heard(cursor).items() if not heard.leads] == [
            "planner",
            "dispatcher/asia",
            "dispatcher/oceania",
        ]
    everywhere.step(1.0)
    assert everywhere.term().regions == REGIONS
    with pytest.raises(Deposed):
        before.guard()
    with pytest.raises(Deposed):
        east.term()
    RegionLeaders(database, "dispatcher", ["asia"], take_over_at_once=True).step(2.0)
    with pytest.raises(Deposed), begin_work(desk.store, PostgresDispatcherWork, "dispatcher", everywhere.term().guard()):
        pass


def test_a_doubt_is_repeated_where_another_region_has_read_no_further_than_its_dispatch(desk: PostgresDesk) -> None:
    """The leader of one dies before it repeats; another's, which has read to the end of the log, takes over."""
    desk.write("messages", message(1), 0, scheduled(1, LONDON))
    run(leading(desk, REGIONS), DUE)
    [request] = [event for event in desk.events("messages", message(1)) if isinstance(event, SendRequested)]
    doubt = DeliveryInDoubt(**repeated(LONDON), reason="timeout", channel="sink", dispatch_id=request.dispatch_id)
    desk.write("messages", message(1), 2, doubt)
    repeating(desk, EAST).step(DUE)
    joined = repeating(desk, REGIONS)
    assert [joined.step(DUE) for _ in range(3)][-1] is False
    assert sent(desk, 1) == 2


def repeating(desk: PostgresDesk, regions: Sequence[str]) -> RepeatDoubt:
    kind = partial(PostgresDispatcherWork, regions=regions)
    return RepeatDoubt(lambda: begin_work(desk.store, kind, "doubt", None), TYPES, PLAN, uuid4)


def test_what_was_left_alone_in_one_region_can_be_tried_again_by_the_leader_of_another(desk: PostgresDesk) -> None:
    dispatch_id, (worker, incarnation) = uuid4(), WORKER
    requested = DispatchRequested(channel="sink", region="asia", message_ids=(message(1),))
    started = DispatchStarted(worker=worker, incarnation=incarnation, claim_token=uuid4())
    desk.write("dispatches", dispatch_id, 0, requested, started)
    with desk.begin() as work:
        work.park("dispatches", dispatch_id, "Unreadable")
    with desk.store.database.connect() as connection:
        connection.execute("UPDATE parked_events SET again = true, follower = 'recovery'")
    west, east = (partial(PostgresDispatcherWork, regions=regions) for regions in (WEST, EAST))
    RetryParked(lambda: begin_work(desk.store, west, "dispatcher", None), TYPES, PLAN).step(DUE)
    with begin_work(desk.store, east, "recovery", None) as recovery:
        assert recovery.claimed_by([WORKER]) == [dispatch_id]


def test_no_region_counts_as_silent_while_none_can_be_heard(desk: PostgresDesk, migrated_database: str) -> None:
    RegionLeaders(desk.store.database, "dispatcher").step(0.0)
    with Database(migrated_database, application_name="deaf") as deaf:
        standby = RegionLeaders(deaf, "dispatcher")
        standby.step(0.0)
    with pytest.raises(StoreUnavailable):
        standby.step(1.0)
    for elector in standby._electors.values():
        elector._database = desk.store.database
    standby.step(SILENCE_SECONDS + 1)
    assert standby.leadership is None


def test_a_region_that_can_not_be_taken_over_yet_holds_up_no_other(desk: PostgresDesk, migrated_database: str) -> None:
    """A frozen leader's transaction, which the server can't end either."""
    database = desk.store.database
    RegionLeaders(database, "dispatcher", ["americas", "africa"]).step(0.0)
    leaders = RegionLeaders(database, "dispatcher", ["americas", "europe", "africa"])
    leaders.step(0.0)
    with psycopg.connect(migrated_database) as frozen:
        frozen.execute("SELECT FROM ninebell.leaders WHERE role = 'dispatcher/americas' FOR SHARE")
        leaders.step(SILENCE_SECONDS)
        with database.cursor() as cursor:
            [(bumps,)] = cursor.execute("SELECT counter FROM leader_bumps WHERE role = 'dispatcher/europe'").fetchall()
        assert (bumps, leaders.term().regions) == (1, ("europe", "africa"))
    leaders.step(SILENCE_SECONDS + 1)
    assert leaders.term().regions == ("americas", "europe", "africa")
