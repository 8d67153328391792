"""Deliver messages: a worker claims dispatches, sends what is still to be sent, and records what came of it."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID, uuid4

from application.address_cap import AddressCap
from application.bounded_calls import BoundedCalls
from application.channel_gate import Entered, Gate
from application.claims import (
    Call,
    Claim,
    Decision,
    Started,
    claim_of,
    current_members,
    gone_on,
    key_is_known,
    left_of,
    members_of,
    questions_of,
    repeated_dispatches,
    unreadable,
    word_on,
)
from application.delivery_loop import DeliveryLoop
from application.delivery_outcomes import NeverTaken, Outcomes, Released, events_of, outcome_of
from application.delivery_ports import Ambiguous, Answer, Channel, Deliveries, Liveness, NotAccepted, SendCommand
from application.patient_store import PatientStore
from application.pause_sending import NeverPaused, WatchedPauses, is_paused
from application.ports import Broken, Clock, EventStore, Group, NewEvents, Origin, Stream
from application.readable import kind_of
from application.texts import Render, own_words
from domain import dispatch as dispatches
from domain.dispatch import Dispatch
from domain.message_type import MessageType
from domain.scheduled_message import ScheduledMessage

NEVER_PAUSED: Final = NeverPaused()
NO_RESULT: Final = Ambiguous("no_result")
_Open = tuple[Claim, Mapping[UUID, Stream[ScheduledMessage]], Stream[Dispatch] | None]


class Deliverer:
    """One worker's use case. `claim` and `record` block on the store; `send` is asynchronous; `run` strings them together.

    `gate` lets calls through to the provider; `random` draws from [0, 1); `only_to` is a glob of the addresses that may be
    written to, for trials; `texts` gives what renders with the texts of this moment; `cap` is there if any type may write to an
    address only so often for a day; `next_channel` says where a message of a type goes that this channel did not accept;
    past `key_lifetime` the provider may have forgotten a key, without one it never knew any; `pauses` says what must wait.
    """

    def __init__(
        self,
        store: EventStore,
        channel: Channel,
        types: Mapping[str, MessageType],
        clock: Clock,
        liveness: Liveness,
        gate: Gate,
        random: Callable[[], float],
        only_to: str | None = None,
        texts: Callable[[], Render] = lambda: own_words,
        cap: AddressCap | None = None,
        next_channel: Callable[[str], str | None] = lambda _message_type: None,
        key_lifetime: timedelta | None = None,
        pauses: WatchedPauses = NEVER_PAUSED,
    ) -> None:
        self._channel, self._types, self._clock = channel, types, clock
        self._liveness, self._gate, self._random, self._only_to = liveness, gate, random, only_to
        self._texts, self._cap, self._next_channel, self._key_lifetime = texts, cap, next_channel, key_lifetime
        self._calls, self._pauses = BoundedCalls(channel.concurrency), pauses
        self._told_to_end = threading.Event()
        self._store = PatientStore(store, self._told_to_end)
        self._calls_are_over = False

    # claim

    def claim(self, commands: Sequence[SendCommand], now: datetime) -> list[Claim]:
        """Start these dispatches, then decide again about every member, on what the store says after the start.

        Whatever another worker has, is finished or was withdrawn is left out. Raises StoreUnavailable once told to end.
        """
        incarnation = self._liveness.incarnation
        started = self._start({command.dispatch_id: uuid4() for command in commands}, incarnation, now)
        members = [id_ for stream in started.values() for id_ in members_of(stream)]
        messages = self._store.messages(members)
        user_ids = {stream.state.user_id for stream in messages.values() if stream.state}
        users = self._store.users(user_ids)
        decision = Decision(
            self._types,
            self._only_to,
            now,
            self._clock.steady(),
            self._store.patiently(self._texts),
            self._key_lifetime,
            self._channel.askable,
        )
        firsts = self._dispatches_repeated(messages, started)
        current = {dispatch_id: current_members(dispatch_id, stream, messages) for dispatch_id, stream in started.items()}
        waiting = [one for ours in current.values() for one in ours]
        words = {id_: word_on(message, id_, users.get(message.user_id), decision) for id_, message in waiting}
        if self._channel.bulk > 1:
            words |= {id_: unreadable(message) for id_, message in waiting if not key_is_known(message, firsts)}
        if self._cap is not None:
            words |= self._store.patiently(self._cap.too_many, words, messages)
        return [
            claim_of(
                Started(dispatch_id, incarnation, stream),
                [(id_, words[id_]) for id_, _ in current[dispatch_id]],
                messages,
                firsts,
                decision,
                self._channel.bulk,
            )
            for dispatch_id, stream in started.items()
        ]

    def _start(self, tokens: Mapping[UUID, UUID], incarnation: UUID, now: datetime) -> dict[UUID, Stream[Dispatch]]:
        """Dispatch ID → its stream, of those that are ours now; by its token the store knows a claim it wrote before."""
        won: dict[UUID, Stream[Dispatch]] = {}
        open_ = list(tokens)
        while open_:
            streams = self._store.dispatches(open_)
            free = [id_ for id_, stream in streams.items() if stream.state and stream.state.status == "requested"]
            started = {id_: dispatches.start(streams[id_].state, self._liveness.worker, incarnation, tokens[id_]) for id_ in free}
            groups = [
                Group((NewEvents("dispatches", id_, streams[id_].version, tuple(started[id_])),), _origin(id_)) for id_ in free
            ]
            lost = self._store.append(groups, now)
            for index, id_ in enumerate(free):
                if index not in lost:
                    won[id_] = gone_on(streams[id_], started[id_])
            # Lost to another claim, or to a withdrawal that leaves the rest to be claimed.
            open_ = [free[index] for index in sorted(lost)]
        return won

    def _dispatches_repeated(
        self, messages: Mapping[UUID, Stream[ScheduledMessage]], started: Mapping[UUID, Stream[Dispatch]]
    ) -> dict[UUID, Stream[Dispatch]]:
        """The started dispatches, and those whose bulk calls are made again."""
        older = repeated_dispatches(messages) - started.keys() if self._channel.bulk > 1 else set()
        return {**started, **self._store.dispatches(older)}

    # send

    async def send(self, claims: Sequence[Claim]) -> dict[UUID, Outcomes]:
        """Make the calls of these claims; dispatch ID → outcomes, those settled without a call included.

        First the provider is asked about what is in doubt, where only that can tell; what it has never taken is sent.
        """
        outcomes: dict[UUID, Outcomes] = {claim.dispatch_id: dict(claim.settled) for claim in claims}
        calls = [(claim, call, outcomes[claim.dispatch_id]) for claim in claims for call in claim.calls]
        questions = [(claim, question, known) for claim, call, known in calls for question in questions_of(call)]
        await self._calls.make([partial(self._make, *question) for question in questions])
        left = [(claim, rest, known) for claim, call, known in calls if (rest := left_of(call, known))]
        await self._calls.make([partial(self._make, *call) for call in left])
        for _, call, known in left:
            if call.doubted:
                known |= {id_: NeverTaken(known[id_]) for id_ in call.doubted}
        return outcomes

    async def _make(self, claim: Claim, call: Call, outcomes: Outcomes) -> None:
        entered = await self._entered(claim, call)
        if isinstance(entered, str):
            outcomes |= {letter.letter.message_id: Released(entered) for letter in call.letters}
            return
        answers = await self._answers(call)
        # One chance for all: what was called together is tried again together.
        at, chance = self._clock.now(), self._random()
        for letter, answer in zip(call.letters, answers, strict=True):
            if call.question and isinstance(answer, NotAccepted):
                continue
            outcomes[letter.letter.message_id] = outcome_of(
                answer,
                at,
                letter.template_version,
                chance,
                trial=entered.trial,
                go_on_to=self._next_channel(letter.letter.message_type) if isinstance(answer, NotAccepted) else None,
            )
        # The outcomes stand, so an interrupt may end this. A question is no call: the breaker learns from the calls themselves.
        await self._gate.leave(() if self._told_to_end.is_set() or call.question else answers)

    async def _entered(self, claim: Claim, call: Call) -> Entered | str:
        """Through the gate and covered by the lease, or why not; then not a byte has left."""
        try:
            return await self._let_in(claim, call)
        except asyncio.CancelledError:
            if not self._told_to_end.is_set():
                raise
            return "stopped"

    async def _let_in(self, claim: Claim, call: Call) -> Entered | str:
        if self._calls_are_over:
            return "stopped"
        if await self._must_wait(call):
            return "paused"
        entered = await self._gate.enter(call.messages)
        if isinstance(entered, str):
            return entered
        paused = await self._must_wait(call)
        # May we call, then whose claim is it: an incarnation never comes back, so the lease was this claim's.
        covered = self._liveness.may_call() and self._liveness.incarnation == claim.incarnation
        if covered and not self._calls_are_over and not paused:
            return entered
        await self._gate.leave()
        return "lease" if not covered else "paused" if paused else "stopped"

    async def _must_wait(self, call: Call) -> bool:
        """Also after a wait at the gate, which may have been long."""
        paused = await self._pauses.current()
        return bool(paused) and is_paused(paused, self._channel.name, (one.letter.message_type for one in call.letters))

    async def _answers(self, call: Call) -> Sequence[Answer]:
        """One for each of its letters."""
        letters = [letter.letter for letter in call.letters]
        try:
            if call.question:
                return (await self._channel.lookup(letters[0].message_id),)
            if self._channel.bulk == 1:
                return (await self._channel.send(letters[0], key=call.key, repeat=call.repeat),)
            found = await self._channel.send_bulk(letters, key=call.key, repeat=call.repeat)
            return [found.get(letter.message_id, NO_RESULT) for letter in letters]
        except asyncio.CancelledError:
            if not self._told_to_end.is_set():
                raise
            return [Ambiguous("stopped")] * len(letters)

    # record

    def record(self, claims: Sequence[Claim], outcomes: Mapping[UUID, Outcomes], now: datetime) -> None:
        """Store every outcome, each dispatch's together with its end; decided afresh for as long as a race is lost.

        Raises StoreUnavailable once told to end.
        """
        open_: list[_Open] = [(claim, claim.messages, Stream(claim.dispatch, claim.version)) for claim in claims]
        while open_:
            groups = [self._recorded(claim, outcomes[claim.dispatch_id], messages, stream) for claim, messages, stream in open_]
            lost = [open_[index][0] for index in sorted(self._store.append(groups, now))]
            if not lost:
                return
            ids = [id_ for claim in lost for id_ in outcomes[claim.dispatch_id]]
            messages = self._store.messages(ids)
            streams = self._store.dispatches([claim.dispatch_id for claim in lost])
            open_ = [(claim, messages, streams.get(claim.dispatch_id)) for claim in lost]

    def _recorded(
        self,
        claim: Claim,
        outcomes: Outcomes,
        messages: Mapping[UUID, Stream[ScheduledMessage]],
        stream: Stream[Dispatch] | None,
    ) -> Group:
        """Without a stream, the dispatch can't be read: its members' outcomes are kept all the same."""
        appends = []
        for id_, outcome in outcomes.items():
            found = messages.get(id_)
            if found is None or found.state is None:
                continue
            try:
                events = events_of(outcome, found.state, claim.dispatch_id, claim.dispatch.channel)
            except Exception as error:  # noqa: BLE001  pure code on one message: the others' outcomes are kept
                self._store.park("messages", [Broken(id_, found.version, kind_of(error))])
            else:
                appends.append(NewEvents("messages", id_, found.version, tuple(events), found.story))
        if stream and (finished := dispatches.finish(stream.state, "recorded")):
            appends.append(NewEvents("dispatches", claim.dispatch_id, stream.version, tuple(finished)))
        return Group(tuple(appends), _origin(claim.dispatch_id))

    # the loop

    async def run(self, deliveries: Deliveries, stop: asyncio.Event, finish_within_seconds: float = 30) -> None:
        """Work until told to stop or nothing more comes; then finish what is claimed, and put the rest back.

        The last calls are begun so early that their time-out falls within the time to finish: what no call is left for is
        released, and nothing ends in doubt.

        Raises an ExceptionGroup of what went wrong: StoreUnavailable when outcomes could not be stored in time.
        """
        await DeliveryLoop(self, self._channel, self._clock, self._liveness, finish_within_seconds).run(deliveries, stop)

    def call_no_more(self) -> None:
        """Open calls may end; what is claimed and not called for yet is released."""
        self._calls_are_over = True
        self._gate.stop()

    def end(self) -> None:
        """The time to finish is over: no more calls, open ones are in doubt, and the store is waited for no longer."""
        self.call_no_more()
        self._told_to_end.set()
        self._calls.interrupt()


def _origin(dispatch_id: UUID) -> Origin:
    return Origin("worker", causation_id=f"dispatch:{dispatch_id}")
