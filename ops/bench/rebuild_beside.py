"""Do messages go out later, or questions wait longer or fail, while read models are built anew?"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from domain.region import REGIONS
from domain.user import Details
from infrastructure.region_leaders import role_in
from infrastructure.work import move_positions
from ops.bench.askers import Answer, Askers
from ops.bench.broker import Broker, broker
from ops.bench.burst import until_caught_up, wait_for
from ops.bench.deliveries import HOST, Call, Provider, free_port, quantile
from ops.bench.ground import Ground, ground
from ops.bench.kept import repeated
from ops.bench.past import Past, Person, live_through, people_of
from ops.bench.people import crowd, register
from ops.bench.processes import Process, ProcessFailed, ninebell, running, until
from ops.bench.report import Found, Result, Setting, Tell, figures_of, telling
from ops.wiring import Parts

DAYS: Final = 365
EVENTS_A_MESSAGE: Final = 3.05
MESSAGES_A_PERSON: Final = 3
ZONES: Final = ("Asia/Shanghai",)
ROLES: Final = ("api", "projections", "planner", "dispatcher")
WORKERS: Final = 2
REBUILDS: Final[Mapping[str, tuple[str, ...]]] = {"message_log": ("message_log",), "all": ("--all",)}
SPARE_SECONDS: Final = 30
EVENTS_A_SPARE_SECOND: Final = 10_000
START_SECONDS: Final = 8.0
PREPARED_A_SECOND: Final = 600
SETTLE: Final = timedelta(seconds=0.5)
MILLISECONDS: Final = 1_000


class Beside(Struct, frozen=True, kw_only=True):
    """What is measured."""

    events: int = 1_000_000  # in the log of messages before
    messages_a_second: int = 100
    queries_a_second: int = 50
    seconds: int = 60  # that each phase lasts at least; rebuilds are repeated until then
    warm_up_seconds: int = 10  # of messages and queries before the first phase
    lead_seconds: float | None = None  # from the first registration to the first due instant; else by the number of messages

    @property
    def due_seconds(self) -> int:
        """So long messages fall due: the rebuilds of the last phases may go on for longer than they have to."""
        return self.warm_up_seconds + (1 + len(REBUILDS)) * self.seconds + SPARE_SECONDS + self.events // EVENTS_A_SPARE_SECOND

    @property
    def messages(self) -> int:
        return self.messages_a_second * self.due_seconds


class Phase(Struct, frozen=True):
    """A stretch of time by both clocks, and how often something was built in it."""

    name: str
    since: datetime
    until: datetime
    began: float
    ended: float
    rebuilds: int


def measure(beside: Beside, runs: int, amqp_url: str | None, tell: Tell) -> Result:
    """All roles as processes, a fresh database for every run. Raises NoBroker, ProcessFailed, PostgresNotStarted."""
    settings: dict[str, Setting] = {
        "events": beside.events,
        "messages a second": beside.messages_a_second,
        "queries a second": beside.queries_a_second,
        "seconds a phase": beside.seconds,
        "workers": WORKERS,
    }
    with ground() as place, broker(amqp_url) as bus:
        machine = place.machine(bus.version)

        def one(run: int) -> Found:
            return _run(place, bus, beside, run, telling(tell, f"rebuild beside: run {run + 1} of {runs}, "))

        found = repeated("rebuild-beside", settings, runs, one)
        at = place.now()
    return Result(part="rebuild-beside", at=at, machine=machine, settings=settings, figures=figures_of(found))


def _run(place: Ground, bus: Broker, beside: Beside, run: int, tell: Tell) -> Found:
    name, key, port = f"beside_{run}", secrets.token_urlsafe(), free_port()
    provider = Provider.at(place.directory / f"{name}.jsonl")
    told = {
        "AMQP_URL": bus.url,
        "NINEBELL_SINK_LISTEN": provider.address,
        "NINEBELL_LISTEN": f"{HOST}:{port}",
        "NINEBELL_API_KEY": key,
    }
    printed = place.directory / name / "printed"
    with place.fresh(name, **told) as (parts, environment):
        _make_past(parts, beside, environment, printed, tell)
        commands = {"provider": provider.command} | {role: ninebell("run", role) for role in ROLES}
        commands |= {f"worker {number + 1}": ninebell("run", "worker") for number in range(WORKERS)}
        with running(commands, environment, printed) as processes:
            for process in processes:
                process.until_it_says("running:")
            first = _prepared(parts, beside, processes, tell)
            wait_for(first, parts)
            with Askers(port, key, beside.queries_a_second) as askers:
                wait_for(first + timedelta(seconds=beside.warm_up_seconds), parts)
                phases = list(_phases(parts, beside, environment, printed, tell))
            if phases[-1].until > first + timedelta(seconds=beside.due_seconds):
                raise ProcessFailed("the rebuilds took longer than messages fell due: take fewer events, or longer phases")
            until(lambda: not _unsent(parts, first, phases[-1].until), processes)
            due = _due(parts, first)
    lateness = _lateness(provider.file, due)
    return _figures(phases, lateness, askers)


def _make_past(parts: Parts, beside: Beside, environment: Mapping[str, str], printed: Path, tell: Tell) -> None:
    """A log that all have read, and read models built from it."""
    messages = round(beside.events / EVENTS_A_MESSAGE)
    now, number = parts.clock.now(), max(1, messages // MESSAGES_A_PERSON)
    past = Past(people=number, messages=messages, first=now.date() - timedelta(days=DAYS + 1), days=DAYS)
    register(parts, people_of(past), now, lambda done: tell("registering those of the past", done, number))
    with parts.database.cursor() as cursor:
        found = cursor.execute("SELECT originator_id FROM users ORDER BY notification_id").fetchall()
    living = [Person(user_id, details.timezone) for (user_id,), details in zip(found, people_of(past), strict=True)]
    live_through(parts, past, living, lambda done: tell("living through the past", done, beside.events))
    head = parts.store.head()
    with parts.database.transaction() as cursor:  # the past is over: nobody acts on it any more
        move_positions(cursor, "planner", {"users": (0, head.users), "messages": (0, head.messages)})
        for region in REGIONS:
            move_positions(cursor, role_in("dispatcher", region), {"messages": (0, head.messages)})
    tell("building the read models of the past")
    _rebuild(("--all",), environment, printed)


def _prepared(parts: Parts, beside: Beside, processes: Sequence[Process], tell: Tell) -> datetime:
    """The first instant at which messages fall due, once all are planned and every follower waits for it."""
    lead_seconds = beside.lead_seconds or START_SECONDS + beside.messages / PREPARED_A_SECOND
    now = parts.clock.now()
    first = (now + timedelta(seconds=lead_seconds + 1)).replace(microsecond=0)
    planned = parts.store.head().messages + beside.messages
    register(parts, _steady(beside, first), now, lambda done: tell("registering", done, beside.messages))
    until(lambda: parts.store.head().messages >= planned, processes)
    until_caught_up(parts, processes, tell)
    if parts.clock.now() > first - SETTLE:
        raise ProcessFailed(f"{lead_seconds:.0f} s were too few to prepare {beside.messages:,} messages: give --lead-seconds")
    return first


def _steady(beside: Beside, first: datetime) -> Iterator[Details]:
    """So many people due each second."""
    for second in range(beside.due_seconds):
        due_at = first + timedelta(seconds=second)
        for number, details in enumerate(crowd(beside.messages_a_second, due_at, ZONES)):
            yield replace(details, external_id=f"due-{second}-{number}")


def _phases(parts: Parts, beside: Beside, environment: Mapping[str, str], printed: Path, tell: Tell) -> Iterator[Phase]:
    for name, words in ({"nothing": ()} | dict(REBUILDS)).items():
        tell(f"while {name} is built")
        since, began, rebuilds = parts.clock.now(), monotonic(), 0
        while monotonic() < began + beside.seconds:
            if words:
                _rebuild(words, environment, printed)
                rebuilds += 1
            else:
                wait_for(since + timedelta(seconds=beside.seconds), parts)
        yield Phase(name, since, parts.clock.now(), began, monotonic(), rebuilds)


def _rebuild(words: tuple[str, ...], environment: Mapping[str, str], printed: Path) -> None:
    with running({"rebuild": ninebell("projections", "rebuild", *words, "--anew")}, environment, printed) as (process,):
        process.wait()


def _unsent(parts: Parts, since: datetime, before: datetime) -> int:
    with parts.database.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM message_log WHERE due_at >= %s AND due_at < %s AND status <> 'sent'", (since, before)
        )
        return int(cursor.fetchall()[0][0])


def _due(parts: Parts, first: datetime) -> dict[str, datetime]:
    with parts.database.cursor() as cursor:
        cursor.execute("SELECT id, due_at FROM message_log WHERE due_at >= %s", (first,))
        found: list[tuple[UUID, datetime]] = cursor.fetchall()
    return {str(message_id): due_at for message_id, due_at in found}


def _lateness(file: Path, due: Mapping[str, datetime]) -> dict[datetime, list[float]]:
    """Due instant → seconds after it. Raises ProcessFailed for a message that came twice."""
    found: dict[datetime, list[float]] = {}
    calls = [msgspec.json.decode(line, type=Call) for line in file.read_bytes().splitlines()]
    if len({call.idempotency_key for call in calls}) != len(calls):
        raise ProcessFailed("the provider got a message twice")
    for call in calls:
        due_at = due[call.idempotency_key]
        found.setdefault(due_at, []).append((call.received_at - due_at).total_seconds())
    return found


def _figures(phases: Sequence[Phase], lateness: Mapping[datetime, Sequence[float]], askers: Askers) -> Found:
    found: Found = {}
    for phase in phases:
        late = sorted(one for due_at, some in lateness.items() if phase.since <= due_at < phase.until for one in some)
        answers = askers.between(phase.began, phase.ended)
        if not late or not answers:
            raise ProcessFailed(f"nothing fell due, or nobody asked, while {phase.name} was built: take fewer events")
        found |= _of_phase(f"while {phase.name} is built", phase, late, answers)
    quiet = found["while nothing is built: lateness p99", "ms"]
    for name in REBUILDS:
        found[f"lateness p99 while {name} is built, times that without", ""] = (
            found[f"while {name} is built: lateness p99", "ms"] / quiet
        )
    return found


def _of_phase(name: str, phase: Phase, late: list[float], answers: Sequence[Answer]) -> Found:
    waited = sorted(answer.seconds for answer in answers)
    seconds = phase.ended - phase.began
    took: Found = {(f"{name}: took", "s"): seconds / phase.rebuilds} if phase.rebuilds else {}
    return took | {
        (f"{name}: messages due", "messages/s"): len(late) / seconds,
        (f"{name}: lateness p50", "ms"): quantile(late, 0.5) * MILLISECONDS,
        (f"{name}: lateness p99", "ms"): quantile(late, 0.99) * MILLISECONDS,
        (f"{name}: most late", "ms"): late[-1] * MILLISECONDS,
        (f"{name}: queries", "queries/s"): len(answers) / seconds,
        (f"{name}: query p50", "ms"): quantile(waited, 0.5) * MILLISECONDS,
        (f"{name}: query p99", "ms"): quantile(waited, 0.99) * MILLISECONDS,
        (f"{name}: queries failed", "queries"): float(sum(answer.failed for answer in answers)),
    }
