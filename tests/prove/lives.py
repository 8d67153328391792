"""What becomes of somebody whose facts change at any moment of a year, with the real planner, dispatcher and worker on memory?"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import reduce
from itertools import count
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct

from application.channel_gate import OpenGate
from application.channel_plan import ChannelPlan, ChannelTraits
from application.deliver_messages import Deliverer
from application.delivery_ports import Accepted, Ambiguous, Answer, Letter, NotAccepted, Rejected, SendCommand
from application.dispatch_messages import Dispatcher
from application.plan_messages import Planner
from application.ports import Appended, Group, Origin, Stream
from domain import dispatch, scheduled_message, user
from domain.dispatch import Dispatch, DispatchRequested, DispatchStarted
from domain.event import Event
from domain.message_type import registry
from domain.scheduled_message import ScheduledMessage
from domain.user import Details, User
from tests.delivery_scene import Lease, StillClock
from tests.fakes import PlannerMemory

START: Final = datetime(2027, 1, 1, tzinfo=UTC)
END: Final = datetime(2028, 1, 1, tzinfo=UTC)
AFTERWARDS: Final = timedelta(days=4)  # so that what was due at the end of the year is settled
SEEN_BEFORE: Final = timedelta(hours=62)  # the planner's horizon, in the zone where the day begins first
A_SECOND: Final = timedelta(seconds=1)
ADA: Final = UUID(int=1)

Moment = Literal["requested", "claimed", "called"]
AnswerName = Literal["accepted", "not accepted", "rejected", "ambiguous"]
ANSWERS: Final[dict[AnswerName, Answer]] = {
    "accepted": Accepted(200),
    "not accepted": NotAccepted("not_accepted:500"),
    "rejected": Rejected("rejected:400"),
    "ambiguous": Ambiguous("timeout"),
}
USED_UP: Final = (Accepted, Ambiguous)


class Life(Struct, frozen=True, kw_only=True):
    """What is said when, and what others do in between."""

    registered: dict[str, Any]
    said: list[tuple[datetime, Event]]
    meanwhile: list[tuple[Moment, Event]]  # said when a message of theirs has just come so far
    answers: list[AnswerName]  # of the provider, one after the other; accepted when there are no more
    outages: list[tuple[datetime, timedelta]]


class Call(Struct, frozen=True):
    """One call to the provider."""

    message_id: UUID
    at: datetime
    answer: Answer


class MemoryStore:
    """As much of an EventStore as a worker needs."""

    def __init__(self, memory: PlannerMemory) -> None:
        self._memory = memory

    def append(self, groups: Sequence[Group], origin: Origin, now: datetime) -> Appended:
        return self._memory.append(groups, origin, now)

    def load_users(self, ids: Iterable[UUID]) -> dict[UUID, Stream[User]]:
        return self._memory.load("users", user.evolve, ids)

    def load_messages(self, ids: Iterable[UUID]) -> dict[UUID, Stream[ScheduledMessage]]:
        return self._memory.load("messages", scheduled_message.evolve, ids)

    def load_dispatches(self, ids: Iterable[UUID]) -> dict[UUID, Stream[Dispatch]]:
        return self._memory.load("dispatches", dispatch.evolve, ids)


class Provider:
    """Answers as the life says, and remembers each call."""

    name, idempotent, askable, bulk, concurrency, call_timeout_seconds = "post", True, False, 1, 1, 10.0

    def __init__(self, answers: Sequence[AnswerName], clock: StillClock) -> None:
        self._answers, self._clock = list(reversed(answers)), clock
        self.calls: list[Call] = []

    async def send(self, letter: Letter, *, key: str, repeat: bool) -> Answer:
        answer = ANSWERS[self._answers.pop() if self._answers else "accepted"]
        self.calls.append(Call(letter.message_id, self._clock.now(), answer))
        return answer

    async def send_bulk(self, letters: Sequence[Letter], *, key: str, repeat: bool) -> Mapping[UUID, Answer]:
        raise NotImplementedError

    async def lookup(self, message_id: UUID) -> Accepted | NotAccepted | Ambiguous:
        raise NotImplementedError

    async def close(self) -> None:
        pass


class World:
    """Jumps from one instant at which something happens to the next; no two things happen at one instant."""

    def __init__(self, life: Life) -> None:
        ids = count(1)
        self.memory, self.clock = PlannerMemory(), StillClock(START)
        self.provider = Provider(life.answers, self.clock)
        self._said, self._meanwhile = sorted(life.said, key=lambda pair: pair[0], reverse=True), list(life.meanwhile)
        self._outages, types = life.outages, registry()
        plan = ChannelPlan([ChannelTraits(name="post", idempotent=True, askable=False, concurrency=1)])
        self._planner = Planner(self.memory.begin_planning(), types)
        self._dispatcher = Dispatcher(self.memory.begin(), types, plan, lambda: UUID(int=next(ids)))
        store: Any = MemoryStore(self.memory)
        self._worker = Deliverer(store, self.provider, types, self.clock, Lease(), OpenGate(), lambda: 0.5)
        self._handed = 0
        details = Details(**{"first_name": "Ada", "email": "ada@example.org"} | life.registered)
        self._say(*user.register(None, ADA, details, START.date()))

    async def live(self, look: Callable[["World"], None]) -> None:
        """To the end of the year; `look` is called whenever everybody has done what there was to do."""
        self._plan()
        while (following := self._next_instant()) < END + AFTERWARDS:
            self.clock.time = max(following, self.clock.time + A_SECOND)
            while self._said and self._said[-1][0] <= self.clock.time:
                self._say(self._said.pop()[1])
            self._plan()
            await self._send_due()
            look(self)

    def messages(self) -> dict[UUID, ScheduledMessage]:
        ids = dict.fromkeys(recorded.stream_id for recorded in self.memory.logs["messages"])
        streams = self.memory.load("messages", scheduled_message.evolve, ids)
        return {each: stream.state for each, stream in streams.items() if stream.state}

    def user(self) -> User:
        found = reduce(user.evolve, (each.event for each in self.memory.logs["users"]), None)  # type: ignore[arg-type]
        assert found
        return found

    def said_at(self, kind: type[Event]) -> datetime | None:
        """When it was said first."""
        return next((each.at for each in self.memory.logs["users"] if isinstance(each.event, kind)), None)

    def started_at(self, message_id: UUID, by: datetime) -> datetime:
        """When the dispatch was started that held the message at that instant."""
        requests = [each for each in self.memory.logs["messages"] if each.stream_id == message_id and each.at <= by]
        dispatches = [each.event.dispatch_id for each in requests if isinstance(each.event, scheduled_message.SendRequested)]
        starts = [each for each in self.memory.logs["dispatches"] if isinstance(each.event, DispatchStarted)]
        return next(each.at for each in starts if each.stream_id == dispatches[-1])

    def _next_instant(self) -> datetime:
        said = [self._said[-1][0]] if self._said else []
        due = [row.ready_at for row in self.memory.due.values()]
        seen = [_midnight(row.occasion) - SEEN_BEFORE for row in self.memory.occasions.values()]
        found = min([*said, *due, *seen], default=END + AFTERWARDS)
        down = next((start + length for start, length in self._outages if start <= found < start + length), None)
        return down or found

    def _plan(self) -> None:
        while self._planner.step(self.clock.time):
            self._tick()

    async def _send_due(self) -> None:
        while commands := self._requested():
            for command in commands:
                self._happens("requested")
                claims = self._worker.claim([command], self._tick())
                self._happens("claimed")
                outcomes = await self._worker.send(claims)
                self._happens("called")
                self._worker.record(claims, outcomes, self._tick())
            self._plan()

    def _requested(self) -> list[SendCommand]:
        while self._dispatcher.step(self.clock.time, steady=True):
            pass
        return self._new_commands()

    def _new_commands(self) -> list[SendCommand]:
        log, self._handed = self.memory.logs["dispatches"][self._handed :], len(self.memory.logs["dispatches"])
        events = ((each.stream_id, each.event) for each in log)
        return [
            SendCommand(each, event.channel, event.region, event.message_ids)
            for each, event in events
            if isinstance(event, DispatchRequested)
        ]

    def _happens(self, moment: Moment) -> None:
        """What is said at this moment; every second time before the planner has looked."""
        if said := next((pair for pair in self._meanwhile if pair[0] == moment), None):
            self._meanwhile.remove(said)
            self._say(said[1])
            if len(self._meanwhile) % 2:
                self._plan()

    def _say(self, *facts: Event) -> None:
        if self.said_at(user.UserErased) is None:
            self.memory.write("users", ADA, *facts, now=self._tick())

    def _tick(self) -> datetime:
        self.clock.time += A_SECOND
        return self.clock.time


def lived(life: Life, look: Callable[[World], None]) -> World:
    world = World(life)
    asyncio.run(world.live(look))
    return world


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
