"""How does a worker keep claiming, sending and recording at once, and how does it stop?"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from application.claims import Claim
from application.delivery_outcomes import Outcomes
from application.delivery_ports import Channel, Deliveries, Delivery, Liveness, SendCommand
from application.ports import Clock

MOST_CLAIMED_AT_ONCE: Final = 500  # messages: bounds how long one claim takes
MOST_AHEAD: Final = 1_000  # messages claimed and not answered, where a crash can be cleared up
MOST_RECORDED_AT_ONCE: Final = 10  # dispatches in one append
LEASE_LOOK_SECONDS: Final = 0.1


class Steps(Protocol):
    """The three steps of a delivery, and the end of patience."""

    def claim(self, commands: Sequence[SendCommand], now: datetime) -> list[Claim]: ...

    async def send(self, claims: Sequence[Claim]) -> dict[UUID, Outcomes]: ...

    def record(self, claims: Sequence[Claim], outcomes: Mapping[UUID, Outcomes], now: datetime) -> None: ...

    def call_no_more(self) -> None: ...

    def end(self) -> None: ...


class DeliveryLoop:
    """Claims ahead of the calls by about one round of them; what waits on each stage becomes the next stage's batch."""

    def __init__(self, steps: Steps, channel: Channel, clock: Clock, liveness: Liveness, finish_within_seconds: float) -> None:
        self._steps, self._clock, self._liveness = steps, clock, liveness
        # A call begun later might still be open when the time is over, and so end in doubt.
        self._last_call_within = max(0.0, finish_within_seconds - channel.call_timeout_seconds)
        self._finish_within = finish_within_seconds
        round_ = channel.concurrency * channel.bulk
        # A crash leaves in doubt what is claimed: where nobody can clear that up, no more than the open calls.
        self._most_claimed = max(2 * round_, MOST_AHEAD) if channel.idempotent or channel.askable else round_
        self._taken: deque[Delivery] = deque()
        self._answered: deque[tuple[Claim, Delivery, Outcomes]] = deque()
        self._sending: set[asyncio.Task[None]] = set()
        self._claimed = 0  # messages of claims whose calls are not all made
        self._news_to_claim, self._news_to_record = asyncio.Event(), asyncio.Event()
        self._told_to_stop = self._taken_all = self._sent_all = False

    async def run(self, deliveries: Deliveries, stop: asyncio.Event) -> None:
        """See Deliverer.run."""
        try:
            async with asyncio.TaskGroup() as stages:
                # Taking goes on to the end: leaving the iterator would close what acknowledgements go through.
                taking = stages.create_task(self._take(deliveries))
                heeding = stages.create_task(self._heed(stop))
                recording = stages.create_task(self._record_all())
                await self._claim_all(stages)
                while self._sending:
                    await asyncio.wait(self._sending)
                self._sent_all = True
                self._news_to_record.set()
                await recording
                for delivery in self._taken:
                    await delivery.put_back()
                taking.cancel()
                heeding.cancel()
        except BaseException:
            self._steps.end()
            raise
        finally:
            await deliveries.aclose()

    async def _take(self, deliveries: Deliveries) -> None:
        async for delivery in deliveries:
            self._taken.append(delivery)
            self._news_to_claim.set()
        self._taken_all = True
        self._news_to_claim.set()

    async def _heed(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._told_to_stop = True
        self._news_to_claim.set()
        await asyncio.sleep(self._last_call_within)
        self._steps.call_no_more()
        await asyncio.sleep(self._finish_within - self._last_call_within)
        self._steps.end()

    async def _claim_all(self, stages: asyncio.TaskGroup) -> None:
        while not self._told_to_stop and (self._taken or not self._taken_all):
            if not self._liveness.may_call():
                await self._news(LEASE_LOOK_SECONDS)
            elif batch := self._claimable():
                await self._claim(batch, stages)
            else:
                await self._news(None)

    async def _news(self, at_most_seconds: float | None) -> None:
        self._news_to_claim.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_seconds):
                await self._news_to_claim.wait()

    def _claimable(self) -> list[Delivery]:
        """As many of those taken as there is room for; one that is larger than the room waits till nothing else is claimed."""
        batch: list[Delivery] = []
        members = 0
        while self._taken:
            members += len(self._taken[0].command.message_ids)
            if self._claimed + members > self._most_claimed and (self._claimed or batch):
                break
            if members > MOST_CLAIMED_AT_ONCE and batch:
                break
            batch.append(self._taken.popleft())
        return batch

    async def _claim(self, batch: list[Delivery], stages: asyncio.TaskGroup) -> None:
        commands = [delivery.command for delivery in batch]
        claims = await asyncio.to_thread(self._steps.claim, commands, self._clock.now())
        ours = {claim.dispatch_id: claim for claim in claims}
        for delivery in batch:
            claim = ours.pop(delivery.command.dispatch_id, None)
            if claim is None:
                await delivery.acknowledge()
                continue
            self._claimed += claim.members()
            sending = stages.create_task(self._send(claim, delivery))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    async def _send(self, claim: Claim, delivery: Delivery) -> None:
        outcomes = await self._steps.send([claim])
        self._claimed -= claim.members()
        self._answered.append((claim, delivery, outcomes[claim.dispatch_id]))
        self._news_to_claim.set()
        self._news_to_record.set()

    async def _record_all(self) -> None:
        while self._answered or not self._sent_all:
            if self._answered:
                await self._record([self._answered.popleft() for _ in range(min(len(self._answered), MOST_RECORDED_AT_ONCE))])
            else:
                self._news_to_record.clear()
                await self._news_to_record.wait()

    async def _record(self, batch: list[tuple[Claim, Delivery, Outcomes]]) -> None:
        claims = [claim for claim, _, _ in batch]
        outcomes = {claim.dispatch_id: found for claim, _, found in batch}
        await asyncio.to_thread(self._steps.record, claims, outcomes, self._clock.now())
        for _, delivery, _ in batch:
            await delivery.acknowledge()
