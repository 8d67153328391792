"""The planner: facts and calendar become scheduled messages. One leads, the others stand by."""

from collections.abc import Callable
from datetime import date
from time import monotonic

from infrastructure.imports_first import GivingWay
from infrastructure.leader import Elector
from ops.planner_processes import PlannerProcesses
from ops.running import REST_SECONDS, Stop, lead
from ops.wiring import Parts, ensure_months, forget_old, planner


def run_planner(parts: Parts, stop: Stop) -> None:
    """Blocks until told to stop."""
    listener = parts.wakeups.listener()
    with (
        Elector(parts.database, "planner", take_over_at_once=parts.alone) as elector,
        PlannerProcesses(parts, elector.guard) as processes,
    ):

        def begin() -> Callable[[], bool]:
            term, imports_first, made_on = planner(parts, elector.guard, processes.ahead), GivingWay(parts.database), date.min

            def step() -> bool:
                nonlocal made_on
                now = parts.clock.now()
                if now.date() != made_on:
                    ensure_months(parts, now)
                    forget_old(parts, now)
                    made_on = now.date()
                return not imports_first.due(monotonic()) and imports_first.went_on(more=term.step(now))

            return step

        lead("planner", elector, begin, lambda: listener.wait(("users", "messages"), rest_seconds=REST_SECONDS), stop.thread)
