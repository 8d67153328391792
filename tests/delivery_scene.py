"""Who is to be greeted, through which provider, by which worker: what stories about deliveries are set up with."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

from application.channel_gate import OpenGate
from application.deliver_messages import Deliverer
from application.delivery_ports import Accepted, Ambiguous, Answer, Channel, Delivery, Letter, NotAccepted, SendCommand
from application.ports import EventStore, Group, Log, NewEvents, Origin
from domain import dispatch, message_decisions, user
from domain.dispatch import DispatchFinished
from domain.event import Event
from domain.message_id import message_id
from domain.message_type import registry
from domain.scheduled_message import ScheduledMessage
from domain.user import Details

DUE: Final = datetime(2027, 5, 15, 8, tzinfo=UTC)
OCCASION: Final = date(2027, 5, 15)
EXPIRED: Final = datetime(2027, 5, 16, tzinfo=UTC)
TEST: Final = Origin("test")


class StillClock:
    """Shows what it was set to."""

    def __init__(self, now: datetime = DUE) -> None:
        self.time, self.is_steady = now, True

    def now(self) -> datetime:
        return self.time

    def steady(self) -> bool:
        return self.is_steady


class Lease:
    """Liveness that a story decides on."""

    def __init__(self, worker: str = "ada-1") -> None:
        self.worker, self.incarnation, self.holds = worker, uuid4(), True

    def may_call(self) -> bool:
        return self.holds


class Provider:
    """A channel whose answers a story dictates; whatever is not dictated is accepted."""

    name = "post"
    call_timeout_seconds = 10.0

    def __init__(self, *, idempotent: bool = True, askable: bool = False, bulk: int = 1, concurrency: int = 100) -> None:
        self.idempotent, self.askable, self.bulk, self.concurrency = idempotent, askable, bulk, concurrency
        self.answers: defaultdict[UUID, list[Answer]] = defaultdict(list)
        self.calls: list[tuple[str, tuple[UUID, ...], bool]] = []
        self.letters: list[Letter] = []
        self.has: dict[UUID, Accepted | NotAccepted | Ambiguous] = {}  # what it says when asked; else that it can't tell
        self.questions: list[UUID] = []
        self.open_calls = self.most_open_calls = 0
        self.before_answer: Callable[[], Awaitable[None]] = partial(asyncio.sleep, 0)

    @property
    def keys(self) -> list[str]:
        return [key for key, _, _ in self.calls]

    async def send(self, letter: Letter, *, key: str, repeat: bool) -> Answer:
        return (await self.send_bulk([letter], key=key, repeat=repeat))[letter.message_id]

    async def send_bulk(self, letters: Sequence[Letter], *, key: str, repeat: bool) -> Mapping[UUID, Answer]:
        self.calls.append((key, tuple(letter.message_id for letter in letters), repeat))
        self.letters.extend(letters)
        await self._is_called()
        return {letter.message_id: self._answer(letter.message_id) for letter in letters}

    async def lookup(self, message_id: UUID) -> Accepted | NotAccepted | Ambiguous:
        self.questions.append(message_id)
        await self._is_called()
        return self.has.get(message_id, Ambiguous("not_told"))

    async def _is_called(self) -> None:
        self.open_calls += 1
        self.most_open_calls = max(self.most_open_calls, self.open_calls)
        try:
            await self.before_answer()
        finally:
            self.open_calls -= 1

    def _answer(self, id_: UUID) -> Answer:
        return self.answers[id_].pop(0) if self.answers[id_] else Accepted(200, f"p-{id_}")

    async def close(self) -> None:
        pass


class Handed:
    """A delivery that notes what became of it."""

    def __init__(self, command: SendCommand) -> None:
        self.command = command
        self.acknowledged = self.was_put_back = 0

    async def acknowledge(self) -> None:
        self.acknowledged += 1

    async def put_back(self) -> None:
        self.was_put_back += 1


async def handed(*deliveries: Delivery, then_wait_for: asyncio.Event | None = None) -> AsyncGenerator[Delivery, None]:
    """These deliveries, and then no more; or none until an event."""
    for delivery in deliveries:
        yield delivery
    if then_wait_for is not None:
        await then_wait_for.wait()


class Scene:
    """People with a birthday on the OCCASION in London, due at DUE, on a store fake or real."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.clock = StillClock()
        self.provider = Provider()
        self.people: dict[UUID, UUID] = {}  # message ID → user ID

    def worker(self, provider: Channel | None = None, lease: Lease | None = None, **settings: Any) -> Deliverer:
        random = settings.pop("random", lambda: 0.5)
        return Deliverer(
            settings.pop("store", self.store),
            provider or self.provider,
            registry(),
            self.clock,
            lease or Lease(),
            settings.pop("gate", OpenGate()),
            random,
            **settings,
        )

    def scheduled(self, count: int = 1, **details: Any) -> list[UUID]:
        """So many people with a message each; the messages' IDs."""
        known = {
            "first_name": "Ada",
            "last_name": "Lovelace",
            "email": "ada@example.com",
            "timezone": "Europe/London",
            "birthday": "1990-05-15",
        } | details
        groups, ids = [], []
        for _ in range(count):
            user_id = uuid4()
            id_ = message_id(user_id, "BIRTHDAY", OCCASION)
            registered = user.register(None, user_id, Details(**known), date(2027, 1, 1))
            planned = message_decisions.schedule(
                None,
                user_id=user_id,
                message_type="BIRTHDAY",
                occasion=OCCASION,
                timezone="Europe/London",
                due_at=DUE,
                rule="plain",
                tzdata="2026f",
                type_version=1,
            )
            groups += [_group("users", user_id, 0, registered), _group("messages", id_, 0, planned)]
            self.people[id_] = user_id
            ids.append(id_)
        self._append(*groups)
        return ids

    def requested(self, *ids: UUID, repeat_of: UUID | None = None) -> SendCommand:
        """A dispatch of these messages."""
        dispatch_id = uuid4()
        streams = self.store.load_messages(ids)
        news = [
            NewEvents(
                "messages",
                id_,
                streams[id_].version,
                tuple(
                    message_decisions.request(
                        streams[id_].state, channel="post", dispatch_id=dispatch_id, repeat_of=repeat_of, may_repeat=True
                    )
                ),
            )
            for id_ in ids
        ]
        offered = NewEvents("dispatches", dispatch_id, 0, tuple(dispatch.request("post", "europe", ids)))
        self._append(Group((*news, offered)))
        return SendCommand(dispatch_id, "post", "europe", ids)

    def happens(self, log: Log, stream_id: UUID, *events: Event) -> None:
        """These facts are recorded, whatever was."""
        self._append(_group(log, stream_id, len(self.store.history(log, stream_id)), list(events)))

    def given_up(self, worker_of: SendCommand) -> None:
        """The dispatch's worker is taken for dead: what it has not recorded is in doubt."""
        for id_ in worker_of.message_ids:
            if (message := self.message(id_)).status == "requested" and message.dispatch_id == worker_of.dispatch_id:
                doubt = message_decisions.put_in_doubt(
                    message, reason="worker_dead", channel="post", dispatch_id=worker_of.dispatch_id
                )
                self.happens("messages", id_, *doubt)
        self.happens("dispatches", worker_of.dispatch_id, DispatchFinished(how="worker_dead"))

    def message(self, id_: UUID) -> ScheduledMessage:
        state = self.store.load_messages([id_])[id_].state
        assert state is not None
        return state

    def dispatch_status(self, command: SendCommand) -> str:
        state = self.store.load_dispatches([command.dispatch_id])[command.dispatch_id].state
        assert state is not None
        return state.status

    def story(self, id_: UUID) -> list[str]:
        """What happened to a message, by the names of its events."""
        return [type(recorded.event).__name__ for recorded in self.store.history("messages", id_)]

    def last(self, id_: UUID) -> Any:
        return self.store.history("messages", id_)[-1].event

    async def deliver(self, worker: Deliverer, *commands: SendCommand) -> None:
        """Claim, send and record, once."""
        claims = worker.claim(commands, self.clock.now())
        worker.record(claims, await worker.send(claims), self.clock.now())

    def _append(self, *groups: Group) -> None:
        assert not self.store.append(groups, TEST, DUE).lost


def _group(log: Log, stream_id: UUID, version: int, events: Sequence[Event]) -> Group:
    return Group((NewEvents(log, stream_id, version, tuple(events)),))
