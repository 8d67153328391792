"""How much is handed to the workers at a time?"""

from uuid import UUID

from msgspec.structs import replace

from application.dispatcher_ports import InFlight
from domain.message_type import MessageTypes
from domain.message_types.birthday import BIRTHDAY
from tests.application.dispatch_stories import BEFORE, BLIND, DUE, SINK, dispatcher, dispatches, message, run, schedule, scheduled
from tests.fake_dispatcher_work import Memory


def fill(memory: Memory, members: int, channel: str = "sink") -> None:
    with memory.begin()() as work:
        work.put_in_flight([InFlight(UUID(int=10_000), channel, "europe", members, DUE)])


def test_a_full_channel_gets_nothing_until_it_is_half_empty() -> None:
    memory = Memory()
    schedule(memory, [1])
    leader = dispatcher(memory)
    for members, handed in ((8_000, 0), (4_000, 0), (3_999, 1)):
        memory.flights.clear()
        fill(memory, members)
        run(leader, DUE)
        assert len(dispatches(memory)) == handed, members


def test_one_full_channel_hides_no_other() -> None:
    memory = Memory()
    types = MessageTypes(BIRTHDAY, replace(BIRTHDAY, name="OTHER"))
    schedule(memory, [1])
    memory.write("messages", message(2), replace(scheduled(2), message_type="OTHER"), now=BEFORE)
    leader = dispatcher(memory, SINK, BLIND, types=types, by_type={"OTHER": ("blind",)})
    fill(memory, 8_000)
    run(leader, DUE)
    assert [handed.channel for handed in dispatches(memory)] == ["blind"]


def test_all_channels_together_hold_no_more_than_ten_thousand() -> None:
    memory = Memory()
    schedule(memory, range(1, 31))
    fill(memory, 9_990, channel="other")
    run(dispatcher(memory), DUE)
    assert sum(len(handed.message_ids) for handed in dispatches(memory)) == 10


def test_all_channels_share_what_room_is_left() -> None:
    memory = Memory()
    types = MessageTypes(BIRTHDAY, replace(BIRTHDAY, name="OTHER"))
    schedule(memory, range(1, 11))
    for number in range(11, 21):
        memory.write("messages", message(number), replace(scheduled(number), message_type="OTHER"), now=BEFORE)
    fill(memory, 9_985, channel="third")
    run(dispatcher(memory, SINK, BLIND, types=types, by_type={"OTHER": ("blind",)}), DUE)
    assert sum(len(handed.message_ids) for handed in dispatches(memory)) == 15
