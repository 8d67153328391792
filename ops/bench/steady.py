"""How late is a message when they come steadily, and what does each role cost while it works, and while nothing is due?"""

import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from ops.bench.broker import Broker, broker
from ops.bench.burst import lags, servers, until_caught_up, wait_for
from ops.bench.deliveries import HOST, Call, Provider, free_port, quantile
from ops.bench.ground import Ground, ground
from ops.bench.kept import repeated
from ops.bench.people import register, stream
from ops.bench.processes import Process, ProcessFailed, cpu_of, ninebell, running, until
from ops.bench.report import Found, Result, Setting, Tell, figures_of, telling
from ops.bench.weights import Weights
from ops.wiring import Parts

ROLES: Final = ("api", "planner", "projections", "dispatcher")
WORKERS: Final = 2
START_SECONDS: Final = 5.0
PLANNED_A_SECOND: Final = 500  # on a slow machine, beside everything else
PATIENCE_SECONDS: Final = 120.0
MILLISECONDS: Final = 1_000
PER_CENT: Final = 100


class Steady(Struct, frozen=True, kw_only=True):
    """What is measured."""

    a_second: float = 116.0  # ten million a day
    seconds: float = 170.0
    idle_seconds: float = 20.0  # looked at before the first is due
    lead_seconds: float | None = None  # from the registrations to the idle time; else by the number of messages

    @property
    def messages(self) -> int:
        return int(self.a_second * self.seconds)


def measure(steady: Steady, runs: int, amqp_url: str | None, tell: Tell) -> Result:
    """All roles as processes of their own. Raises NoBroker, ProcessFailed, PostgresNotStarted."""
    settings: dict[str, Setting] = {
        "a second": steady.a_second,
        "seconds": steady.seconds,
        "idle seconds": steady.idle_seconds,
        "workers": WORKERS,
    }
    series: dict[str, list[tuple[float, float]]] = {}
    with ground() as place, broker(amqp_url) as bus:
        machine = place.machine(bus.version)

        def one(run: int) -> Found:
            weights, found = _run(place, bus, steady, telling(tell, f"steady: run {run + 1} of {runs}, "))
            series.update(weights.series)
            return found

        found = repeated("steady", settings, runs, one)
        at = place.now()
    return Result(part="steady", at=at, machine=machine, settings=settings, figures=figures_of(found), series=series)


def _run(place: Ground, bus: Broker, steady: Steady, tell: Tell) -> tuple[Weights, Found]:
    name = f"steady_{secrets.token_hex(4)}"
    provider = Provider.at(place.directory / f"{name}.jsonl")
    told = {
        "AMQP_URL": bus.url,
        "NINEBELL_SINK_LISTEN": provider.address,
        "NINEBELL_LISTEN": f"{HOST}:{free_port()}",
    }
    commands = {"provider": provider.command} | {role: ninebell("run", role) for role in ROLES}
    commands |= {f"worker {number + 1}": ninebell("run", "worker") for number in range(WORKERS)}
    with place.fresh(name, **told) as (parts, environment):
        with running(commands, environment, place.directory / name) as processes:
            for process in processes:
                process.until_it_says("running:")
            first_due_at = _prepared(parts, steady, processes, tell)
            ours = {process.name: process.pid for process in processes}
            with Weights(ours) as weights:
                costs = _costs(parts, ours | servers(place, bus), first_due_at, steady, provider, processes, tell)
        lateness = _lateness(parts, provider.calls(steady.messages))
    return weights, lateness | costs | weights.figures()


def _prepared(parts: Parts, steady: Steady, processes: Sequence[Process], tell: Tell) -> datetime:
    """When the first falls due, once all are planned and every follower waits for it."""
    lead_seconds = steady.lead_seconds or START_SECONDS + steady.messages / PLANNED_A_SECOND
    now = parts.clock.now()
    first = now + timedelta(seconds=lead_seconds + steady.idle_seconds)
    apart = timedelta(seconds=1 / steady.a_second)
    register(parts, stream(steady.messages, first, apart), now, lambda done: tell("registering", done, steady.messages))
    until(lambda: parts.store.head().messages >= steady.messages and not lags(parts).get("planner", 1), processes)
    until_caught_up(parts, processes, tell)
    if parts.clock.now() > first - timedelta(seconds=steady.idle_seconds):
        raise ProcessFailed(f"{lead_seconds:.0f} s were too few to prepare {steady.messages:,} messages: give --lead-seconds")
    return first


def _costs(
    parts: Parts,
    measured: Mapping[str, int],
    first_due_at: datetime,
    steady: Steady,
    provider: Provider,
    processes: Sequence[Process],
    tell: Tell,
) -> Found:
    """Shares of one core: before anything is due, then while it is."""
    tell("nothing is due")
    wait_for(first_due_at - timedelta(seconds=steady.idle_seconds), parts)
    began, before = time.monotonic(), cpu_of(measured)
    wait_for(first_due_at, parts)
    due, at_due = time.monotonic(), cpu_of(measured)

    def delivered() -> bool:
        keys = provider.keys()
        tell(f"{keys:,} delivered", keys, steady.messages)
        return keys >= steady.messages

    until(delivered, processes, steady.seconds + PATIENCE_SECONDS)
    over, after = time.monotonic(), cpu_of(measured)
    return {
        (f"CPU of {name}, idle", "% of a core"): (at_due[name] - before[name]) * PER_CENT / (due - began) for name in measured
    } | {(f"CPU of {name}, at work", "% of a core"): (after[name] - at_due[name]) * PER_CENT / (over - due) for name in measured}


def _lateness(parts: Parts, calls: Sequence[Call]) -> Found:
    """Each message's own, as it is due by the read model."""
    with parts.database.cursor() as cursor:
        due = {str(key): at for key, at in cursor.execute("SELECT id, due_at FROM message_log").fetchall()}
    late = sorted((call.received_at - due[call.idempotency_key]).total_seconds() * MILLISECONDS for call in calls)
    return {
        ("lateness p50", "ms"): quantile(late, 0.5),
        ("lateness p99", "ms"): quantile(late, 0.99),
        ("lateness, the most", "ms"): late[-1],
        ("earliest", "ms"): late[0],
    }
