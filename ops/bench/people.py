"""Who is greeted in a benchmark, and how do they come in and get planned?"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from uuid_utils.compat import uuid7

from application.ports import Group, NewEvents, Origin
from domain import user
from domain.timezones import zone
from domain.user import Details
from ops.planner_processes import PlannerProcesses
from ops.wiring import Parts, planner

BENCH: Final = Origin(who="bench")
BATCH: Final = 1_000  # as an import does
STREAM_ZONE: Final = "Asia/Shanghai"
BORN: Final = 1988  # a leap year, so that the benchmark runs on any day

Progress = Callable[[int], None]


def crowd(number: int, due_at: datetime, zones: Sequence[str], name: str = "person") -> Iterator[Details]:
    """So many people, spread evenly over the zones, whose birthday message falls due at this whole second."""
    moments = [(name, due_at.astimezone(zone(name))) for name in zones]
    for index in range(number):
        timezone, local = moments[index % len(moments)]
        yield _person(name, index, timezone, local)


def stream(number: int, first_due_at: datetime, apart: timedelta) -> Iterator[Details]:
    """So many people whose messages fall due one after another."""
    there = zone(STREAM_ZONE)
    for index in range(number):
        yield _person("person", index, STREAM_ZONE, (first_due_at + apart * index).astimezone(there))


def _person(name: str, index: int, timezone: str, local: datetime) -> Details:
    """Whose birthday is this local date, at this local time."""
    return Details(
        external_id=f"{name}-{index}",
        first_name=f"Given{index}",
        last_name=f"Family{index}",
        email=f"{name}{index}@example.org",
        timezone=timezone,
        birthday=f"{BORN}-{local:%m-%d}",
        preferred_time=local.time(),
    )


def register(parts: Parts, people: Iterator[Details], first_occasion: datetime, done: Progress) -> int:
    """How many there were. They are greeted from that instant's date on, wherever it is."""
    total = 0
    batch: list[Group] = []
    for details in people:
        batch.append(_registration(uuid7(), details, first_occasion))
        if len(batch) == BATCH:
            total += _append(parts, batch)
            done(total)
            batch = []
    return total + _append(parts, batch)


def plan(parts: Parts, done: Progress) -> None:
    """Step the real planner until it finds nothing more to do."""
    steps = 0
    with PlannerProcesses(parts, lambda: None) as processes:
        stepping = planner(parts, lambda: None, processes.ahead)
        while stepping.step(parts.clock.now()):
            steps += 1
            done(steps)


def _registration(user_id: UUID, details: Details, first_occasion: datetime) -> Group:
    first = first_occasion.astimezone(zone(details.timezone)).date()
    return Group((NewEvents("users", user_id, 0, tuple(user.register(None, user_id, details, first))),))


def _append(parts: Parts, batch: list[Group]) -> int:
    if batch and parts.store.append(batch, BENCH, parts.clock.now()).lost:
        raise RuntimeError("a new person's external ID was taken")
    return len(batch)
