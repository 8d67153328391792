"""The worker: takes send commands from the bus, claims, renders, sends, records."""

from typing import Final

from ops.running import Pause, Stop
from ops.wiring import Parts, channel, deliverer, liveness

PREFETCH: Final = 20


async def run_worker(parts: Parts, stop: Stop) -> None:
    """Returns once told to stop and what was claimed is recorded, within 30 s.

    After a failure it goes on as a new incarnation: what the old one had claimed is for recovery, which sees it silent.
    """
    sender, pause = channel(parts.settings), Pause("worker")
    while not stop.loop.is_set():
        try:
            with liveness(parts) as alive:
                await deliverer(parts, sender, alive).run(parts.bus.consume(sender.name, PREFETCH), stop.loop)
        except Exception as error:  # noqa: BLE001  a worker ends only when told to
            await stop.sleep(pause.after(error))
    await sender.close()
