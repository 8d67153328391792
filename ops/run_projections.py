"""The projections: every read model is fed by a thread of its own; one more audits what they and the log say, one builds anew."""

from threading import Thread
from time import monotonic
from typing import Final

import structlog

from application.retain_months import ArchiveDamaged
from infrastructure.auditor import Auditor
from infrastructure.calm import Calm
from infrastructure.filling import Stopped, Told
from infrastructure.projector import NewerTables, Projector
from infrastructure.read_model_rebuild import AlreadyBuilt, NotThere
from infrastructure.read_model_sides import NEXT
from infrastructure.wanted_rebuilds import PostgresWantedRebuilds
from ops.running import Pause, Stop
from ops.wiring import Parts, rebuild_of

LOOK_SECONDS: Final = 5.0
"""How often the auditor asks whether it is time."""
OTHERS_BUILD_SECONDS: Final = 1.0
WANTED_SECONDS: Final = 1.0
"""How often it is asked whether somebody wants a rebuild."""
TOLD_SECONDS: Final = 10.0

log = structlog.get_logger()


def run_projections(parts: Parts, stop: Stop) -> None:
    """Blocks until told to stop."""
    threads = [
        Thread(target=_feed, args=(parts, projector, stop), name=f"projector of {name}")
        for name, projector in parts.projectors.items()
    ]
    threads.append(Thread(target=_audit, args=(parts, stop), name="auditor"))
    threads.append(Thread(target=_build_what_is_wanted, args=(parts, stop), name="rebuilds"))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _feed(parts: Parts, projector: Projector, stop: Stop) -> None:
    """Until told to stop, or until another version is live. Where an earlier one is, this one is built beside it first."""
    pause = Pause(f"projector of {projector.projection.name}")
    while not stop.thread.is_set():
        try:
            if not projector.prepare():
                _build(parts, projector.projection.name, stop)
            projector.run(stop.thread, parts.wakeups.listener())
            return
        except NewerTables as error:
            log.warning("projector_ends", said=str(error))
            return
        except AlreadyBuilt:
            stop.thread.wait(OTHERS_BUILD_SECONDS)
        except Stopped:
            return
        except Exception as error:  # noqa: BLE001  the others go on, and so does this one
            stop.thread.wait(pause.after(error))


def _build(parts: Parts, name: str, stop: Stop) -> None:
    work = rebuild_of(parts, name, stop.thread, _Telling(name).tell)
    with work.alone():
        work.build(parts.clock.now())
        work.swap()
    log.info("read_model_swapped", read_model=name, version=work.projection.version)


def _build_what_is_wanted(parts: Parts, stop: Stop) -> None:
    wanted, pause = PostgresWantedRebuilds(parts.database), Pause("rebuilds")
    known = [projector.projection for projector in parts.projectors.values()]
    while not stop.thread.wait(WANTED_SECONDS):
        try:
            if name := wanted.next(known):
                _build_wanted(parts, name, wanted, stop)
        except AlreadyBuilt:
            continue
        except Stopped:
            return
        except Exception as error:  # noqa: BLE001  a role ends only when told to
            stop.thread.wait(pause.after(error))
        else:
            pause.over()


def _build_wanted(parts: Parts, name: str, wanted: PostgresWantedRebuilds, stop: Stop) -> None:
    work = rebuild_of(parts, name, stop.thread, _Telling(name).tell)
    with work.alone():
        if wanted.next([work.projection]) != name:
            return  # another process has just built it
        try:
            work.build(parts.clock.now())
            work.swap()
        except (ArchiveDamaged, NotThere) as error:
            work.drop(NEXT)  # first: what stands there keeps everybody from asking again
            wanted.refuse(name, str(error))
            log.warning("rebuild_refused", read_model=name, said=str(error))
        else:
            wanted.done(name)
            log.info("read_model_swapped", read_model=name, version=work.projection.version)


class _Telling:
    """Says every few seconds how far a build is."""

    def __init__(self, name: str) -> None:
        self._name, self._said = name, -TOLD_SECONDS

    def tell(self, told: Told) -> None:
        if monotonic() - self._said >= TOLD_SECONDS:
            self._said = monotonic()
            log.info("read_model_is_built", read_model=self._name, stage=told.stage, done=told.done, whole=told.whole)


def _audit(parts: Parts, stop: Stop) -> None:
    calm, pause = Calm(parts.database), Pause("auditor")
    auditor = Auditor(parts.database, lambda: calm.looked_at(monotonic()))
    while not stop.thread.is_set():
        try:
            auditor.step(parts.clock.now(), stop.thread.is_set)
        except Exception as error:  # noqa: BLE001  a role ends only when told to
            stop.thread.wait(pause.after(error))
        else:
            pause.over()
            stop.thread.wait(LOOK_SECONDS)
