"""Where two leaders of regions meet on what they share, is nothing torn, held up or locked out?"""

from collections.abc import Iterator, Sequence
from functools import partial
from uuid import uuid4

import pytest

from application.channel_plan import ChannelPlan
from application.dispatch_messages import Dispatcher
from application.ports import Group, NewEvents
from application.repeat_doubt import REPEAT_AFTER, RepeatDoubt
from domain.dispatch import DispatchFinished, DispatchRequested
from domain.region import REGIONS
from domain.scheduled_message import DeliveryInDoubt, SendRequested
from infrastructure.dispatcher_tables import PostgresDispatcherWork
from infrastructure.work import begin_work
from tests.application.dispatch_stories import DUE, SINK, TYPES, message, repeated, run, scheduled
from tests.dispatcher_desks import TEST, PostgresDesk, open_desk

LONDON, TOKYO = "Europe/London", "Asia/Tokyo"
PLAN = ChannelPlan((SINK,))
EAST, WEST = ("asia", "oceania"), ("europe", "africa", "americas")
READY = DUE + REPEAT_AFTER


@pytest.fixture
def desk(migrated_database: str) -> Iterator[PostgresDesk]:
    with open_desk(migrated_database) as desk:
        yield desk


def leading(desk: PostgresDesk, regions: Sequence[str]) -> Dispatcher:
    kind = partial(PostgresDispatcherWork, regions=regions)
    return Dispatcher(lambda: begin_work(desk.store, kind, "dispatcher", None), TYPES, PLAN, uuid4)


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
