"""Does a burst's message cost more where more is stored, more people are registered, or they live in more zones?"""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

from msgspec import Struct

from domain.timezones import NAMES, TZDATA_VERSION, canonical
from ops.bench import burst
from ops.bench.broker import Broker, broker
from ops.bench.burst import Burst
from ops.bench.ground import Ground
from ops.bench.grown import DAYS, EVERYTHING, audit, begin, grow, keep, lasting_ground, make, stand, take_back
from ops.bench.kept import Kept
from ops.bench.past import ZONES, Person
from ops.bench.people import crowd, plan, register
from ops.bench.report import Found, Result, Setting, Tell, figures_of, short, telling
from ops.wiring import Parts

PART: Final = "growth"
DATABASE: Final = "growth"
ONE_ZONE: Final = ("Asia/Shanghai",)
ALL_ZONES: Final = tuple(sorted({canonical(name) for name in NAMES}))
NOT_SOON: Final = timedelta(days=182)  # until those have a birthday who are only there
A_PORTION: Final = 50_000
PLANNED: Final = """
INSERT INTO planned SELECT id, user_id, message_type, occasion, %s, 1 FROM message_log"""


class Growth(Struct, frozen=True, kw_only=True):
    """What is measured: the burst with ever more events stored; with the fewest in all zones; with the most for more people."""

    messages: int = 20_000
    stored: tuple[int, ...] = (1_000_000, 10_000_000, 30_000_000)
    people: tuple[int, int] = (10_000, 1_000_000)
    lead_seconds: float | None = None

    def stages(self) -> Sequence["Stage"]:
        """Each goes on with what the one before leaves."""
        few, many = self.people
        least, *more = sorted(self.stored)
        grown = (Stage(events, few, ONE_ZONE) for events in more)
        stages = (Stage(least, few, ONE_ZONE), Stage(least, few, ALL_ZONES), *grown, Stage(max(self.stored), many, ONE_ZONE))
        return tuple(dict.fromkeys(stages))


class Stage(NamedTuple):
    """What there is beside the burst, and where the burst's people live."""

    events: int
    people: int
    zones: tuple[str, ...]

    @property
    def name(self) -> str:
        zones = "1 zone" if len(self.zones) == 1 else f"{len(self.zones)} zones"
        return f"{short(self.events)} events, {short(self.people)} people, {zones}"


def measure(growth: Growth, runs: int, amqp_url: str | None, tell: Tell) -> Result:
    """In one database that grows. Raises NoBroker, PostgresNotStarted, and ProcessFailed, also where the disk is too small."""
    settings: dict[str, Setting] = {
        "messages": growth.messages,
        "stored": " ".join(map(short, growth.stored)),
        "people": " ".join(map(short, growth.people)),
        "days": DAYS,
        "runs": runs,
    }
    kept, found = Kept(PART, settings), list[Found]({} for _ in range(runs))
    with lasting_ground(kept, max(growth.stored)) as place, broker(amqp_url) as bus:
        machine, at = place.machine(bus.version), place.now()
        for stage in growth.stages():
            for run in range(runs):
                say = telling(tell, f"{PART}: {stage.name}, run {run + 1} of {runs}, ")
                one = kept.once(f"{stage.name} {run + 1}", partial(_run, place, bus, growth, stage, say))
                found[run] |= {(f"{what}: {stage.name}", unit): value for (what, unit), value in one.items()}
    kept.forget()
    return Result(part=PART, at=at, machine=machine, settings=settings, figures=figures_of([_by_figure(run) for run in found]))


def _run(place: Ground, bus: Broker, growth: Growth, stage: Stage, tell: Tell) -> Found:
    opened = partial(place.lasting, DATABASE, partial(make_past, growth=growth, tell=tell))
    with opened() as (parts, _):
        _register(parts, stage.people, tell)
        grow(parts, stage.events, EVERYTHING, tell)
        tell("audit")
        audit(parts)
    wanted = Burst(messages=growth.messages, zones=stage.zones, lead_seconds=growth.lead_seconds)
    found = burst.run_once(place, bus, wanted, tell, opened)
    return {key: value for key, value in found.items() if not key[0].startswith(("memory", "most in flight"))}


def make_past(parts: Parts, growth: Growth, tell: Tell) -> None:
    """Few people, what is to be copied of their messages, and read models that have read it."""
    begin(parts)
    _register(parts, growth.people[0], tell)
    tell("making a past")
    with parts.database.cursor() as cursor:
        found = cursor.execute("SELECT originator_id FROM users ORDER BY notification_id").fetchall()
    zones = tuple(ZONES)
    make(parts, [Person(user_id, zones[place % len(zones)]) for place, (user_id,) in enumerate(found)], min(growth.stored))
    for projector in parts.projectors.values():
        while projector.step():
            pass
    with parts.database.cursor() as cursor:
        cursor.execute(PLANNED, (TZDATA_VERSION,))
    keep(parts, EVERYTHING)


def _register(parts: Parts, people: int, tell: Tell) -> None:
    """Until so many are registered whose next occasion is far, a portion at a time."""
    take_back(parts)
    now = parts.clock.now()
    with parts.database.cursor() as cursor:
        [(there,)] = cursor.execute("SELECT count(*) FROM user_keys").fetchall()
    missing = islice(crowd(people, now + NOT_SOON, tuple(ZONES), "standing"), there, None)
    for start in range(there, people, A_PORTION):
        tell("registering people", start, people)
        register(parts, islice(missing, A_PORTION), now, lambda _: None)
        plan(parts, lambda _: None)
        while parts.projectors["users_view"].step():
            pass
        stand(parts)


def _by_figure(run: Found) -> Found:
    """So that what is to be compared stands together."""
    order = dict.fromkeys(what.partition(": ")[0] for what, _ in run)
    return {key: run[key] for figure in order for key in run if key[0].startswith(f"{figure}: ")}
