"""The worker: takes send commands from the bus, claims, renders, sends, records."""

import asyncio
from typing import Final

from application.delivery_ports import Channel
from ops.running import Pause, Stop
from ops.wiring import Parts
from ops.worker_wiring import deliverer, liveness, senders

PREFETCH: Final = 50  # send commands, over five regions
FINISH_WITHIN_SECONDS: Final = 28.0  # of the 30 that a stop may take: the last answers have to be recorded
FINISH_AT_THE_TERMINAL_SECONDS: Final = 2.0


async def run_worker(parts: Parts, stop: Stop) -> None:
    """Returns once told to stop and what was claimed is recorded: within 30 s, or 2 s where a person waits at the terminal."""
    async with asyncio.TaskGroup() as channels:
        for sender in senders(parts):
            channels.create_task(_run_channel(parts, sender, stop))


async def _run_channel(parts: Parts, sender: Channel, stop: Stop) -> None:
    """One provider's trouble stays with it.

    After a failure it goes on as a new incarnation: what the old one had claimed is for recovery, which sees it silent.
    """
    pause = Pause(f"worker of {sender.name}")
    patience_seconds = FINISH_AT_THE_TERMINAL_SECONDS if parts.alone else FINISH_WITHIN_SECONDS
    while not stop.loop.is_set():
        try:
            with liveness(parts) as alive:
                deliveries = parts.bus.consume(sender.name, PREFETCH)
                await deliverer(parts, sender, alive).run(deliveries, stop.loop, patience_seconds)
        except Exception as error:  # noqa: BLE001  a worker ends only when told to
            await stop.sleep(pause.after(error))
    await sender.close()
