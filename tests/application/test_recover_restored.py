"""After a restore from backup: is all that may have been sent in doubt, is the rest sent, and nothing twice?"""

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from application import recover_restored
from application.channel_plan import ChannelPlan
from application.dispatch_messages import Dispatcher
from application.dispatcher_ports import LostSpan
from application.due_messages import DueMessages
from application.ports import Deposed
from application.recover_restored import RecoverRestored, alive, record_loss
from domain.dispatch import DispatchFinished, DispatchStarted
from domain.event import Event
from domain.scheduled_message import (
    DeliveryInDoubt,
    DoubtResolved,
    MessageCancelled,
    MessageExpired,
    MessageFailed,
    MessageReinstated,
    MessageRescheduled,
    MessageSent,
    SendRequested,
)
from tests.application.dispatch_stories import (
    DUE,
    SECOND,
    SINK,
    TYPES,
    dispatcher,
    dispatches,
    events_of,
    message,
    repeated,
    requested,
    run,
    schedule,
)
from tests.dispatcher_desks import WORKER
from tests.fake_dispatcher_work import Memory

HOUR = timedelta(hours=1)
RESTORED_TO, NOW = DUE - HOUR, DUE + HOUR
SPAN = LostSpan(RESTORED_TO, NOW)
RECORDED = (
    DispatchStarted(worker=WORKER[0], incarnation=WORKER[1], claim_token=UUID(int=5)),
    DispatchFinished(how="recorded"),
)
IN_DOUBT = DeliveryInDoubt(**repeated(), reason="restored", channel="sink", dispatch_id=None)


def recovering(memory: Memory, span: LostSpan = SPAN) -> RecoverRestored:
    return RecoverRestored(memory.begin(), TYPES, ChannelPlan([SINK]), span)


def recover(memory: Memory, restored_to=RESTORED_TO, now=NOW) -> int:
    """All of it; how many messages were put in doubt."""
    recovery = recovering(memory, record_loss(memory.begin(), restored_to, now))
    recovery.catch_up(now)
    counted, doubted = recovery.count(), 0
    for page in (recovery.call_off, recovery.doubt):
        while (found := page(now)) is not None:
            doubted += found
    assert counted == doubted, "a dry run would have told another number"
    return doubted


def last(memory: Memory, number: int) -> Event:
    return events_of(memory, message(number))[-1]


def handed(memory: Memory, now=NOW) -> set[UUID]:
    """What a dispatcher of the time after requests."""
    before = len(dispatches(memory))
    run(dispatcher(memory, first_id=500), now)
    return {id_ for one in dispatches(memory)[before:] for id_ in one.message_ids}


def test_what_fell_due_since_the_backup_is_in_doubt_and_what_is_not_due_yet_is_sent() -> None:
    memory = Memory()
    schedule(memory, [1], due_at=RESTORED_TO)
    schedule(memory, [2], due_at=NOW - SECOND)
    schedule(memory, [3], due_at=NOW)
    assert recover(memory) == 2
    assert (last(memory, 1).reason, last(memory, 2).reason) == ("restored", "restored")  # type: ignore[attr-defined]
    assert handed(memory) == {message(3)}


def test_what_was_waiting_at_the_backup_may_have_been_sent_since() -> None:
    """The tail of a herd that was still being handed out."""
    memory = Memory()
    schedule(memory, [1], due_at=RESTORED_TO - HOUR)
    assert recover(memory) == 1
    assert handed(memory) == set()


def test_what_was_too_late_at_the_backup_already_expires_as_ever() -> None:
    memory = Memory()
    schedule(memory, [1])
    late = DUE + timedelta(hours=36)
    assert recover(memory, late, late + HOUR) == 0
    assert handed(memory, late + HOUR) == set()
    assert isinstance(last(memory, 1), MessageExpired)


def test_what_is_known_as_sent_stays_sent() -> None:
    memory = Memory()
    schedule(memory, [1])
    run(dispatcher(memory), DUE)
    flight = requested(memory)[0].stream_id
    sent = MessageSent(**repeated(), sent_at=DUE, response_code=200, provider_id="", template_version=1, dispatch_id=flight)
    memory.write("messages", message(1), sent, now=DUE)
    memory.write("dispatches", flight, *RECORDED, now=DUE)
    assert recover(memory) == 0
    assert last(memory, 1) == sent


@pytest.mark.parametrize("started", [False, True], ids=["waiting", "claimed"])
def test_what_was_in_flight_is_called_off_and_in_doubt(started: bool) -> None:
    memory = Memory()
    schedule(memory, [1, 2])
    run(dispatcher(memory), DUE)
    [handed_out] = requested(memory)
    if started:
        memory.write("dispatches", handed_out.stream_id, RECORDED[0], now=DUE)
    assert recover(memory) == 2
    assert (last(memory, 1), last(memory, 2)) == (IN_DOUBT, IN_DOUBT)
    finished = memory.logs["dispatches"][-1]
    assert (finished.stream_id, finished.event) == (
        handed_out.stream_id,
        DispatchFinished(how="worker_dead" if started else "withdrawn"),
    )
    assert memory.flights == {}
    assert handed(memory) == set()


def test_a_retry_is_in_doubt_if_its_instant_has_passed_and_else_goes_on() -> None:
    memory = Memory()
    schedule(memory, [1, 2])
    run(dispatcher(memory), DUE)
    flight = requested(memory)[0].stream_id
    for number, retry_at in ((1, NOW - SECOND), (2, NOW + HOUR)):
        failed = MessageFailed(**repeated(), error="not_accepted:500", retry_count=1, retry_at=retry_at, dispatch_id=flight)
        memory.write("messages", message(number), failed, now=DUE)
    memory.write("dispatches", flight, *RECORDED, now=DUE)
    assert recover(memory) == 1
    assert last(memory, 1) == IN_DOUBT
    assert handed(memory, NOW + HOUR) == {message(2)}


@pytest.mark.parametrize("settled", [MessageCancelled, MessageExpired])
def test_what_was_settled_stays_so(settled: type[MessageCancelled] | type[MessageExpired]) -> None:
    memory = Memory()
    schedule(memory, [1])
    memory.write("messages", message(1), settled(**repeated(), reason="operator"), now=DUE)
    assert recover(memory) == 0
    assert isinstance(last(memory, 1), settled)


def test_a_doubt_of_before_is_left_to_whom_it_belongs() -> None:
    memory = Memory()
    schedule(memory, [1])
    doubt = DeliveryInDoubt(**repeated(), reason="timeout", channel="sink", dispatch_id=UUID(int=9))
    memory.write("messages", message(1), doubt, now=DUE)
    assert recover(memory) == 0
    assert last(memory, 1) == doubt


# what comes after


def test_what_is_planned_anew_for_the_lost_span_is_in_doubt_and_what_is_planned_beyond_it_is_sent() -> None:
    memory = Memory()
    recover(memory)
    schedule(memory, [1], due_at=RESTORED_TO)
    schedule(memory, [2], due_at=NOW - SECOND)
    schedule(memory, [3], due_at=NOW)
    assert handed(memory) == {message(3)}
    assert last(memory, 2) == replace(IN_DOUBT, due_at=NOW - SECOND)
    assert memory.due == {}


def test_what_could_have_been_late_into_the_lost_span_is_in_doubt_as_well() -> None:
    """Somebody who registered in the afternoon, whose day had begun before the backup, and who registers again."""
    memory = Memory()
    recover(memory)
    schedule(memory, [1], due_at=RESTORED_TO - HOUR)
    assert handed(memory) == set()
    assert isinstance(last(memory, 1), DeliveryInDoubt)


@pytest.mark.parametrize("back", ["moved", "reinstated"])
def test_what_comes_back_into_the_lost_span_is_in_doubt(back: str) -> None:
    memory = Memory()
    schedule(memory, [1], due_at=NOW + 5 * HOUR)
    recover(memory)
    how = {"reason": "zone_moved", "rule": "plain", "tzdata": "2026f"}
    if back == "moved":
        memory.write("messages", message(1), MessageRescheduled(**repeated(), **how), now=NOW)  # type: ignore[arg-type]
    else:
        cancelled = MessageCancelled(**repeated(), reason="suppressed")
        again = MessageReinstated(**repeated(), **how | {"reason": ""})  # type: ignore[arg-type]
        memory.write("messages", message(1), cancelled, again, now=NOW)
    assert handed(memory) == set()
    assert last(memory, 1) == IN_DOUBT


def test_what_a_person_knows_was_not_sent_goes_out_and_is_not_doubted_again() -> None:
    memory = Memory()
    schedule(memory, [1])
    recover(memory)
    memory.write("messages", message(1), DoubtResolved(**repeated(), outcome="not_sent", by="ada"), now=NOW)
    assert handed(memory) == {message(1)}
    assert isinstance(last(memory, 1), SendRequested)


def test_a_dispatcher_of_before_is_deposed_and_so_never_works_without_knowing_of_the_loss() -> None:
    memory = Memory()
    old = dispatcher(memory)
    run(old, DUE)
    memory.epoch = 2
    record_loss(memory.begin(epoch=2), RESTORED_TO, NOW)
    schedule(memory, [1])
    with pytest.raises(Deposed):
        old.step(NOW, steady=True)
    new = Dispatcher(memory.begin(epoch=2), TYPES, ChannelPlan([SINK]), lambda: UUID(int=1))
    run(new, NOW)
    assert last(memory, 1) == IN_DOUBT


def test_what_cannot_be_read_holds_nothing_up_and_is_in_doubt_once_it_can() -> None:
    memory = Memory()
    schedule(memory, [1, 2, 3])
    run(dispatcher(memory), DUE)
    schedule(memory, [4, 5])
    for number in (1, 4):
        memory.broken["messages", message(number)] = "unknown"
    recovery = recovering(memory, record_loss(memory.begin(), RESTORED_TO, NOW))
    recovery.catch_up(NOW)
    assert (recovery.call_off(NOW), recovery.call_off(NOW), recovery.doubt(NOW), recovery.doubt(NOW)) == (2, None, 1, None)
    assert handed(memory) == set()
    memory.broken.clear()
    with memory.begin()() as work:
        DueMessages(TYPES, ChannelPlan([SINK])).look_up(work, [message(4)])
    assert handed(memory) == set()
    assert last(memory, 4) == IN_DOUBT


def test_what_cannot_be_read_when_it_is_planned_anew_is_not_sent() -> None:
    memory = Memory()
    recover(memory)
    schedule(memory, [1, 2])
    memory.broken["messages", message(1)] = "unknown"
    assert handed(memory) == set()
    assert last(memory, 2) == IN_DOUBT


# by pages, and again


def test_whoever_was_stopped_half_way_goes_on_to_the_same_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recover_restored, "MESSAGES", 2)
    monkeypatch.setattr(recover_restored, "DISPATCHES", 1)
    memory = Memory()
    schedule(memory, range(1, 251))
    run(dispatcher(memory), DUE)
    schedule(memory, range(251, 260))
    stopped = recovering(memory, record_loss(memory.begin(), RESTORED_TO, NOW))
    stopped.catch_up(NOW)
    assert stopped.call_off(NOW) == 100
    assert stopped.doubt(NOW) == 2
    assert recover(memory, now=NOW + HOUR) == 150 + 7
    assert memory.lost_spans == [SPAN], "what fell due since was not sent by anybody"
    assert {type(last(memory, number)) for number in range(1, 260)} == {DeliveryInDoubt}
    assert all(len(events_of(memory, message(number))) <= 3 for number in range(1, 260))
    assert recover(memory) == 0


def test_what_loses_a_race_is_decided_again() -> None:
    memory = Memory()
    schedule(memory, [1, 2])
    cancelled = MessageCancelled(**repeated(), reason="suppressed")
    recovery = recovering(memory, record_loss(memory.begin(), RESTORED_TO, NOW))
    recovery.catch_up(NOW)
    memory.before_append = lambda: memory.write("messages", message(1), cancelled, now=NOW)
    assert recovery.doubt(NOW) == 1
    assert (last(memory, 1), last(memory, 2)) == (cancelled, IN_DOUBT)
    assert memory.due == {}


# who is alive


class Counting:
    """Counters that somebody, if anybody, moves at each look from the third on."""

    def __init__(self, *who: str, moving: str = "") -> None:
        self.counts: dict[tuple[str, ...], int] = {(name,): 1 for name in who}
        self.moving, self.waited = moving, 0.0

    def __call__(self) -> dict[tuple[str, ...], int]:
        return dict(self.counts)

    def wait(self, seconds: float) -> None:
        self.waited += seconds
        if self.waited >= 3 and self.moving:
            self.counts[self.moving,] = self.counts.get((self.moving,), 0) + 1


@pytest.mark.parametrize(
    ("counting", "found", "waited"),
    [
        (Counting(), [], 0),
        (Counting("worker", "dispatcher"), [], 15),
        (Counting("worker", "dispatcher", moving="dispatcher"), [("dispatcher",)], 3),
        (Counting("worker", moving="reborn"), [("reborn",)], 3),
    ],
    ids=["nobody-ever", "all-dead", "a-dispatcher", "a-worker-that-began-anew"],
)
def test_only_who_counts_on_is_alive(counting: Counting, found: list[tuple[str, ...]], waited: float) -> None:
    assert alive(counting, counting.wait, 15) == found
    assert counting.waited == waited
