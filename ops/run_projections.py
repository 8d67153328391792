"""The projections: every read model is fed by a thread of its own, and one more audits what they and the log say."""

from threading import Thread
from typing import Final

from infrastructure.auditor import Auditor
from ops.running import Pause, Stop
from ops.wiring import Parts

LOOK_SECONDS: Final = 5.0
"""How often the auditor asks whether it is time."""


def run_projections(parts: Parts, stop: Stop) -> None:
    """Blocks until told to stop."""
    threads = [
        Thread(target=projector.run, args=(stop.thread, parts.wakeups.listener()), name=f"projector of {name}")
        for name, projector in parts.projectors.items()
    ]
    threads.append(Thread(target=_audit, args=(parts, stop), name="auditor"))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _audit(parts: Parts, stop: Stop) -> None:
    auditor, pause = Auditor(parts.database), Pause("auditor")
    while not stop.thread.is_set():
        try:
            auditor.step(parts.clock.now(), stop.thread.is_set)
        except Exception as error:  # noqa: BLE001  a role ends only when told to
            stop.thread.wait(pause.after(error))
        else:
            pause.over()
            stop.thread.wait(LOOK_SECONDS)
