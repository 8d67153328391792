"""Does each setting of a type, said in the settings file, show in what is planned, requested and repeated?"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from itertools import count
from pathlib import Path
from uuid import UUID

import pytest

from application.channel_plan import ChannelPlan, ChannelTraits
from application.dispatch_messages import Dispatcher
from application.recover_deliveries import Recovery
from domain.dispatch import DispatchRequested, DispatchStarted
from domain.message_type import MessageTypes
from ops.message_types import message_types
from ops.settings import read_settings
from tests.fakes import PlannerMemory
from tests.planner_scene import BIRTHDAY, EVE, LATER, Life, MemoryScene, Scene, ada, utc

Told = Callable[[str], MessageTypes]
BLIND = ChannelTraits(name="blind", idempotent=False, askable=False, concurrency=7)
WORKER = ("w", UUID(int=77))
NINE = utc("2027-05-15 08:00")


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """The types, as these lines of the settings file make them."""

    def types(lines: str) -> MessageTypes:
        file = tmp_path / "ninebell.toml"
        file.write_text(lines)
        return message_types(read_settings({"NINEBELL_CONFIG": str(file)}))

    return types


def test_a_send_time_moves_what_is_planned(scene: Scene, told: Told) -> None:
    life = ada(scene, types=told('[types.BIRTHDAY]\nsend_time = "10:30"\n'))
    life.plan(EVE)
    assert due(life) == utc("2027-05-15 09:30")


def test_a_spread_puts_each_person_in_a_place_of_their_own(scene: Scene, told: Told) -> None:
    types = told("[types.BIRTHDAY]\nspread_minutes = 60\n")
    lives = [ada(scene, types=types) for _ in range(20)]
    lives[-1].plan(EVE)
    dues = {due(life) for life in lives}
    assert len(dues) > 15
    assert NINE <= min(dues) <= max(dues) < NINE + timedelta(hours=1)
    lives[-1].plan(LATER)
    assert {due(life) for life in lives} == dues


@pytest.mark.parametrize(("now", "seen"), [("10:59", "scheduled"), ("11:00", "expired late_window")])
def test_a_late_window_says_when_it_is_too_late(scene: Scene, told: Told, now: str, seen: str) -> None:
    life = ada(scene, types=told('[types.BIRTHDAY]\nlate_window = "3h"\n'))
    life.plan(utc(f"2027-05-15 {now}"))
    assert life.seen(BIRTHDAY) == seen


@pytest.mark.parametrize(
    ("leap_day", "planned"),
    [("feb28", {date(2027, 2, 28): "leap_feb28"}), ("mar1", {date(2027, 3, 1): "leap_mar1"}), ("skip", {})],
)
def test_a_leap_day_rule_says_where_february_29_goes(scene: Scene, told: Told, leap_day: str, planned: dict[date, str]) -> None:
    registered_at = utc("2027-02-27 12:00")
    life = ada(scene, registered_at, birthday="1992-02-29", types=told(f'[types.BIRTHDAY]\nleap_day = "{leap_day}"\n'))
    life.plan(registered_at)
    days = [date(2027, 2, 27) + timedelta(days=number) for number in range(4)]
    assert {day: message.rule for day in days if (message := life.message(day))} == planned


def test_a_priority_says_which_herd_goes_first(told: Told) -> None:
    types = told("[types.ANNIVERSARY]\npriority = 1\n")
    memory = PlannerMemory()
    wanted = ("BIRTHDAY", "ANNIVERSARY")
    life = ada(MemoryScene(memory), types=types, anniversary=date(2020, 5, 15), message_types=wanted)
    life.plan(EVE)
    run(dispatcher(memory, types), NINE)
    requested = [one.event.message_ids for one in memory.logs["dispatches"] if isinstance(one.event, DispatchRequested)]
    assert requested == [(life.id_of(BIRTHDAY, "ANNIVERSARY"), life.id_of(BIRTHDAY))]


@pytest.mark.parametrize(("doubt", "status"), [("prefer_no_duplicate", "in_doubt"), ("prefer_delivery", "requested")])
def test_a_doubt_policy_says_whether_a_blind_channel_is_called_again(told: Told, doubt: str, status: str) -> None:
    types = told(f'[types.BIRTHDAY]\ndoubt = "{doubt}"\n')
    memory = PlannerMemory()
    life = ada(MemoryScene(memory), types=types)
    life.plan(EVE)
    leader = dispatcher(memory, types)
    run(leader, NINE)
    memory.counters[WORKER] = 1
    memory.write(
        "dispatches", UUID(int=1), DispatchStarted(worker=WORKER[0], incarnation=WORKER[1], claim_token=UUID(int=5)), now=NINE
    )
    run(leader, NINE)
    recover(memory, types)
    message = life.message(BIRTHDAY)
    assert message
    assert (message.status, message.in_doubt) == (status, True)


@pytest.mark.parametrize("said", ["per_address_per_day = 2", 'channels = ["sink"]'])
def test_a_cap_and_the_channels_are_no_matter_of_the_type_itself(told: Told, said: str) -> None:
    assert dict(told(f"[types.BIRTHDAY]\n{said}\n")) == dict(told(""))


def due(life: Life) -> datetime:
    message = life.message(BIRTHDAY)
    assert message
    return message.due_at


def dispatcher(memory: PlannerMemory, types: MessageTypes) -> Dispatcher:
    ids = count(1)
    return Dispatcher(memory.begin(), types, ChannelPlan((BLIND,)), lambda: UUID(int=next(ids)))


def run(dispatcher: Dispatcher, now: datetime) -> None:
    while dispatcher.step(now, steady=True):
        pass


def recover(memory: PlannerMemory, types: MessageTypes) -> None:
    """Look each second until the worker has been silent for its lease and a call."""
    ids = count(900)
    recovery = Recovery(
        memory.begin(), types, ChannelPlan((BLIND,)), lambda: UUID(int=next(ids)), lease_seconds=15, call_timeout_seconds=10
    )
    for second in range(27):
        recovery.step(NINE, second)
