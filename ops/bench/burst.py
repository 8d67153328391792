"""How many messages a second are delivered that all fall due at one instant, how late are they, and what does it take?"""

import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from msgspec import Struct

from ops.bench.broker import Broker, broker
from ops.bench.ground import Ground, ground
from ops.bench.peaks import Peaks
from ops.bench.people import crowd, plan, register
from ops.bench.processes import Process, ProcessFailed, cpu_seconds, running
from ops.bench.report import Result, Setting, Tell, figures_of, telling
from ops.wiring import Parts

MESSAGES_A_SECOND: Final = 1_000  # registered, planned and read by every follower before the due instant
START_SECONDS: Final = 6.0
SETTLE: Final = timedelta(seconds=0.5)
LOOK_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 300.0
MICROSECONDS: Final = 1e6
PROVIDER: Final = "ops.bench.provider"

Found = dict[tuple[str, str], float]


class Burst(Struct, frozen=True, kw_only=True):
    """What is measured."""

    messages: int = 5_000
    workers: int = 2
    zones: tuple[str, ...] = ("Asia/Shanghai",)  # one instant is one offset: the real herd lives in few zones
    all_roles: bool = False  # api and planner as well
    lead_seconds: float | None = None  # between the registrations and the due instant; else by the number of messages


def measure(burst: Burst, runs: int, amqp_url: str | None, tell: Tell) -> Result:
    """Real processes, a fresh database for every run. Raises NoBroker, ProcessFailed, PostgresNotStarted."""
    with ground() as place, broker(amqp_url) as bus:
        machine = place.machine(bus.version)
        found = [_run(place, bus, burst, run, telling(tell, f"burst: run {run + 1} of {runs}, ")) for run in range(runs)]
        at = place.now()
    settings: dict[str, Setting] = {"messages": burst.messages, "workers": burst.workers, "zones": " ".join(burst.zones)}
    return Result(part="burst", at=at, machine=machine, settings=settings, figures=figures_of(found))


def _run(place: Ground, bus: Broker, burst: Burst, run: int, tell: Tell) -> Found:
    port = _free_port()
    told = {"AMQP_URL": bus.url, "NINEBELL_SINK_LISTEN": f"127.0.0.1:{port}", "NINEBELL_LISTEN": f"127.0.0.1:{_free_port()}"}
    with place.fresh(f"burst_{run}", **told) as (parts, environment):
        roles = ("projections", "dispatcher", *(("planner", "api") if burst.all_roles else ()))
        calls = place.directory / f"burst_{run}.jsonl"
        commands = {"provider": (str(port), str(calls))} | {role: ("run", role) for role in roles}
        commands |= {f"worker {number + 1}": ("run", "worker") for number in range(burst.workers)}
        printed = place.directory / f"burst_{run}" / "printed"
        with running(commands, environment, printed, provider=PROVIDER) as processes:
            tell("processes start")
            for process in processes:
                process.until_it_says("running:")
            due_at = _prepared(parts, burst, tell)
            ours, servers = {process.name: process.pid for process in processes}, _servers(place, bus)
            measured, peaks = ours | servers, Peaks(parts, ours)
            before = _cpu(measured)
            began = _wait_for(due_at, parts)
            _until_delivered(burst.messages, port, processes, tell, peaks)
            _until_caught_up(parts, processes, tell, peaks)
            everything_seconds = time.monotonic() - began
            used = {name: after - before[name] for name, after in _cpu(measured).items()}
            stats = _stats(port)
    received = _received(calls, due_at)
    if len(received) != burst.messages or stats["keys"] != burst.messages:
        raise ProcessFailed(f"the provider got {stats} for {burst.messages} messages")
    return _figures(received, everything_seconds, used) | peaks.figures()


def _prepared(parts: Parts, burst: Burst, tell: Tell) -> datetime:
    """The instant at which everything falls due, once all is planned and every follower waits for it."""
    lead_seconds = burst.lead_seconds or START_SECONDS + burst.messages / MESSAGES_A_SECOND
    now = parts.clock.now()
    due_at = (now + timedelta(seconds=lead_seconds + 1)).replace(microsecond=0)
    register(parts, crowd(burst.messages, due_at, burst.zones), now, lambda done: tell(f"{done:,} registered"))
    if burst.all_roles:
        _until(lambda: parts.store.head().messages >= burst.messages, ())
    else:
        plan(parts, lambda steps: tell(f"{steps} steps of the planner"))
    _until_caught_up(parts, (), tell)
    if parts.clock.now() > due_at - SETTLE:
        raise ProcessFailed(f"{lead_seconds:.0f} s were too few to prepare {burst.messages:,} messages: give --lead-seconds")
    return due_at


def _wait_for(due_at: datetime, parts: Parts) -> float:
    """Where the monotonic clock stands at the due instant."""
    seconds = (due_at - parts.clock.now()).total_seconds()
    at = time.monotonic() + seconds
    time.sleep(max(0.0, seconds))
    return at


def _until_delivered(messages: int, port: int, processes: Sequence[Process], tell: Tell, peaks: Peaks) -> None:
    def delivered() -> bool:
        peaks.look()
        keys = _stats(port)["keys"]
        tell(f"{keys:,} delivered")
        return keys >= messages

    _until(delivered, processes)


def _until_caught_up(parts: Parts, processes: Sequence[Process], tell: Tell, peaks: Peaks | None = None) -> None:
    """Every read model and the dispatcher have read all there is."""

    def caught_up() -> bool:
        if peaks:
            peaks.look()
        lags = {each.name: each.lag_events for each in parts.followers.status(parts.clock.now())}
        followers = [*parts.projectors, "dispatcher"]
        tell(f"{sum(lags.get(name, 0) for name in followers):,} events behind")
        return all(name in lags and not lags[name] for name in followers)

    _until(caught_up, processes)


def _until(done: Callable[[], bool], processes: Sequence[Process]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done():
        for process in processes:
            process.check()
        if time.monotonic() > deadline:
            raise ProcessFailed(f"it was not done within {PATIENCE_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)


def _stats(port: int) -> dict[str, int]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/")
        found: dict[str, int] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return found


def _received(file: Path, due_at: datetime) -> list[float]:
    """Seconds after the due instant, in order."""
    with file.open("rb") as lines:
        calls = (datetime.fromisoformat(json.loads(line)["received_at"]) for line in lines)
        return sorted((call - due_at).total_seconds() for call in calls)


def _servers(place: Ground, bus: Broker) -> dict[str, int]:
    known = {"postgresql": place.postgres.pid, "rabbitmq": bus.pid}
    return {name: pid for name, pid in known.items() if pid}


def _cpu(measured: Mapping[str, int]) -> dict[str, float]:
    return {name: cpu_seconds(pid) for name, pid in measured.items()}


def _figures(received: Sequence[float], everything_seconds: float, used: Mapping[str, float]) -> Found:
    messages = len(received)
    found: Found = {
        ("delivered", "messages/s"): messages / received[-1],
        ("first call after", "s"): received[0],
        ("lateness p50", "s"): received[messages // 2],
        ("lateness p99", "s"): received[messages * 99 // 100],
        ("last call after", "s"): received[-1],
        ("recorded and shown after", "s"): everything_seconds,
    }
    shares = {f"CPU of {name}": seconds * MICROSECONDS / messages for name, seconds in used.items()}
    return (
        found
        | {(name, "µs/message"): share for name, share in shares.items()}
        | {("CPU of all", "µs/message"): sum(shares.values())}
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
