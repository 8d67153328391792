"""The projections: every read model is fed by a thread of its own."""

from threading import Thread

from ops.running import Stop
from ops.wiring import Parts


def run_projections(parts: Parts, stop: Stop) -> None:
    """Blocks until told to stop."""
    threads = [
        Thread(target=projector.run, args=(stop.thread, parts.wakeups.listener()), name=f"projector of {name}")
        for name, projector in parts.projectors.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
