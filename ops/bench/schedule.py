"""How many people a second are registered, and how many messages a second are planned for them?"""

from datetime import timedelta
from time import monotonic
from typing import Final

from ops.bench.ground import ground
from ops.bench.kept import repeated
from ops.bench.people import crowd, plan, register
from ops.bench.report import Found, Result, Setting, Tell, figures_of, telling
from ops.collector import spare_the_collector
from ops.wiring import Parts

ZONES: Final = ("Asia/Shanghai", "America/Bogota", "Africa/Lagos", "Europe/Istanbul", "Asia/Kolkata", "Pacific/Auckland")
AHEAD: Final = timedelta(hours=6)


def measure(people: int, runs: int, tell: Tell) -> Result:
    """Everybody has one occasion within the horizon, so that people and messages are as many."""
    settings: dict[str, Setting] = {"people": people}
    with ground() as place:
        machine = place.machine()

        def one(run: int) -> Found:
            with place.fresh(f"schedule_{run}") as (parts, _):
                return _run(parts, people, telling(tell, f"schedule: run {run + 1} of {runs}, "))

        found = repeated("schedule", settings, runs, one)
        at = place.now()
    return Result(part="schedule", at=at, machine=machine, settings=settings, figures=figures_of(found))


def _run(parts: Parts, people: int, tell: Tell) -> Found:
    now = parts.clock.now()
    due_at = (now + AHEAD).replace(microsecond=0)
    spare_the_collector()  # as the roles do
    began = monotonic()
    register(parts, crowd(people, due_at, ZONES), now, lambda done: tell(f"{done:,} registered", done, people))
    registered = monotonic()
    plan(parts, lambda steps: tell(f"{steps} steps of the planner"))
    planned = monotonic()
    if (messages := parts.store.head().messages) != people:
        raise RuntimeError(f"{messages} messages were planned for {people} people")
    return {
        ("registered", "people/s"): people / (registered - began),
        ("planned", "messages/s"): people / (planned - registered),
        ("both", "messages/s"): people / (planned - began),
    }
