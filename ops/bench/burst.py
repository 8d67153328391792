"""How many messages a second are delivered that all fall due at one instant, how late are they, and what does it take?"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from ops.bench.broker import Broker, broker
from ops.bench.deliveries import Provider, free_port, lateness_after, quantile
from ops.bench.ground import Ground, ground
from ops.bench.kept import repeated
from ops.bench.peaks import Peaks
from ops.bench.people import crowd, plan, register
from ops.bench.processes import Process, ProcessFailed, cpu_of, ninebell, running, until
from ops.bench.report import Found, Result, Setting, Tell, figures_of, telling
from ops.bench.weights import Weights
from ops.wiring import Parts

MESSAGES_A_SECOND: Final = 1_000  # registered, planned and read by every follower before the due instant
START_SECONDS: Final = 6.0
SETTLE: Final = timedelta(seconds=0.5)
MICROSECONDS: Final = 1e6
Opened = Callable[..., AbstractContextManager[tuple[Parts, dict[str, str]]]]


class Burst(Struct, frozen=True, kw_only=True):
    """What is measured."""

    messages: int = 5_000
    workers: int = 2
    bulk: int = 1  # messages a call
    zones: tuple[str, ...] = ("Asia/Shanghai",)  # one instant is one offset: the real herd lives in few zones
    all_roles: bool = False  # api and planner as well; and the servers are weighed
    lead_seconds: float | None = None  # between the registrations and the due instant; else by the number of messages


def measure(burst: Burst, runs: int, amqp_url: str | None, tell: Tell) -> Result:
    """Real processes, a fresh database for every run. Raises NoBroker, ProcessFailed, PostgresNotStarted."""
    part = "burst" if burst.bulk == 1 else "burst-bulk"
    settings: dict[str, Setting] = {
        "messages": burst.messages,
        "workers": burst.workers,
        "messages a call": burst.bulk,
        "zones": " ".join(burst.zones),
        "roles": "all" if burst.all_roles else "dispatcher, projections, workers",
    }
    with ground() as place, broker(amqp_url) as bus:
        machine = place.machine(bus.version)

        def one(run: int) -> Found:
            return run_once(place, bus, burst, telling(tell, f"{part}: run {run + 1} of {runs}, "))

        found = repeated(part, settings, runs, one)
        at = place.now()
    return Result(part=part, at=at, machine=machine, settings=settings, figures=figures_of(found))


def run_once(place: Ground, bus: Broker, burst: Burst, tell: Tell, opened: Opened | None = None) -> Found:
    """On a fresh database, or the one that `opened` gives for these settings."""
    name = f"burst_{secrets.token_hex(4)}"
    provider = Provider.at(place.directory / f"{name}.jsonl")
    told = {
        "AMQP_URL": bus.url,
        "NINEBELL_SINK_LISTEN": provider.address,
        "NINEBELL_LISTEN": f"127.0.0.1:{free_port()}",
        "NINEBELL_HTTP_BULK": str(burst.bulk),
    }
    with opened(**told) if opened else place.fresh(name, **told) as (parts, environment):
        roles = ("projections", "dispatcher", *(("planner", "api") if burst.all_roles else ()))
        commands = {"provider": provider.command} | {role: ninebell("run", role) for role in roles}
        commands |= {f"worker {number + 1}": ninebell("run", "worker") for number in range(burst.workers)}
        with running(commands, environment, place.directory / name / "printed") as processes:
            tell("processes start")
            for process in processes:
                process.until_it_says("running:")
            due_at, planned = _prepared(parts, burst, tell)
            ours = {process.name: process.pid for process in processes}
            measured, peaks = ours | servers(place, bus), Peaks(parts)
            with Weights(measured if burst.all_roles else ours) as weights:  # the servers' sessions are many to weigh
                began = wait_for(due_at, parts)
                before = cpu_of(measured)
                _until_delivered(burst.messages, provider, processes, tell, peaks)
                until_caught_up(parts, processes, tell, peaks)
                everything_seconds = time.monotonic() - began
            used = {name: after - before[name] for name, after in cpu_of(measured).items()}
    received = lateness_after(provider.calls(burst.messages), due_at)
    recorded: Found = {("planned", "messages/s"): planned, ("recorded and shown after", "s"): everything_seconds}
    return figures(received) | recorded | costs(used, burst.messages) | peaks.figures() | weights.figures()


def _prepared(parts: Parts, burst: Burst, tell: Tell) -> tuple[datetime, float]:
    """The instant at which everything falls due, once all is planned and every follower waits for it; planned a second."""
    lead_seconds = burst.lead_seconds or START_SECONDS + burst.messages / MESSAGES_A_SECOND
    now = parts.clock.now()
    due_at = (now + timedelta(seconds=lead_seconds + 1)).replace(microsecond=0)
    register(parts, crowd(burst.messages, due_at, burst.zones), now, lambda done: tell(f"{done:,} registered"))
    began = time.monotonic()
    if burst.all_roles:
        until(lambda: parts.store.head().messages >= burst.messages)
    else:
        plan(parts, lambda steps: tell(f"{steps} steps of the planner"))
    planned = burst.messages / (time.monotonic() - began)
    until_caught_up(parts, (), tell)
    if parts.clock.now() > due_at - SETTLE:
        raise ProcessFailed(f"{lead_seconds:.0f} s were too few to prepare {burst.messages:,} messages: give --lead-seconds")
    return due_at, planned


def wait_for(due_at: datetime, parts: Parts) -> float:
    """Where the monotonic clock stands at the due instant."""
    seconds = (due_at - parts.clock.now()).total_seconds()
    at = time.monotonic() + seconds
    time.sleep(max(0.0, seconds))
    return at


def _until_delivered(messages: int, provider: Provider, processes: Sequence[Process], tell: Tell, peaks: Peaks) -> None:
    def delivered() -> bool:
        peaks.look()
        keys = provider.keys()
        tell(f"{keys:,} delivered", keys, messages)
        return keys >= messages

    until(delivered, processes)


def until_caught_up(parts: Parts, processes: Sequence[Process], tell: Tell, peaks: Peaks | None = None) -> None:
    """Every read model and the dispatcher have read all there is."""

    def caught_up() -> bool:
        if peaks:
            peaks.look()
        behind = lags(parts)
        followers = [*parts.projectors, "dispatcher"]
        tell(f"{sum(behind.get(name, 0) for name in followers):,} events behind")
        return all(name in behind and not behind[name] for name in followers)

    until(caught_up, processes)


def lags(parts: Parts) -> dict[str, int]:
    """Follower → events that it has not read."""
    return {each.name: each.lag_events for each in parts.followers.status(parts.clock.now())}


def servers(place: Ground, bus: Broker | None = None) -> dict[str, int]:
    known = {"postgresql": place.postgres.pid, "rabbitmq": bus.pid if bus else None}
    return {name: pid for name, pid in known.items() if pid}


def figures(received: list[float]) -> Found:
    """Of seconds after the due instant, in order."""
    return {
        ("delivered", "messages/s"): len(received) / received[-1],
        ("first call after", "s"): received[0],
        ("lateness p50", "s"): quantile(received, 0.5),
        ("lateness p99", "s"): quantile(received, 0.99),
        ("last call after", "s"): received[-1],
    }


def costs(used: Mapping[str, float], items: int, item: str = "message") -> Found:
    """From seconds of CPU."""
    shares: Found = {(f"CPU of {name}", f"µs/{item}"): seconds * MICROSECONDS / items for name, seconds in used.items()}
    return shares | {("CPU of all", f"µs/{item}"): sum(shares.values())}
