"""A worker is frozen before its claim, after it, before its outcome, while somebody takes the message back: who wins?

Each story is told on the store in memory and on PostgreSQL.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from application.cancel_message import cancel_message
from application.delivery_ports import SendCommand
from application.erase_user import erase_user
from application.ports import EventStore, Group, NewEvents
from application.reschedule_message import RescheduleMessage, reschedule_message
from application.suppress_user import suppress_user
from domain import dispatch, message_decisions
from domain.dispatch import DispatchStarted
from domain.errors import AlreadySent, BeingSent, MessageUnknown, NotAllowed, Refusal
from tests.delivery_scene import DUE, EXPIRED, TEST, Handed, Scene, handed
from tests.fake_event_store import FakeEventStore
from tests.stores import real_store

LATER = DUE + timedelta(hours=1)


@pytest.fixture(params=["memory", "PostgreSQL"])
def store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    if request.param == "memory":
        yield FakeEventStore()
    else:
        with real_store(request.getfixturevalue("database_with_months")) as store:
            yield store


@pytest.fixture
def scene(store: EventStore) -> Scene:
    return Scene(store)


def cancel(scene: Scene, id_: UUID) -> None:
    cancel_message(id_, scene.store, TEST, DUE)


def move(scene: Scene, id_: UUID) -> None:
    reschedule_message(RescheduleMessage(id_, LATER), scene.store, TEST, DUE)


def follow_zone(scene: Scene, id_: UUID) -> None:
    """As the planner does for a user who moved: withdrawn and rescheduled as one."""
    message = scene.store.load_messages([id_])[id_]
    assert message.state and message.state.dispatch_id
    batch = scene.store.load_dispatches([message.state.dispatch_id])[message.state.dispatch_id]
    moved = message_decisions.reschedule(
        message.state,
        due_at=LATER,
        timezone="Atlantic/Azores",
        rule="plain",
        tzdata="2026f",
        reason="zone_moved",
        given_up=message.state.dispatch_id,
    )
    withdrawn = dispatch.withdraw(batch.state, id_)
    group = Group(
        (
            NewEvents("messages", id_, message.version, tuple(moved)),
            NewEvents("dispatches", message.state.dispatch_id, batch.version, tuple(withdrawn)),
        )
    )
    assert not scene.store.append([group], TEST, DUE).lost


TAKING_BACK: dict[str, tuple[Callable[[Scene, UUID], None], str, str]] = {
    "16 cancelled by an operator": (cancel, "cancelled", "operator"),
    "moved by an operator": (move, "scheduled", "operator"),
    "11 follows its user's zone": (follow_zone, "scheduled", "zone_moved"),
}
TAKING_BACK_IDS = pytest.mark.parametrize(("take_back", "status", "reason"), TAKING_BACK.values(), ids=TAKING_BACK.keys())


@TAKING_BACK_IDS
async def test_before_the_claim_the_withdrawal_wins(
    scene: Scene, take_back: Callable[[Scene, UUID], None], status: str, reason: str
) -> None:
    [taken, stays] = scene.scheduled(2)
    command = scene.requested(taken, stays)
    take_back(scene, taken)
    await scene.deliver(scene.worker(), command)
    assert scene.provider.keys == [str(stays)]
    assert (scene.message(taken).status, scene.message(taken).reason) == (status, reason)
    assert scene.message(stays).status == "sent"


@TAKING_BACK_IDS
async def test_between_the_workers_look_and_its_claim_the_withdrawal_wins(
    scene: Scene, take_back: Callable[[Scene, UUID], None], status: str, reason: str
) -> None:
    [taken, stays] = scene.scheduled(2)
    command = scene.requested(taken, stays)
    frozen = Freezing(scene.store, before_append_of=DispatchStarted, meanwhile=lambda: take_back(scene, taken))
    await scene.deliver(scene.worker(store=frozen), command)
    assert frozen.thawed
    assert scene.provider.keys == [str(stays)]
    assert (scene.message(taken).status, scene.message(taken).reason) == (status, reason)
    assert scene.message(stays).status == "sent"


async def test_a_dispatch_whose_last_member_is_withdrawn_is_not_claimed(scene: Scene) -> None:
    [id_] = scene.scheduled()
    command = scene.requested(id_)
    cancel(scene, id_)
    assert scene.dispatch_status(command) == "finished"
    assert scene.worker().claim([command], DUE) == []


@TAKING_BACK_IDS
async def test_after_the_claim_the_withdrawal_is_refused_and_the_message_sent_as_it_is(
    scene: Scene, take_back: Callable[[Scene, UUID], None], status: str, reason: str
) -> None:
    [id_] = scene.scheduled()
    worker = scene.worker()
    claims = worker.claim([scene.requested(id_)], DUE)
    with pytest.raises(BeingSent):
        take_back(scene, id_)
    worker.record(claims, await worker.send(claims), DUE)
    assert scene.message(id_).status == "sent"
    assert scene.message(id_).due_at == DUE


@TAKING_BACK_IDS
async def test_before_the_outcome_the_withdrawal_is_refused_too(
    scene: Scene, take_back: Callable[[Scene, UUID], None], status: str, reason: str
) -> None:
    [id_] = scene.scheduled()
    worker = scene.worker()
    claims = worker.claim([scene.requested(id_)], DUE)
    outcomes = await worker.send(claims)
    with pytest.raises(BeingSent):
        take_back(scene, id_)
    worker.record(claims, outcomes, DUE)
    assert scene.story(id_)[-1] == "MessageSent"


async def test_a_withdrawal_and_a_claim_that_race_have_exactly_one_winner(scene: Scene) -> None:
    ids = scene.scheduled(20)
    commands = {id_: scene.requested(id_) for id_ in ids}
    worker = scene.worker()
    together = threading.Barrier(2)

    def claim_all() -> list[UUID]:
        together.wait()
        return [claim.dispatch_id for id_ in ids for claim in worker.claim([commands[id_]], DUE)]

    def cancel_all() -> list[UUID]:
        together.wait()
        return [commands[id_].dispatch_id for id_ in reversed(ids) if not _refused(cancel, scene, id_)]

    claimed, withdrawn = await asyncio.gather(asyncio.to_thread(claim_all), asyncio.to_thread(cancel_all))
    assert sorted(claimed + withdrawn) == sorted(command.dispatch_id for command in commands.values())


async def test_two_workers_that_race_claim_each_dispatch_once(scene: Scene) -> None:
    commands = [scene.requested(*scene.scheduled(2)) for _ in range(10)]
    together = threading.Barrier(2)

    def claim_all(order: list[SendCommand]) -> list[UUID]:
        worker = scene.worker()
        together.wait()
        return [claim.dispatch_id for command in order for claim in worker.claim([command], DUE)]

    first, second = await asyncio.gather(
        asyncio.to_thread(claim_all, commands), asyncio.to_thread(claim_all, list(reversed(commands)))
    )
    assert sorted(first + second) == sorted(command.dispatch_id for command in commands)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda scene, user_id: erase_user(user_id, scene.store, TEST, DUE), "erased"),
        (lambda scene, user_id: suppress_user(user_id, "bounced", scene.store, TEST, DUE), "suppressed"),
    ],
    ids=["16 erased", "16 suppressed"],
)
class TestAPersonWhoIsNoLongerToBeGreeted:
    Change = Callable[[Scene, UUID], Any]

    async def test_before_the_claim_gets_nothing(self, scene: Scene, change: Change, reason: str) -> None:
        [id_] = scene.scheduled()
        command = scene.requested(id_)
        change(scene, scene.people[id_])
        await scene.deliver(scene.worker(), command)
        assert scene.provider.calls == []
        assert (scene.message(id_).status, scene.message(id_).reason) == ("cancelled", reason)

    async def test_after_the_claim_may_get_it_and_it_is_recorded(self, scene: Scene, change: Change, reason: str) -> None:
        [id_] = scene.scheduled()
        worker = scene.worker()
        claims = worker.claim([scene.requested(id_)], DUE)
        change(scene, scene.people[id_])
        outcomes = await worker.send(claims)
        worker.record(claims, outcomes, DUE)
        assert scene.message(id_).status == "sent"

    async def test_before_the_outcome_got_it_and_it_is_recorded(self, scene: Scene, change: Change, reason: str) -> None:
        [id_] = scene.scheduled()
        worker = scene.worker()
        claims = worker.claim([scene.requested(id_)], DUE)
        outcomes = await worker.send(claims)
        change(scene, scene.people[id_])
        worker.record(claims, outcomes, DUE)
        assert scene.message(id_).status == "sent"


async def test_an_operator_may_cancel_what_is_in_doubt_and_a_late_acceptance_still_shows(scene: Scene) -> None:
    [id_] = scene.scheduled()
    command = scene.requested(id_)
    worker = scene.worker()
    claims = worker.claim([command], DUE)
    outcomes = await worker.send(claims)
    scene.given_up(command)
    cancel(scene, id_)
    worker.record(claims, outcomes, DUE)
    assert scene.story(id_)[-3:] == ["DeliveryInDoubt", "MessageCancelled", "MessageSent"]


async def test_what_is_sent_unknown_or_over_can_neither_be_cancelled_nor_moved(scene: Scene) -> None:
    [sent, expired] = scene.scheduled(2)
    await scene.deliver(scene.worker(), scene.requested(sent))
    command = scene.requested(expired)
    scene.clock.time = EXPIRED
    await scene.deliver(scene.worker(), command)
    for take_back in (cancel, move):
        assert [_refused(take_back, scene, id_) for id_ in (sent, expired, UUID(int=1))] == [
            AlreadySent,
            NotAllowed,
            MessageUnknown,
        ]


async def test_a_scheduled_message_is_cancelled_or_moved_at_once(scene: Scene) -> None:
    [cancelled, moved] = scene.scheduled(2)
    before = scene.store.head().messages
    assert cancel_message(cancelled, scene.store, TEST, DUE).messages == before + 1
    assert reschedule_message(RescheduleMessage(moved, LATER), scene.store, TEST, DUE).messages == before + 2
    assert reschedule_message(RescheduleMessage(moved, LATER), scene.store, TEST, DUE).messages == before + 2
    assert (scene.message(cancelled).status, scene.message(moved).due_at) == ("cancelled", LATER)


async def test_many_dispatches_go_through_the_loop(scene: Scene) -> None:
    ids = scene.scheduled(300)
    deliveries = [Handed(scene.requested(*ids[start : start + 100])) for start in (0, 100, 200)]
    await scene.worker().run(handed(*deliveries), asyncio.Event())
    assert sorted(scene.provider.keys) == sorted(map(str, ids))
    assert {scene.message(id_).status for id_ in ids} == {"sent"}
    assert [delivery.acknowledged for delivery in deliveries] == [1, 1, 1]


class Freezing:
    """A store that stands still right before its first append of one kind of event, while something happens."""

    def __init__(self, store: EventStore, *, before_append_of: type, meanwhile: Callable[[], None]) -> None:
        self._store, self._kind, self._meanwhile = store, before_append_of, meanwhile
        self.thawed = False

    def append(self, groups: list[Group], origin: Any, now: datetime) -> Any:
        kinds = {type(event) for group in groups for new in group.appends for event in new.events}
        if self._kind in kinds and not self.thawed:
            self._meanwhile()
            self.thawed = True
        return self._store.append(groups, origin, now)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _refused(take_back: Callable[[Scene, UUID], None], scene: Scene, id_: UUID) -> type[Refusal] | None:
    try:
        take_back(scene, id_)
    except Refusal as refusal:
        return type(refusal)
    return None
