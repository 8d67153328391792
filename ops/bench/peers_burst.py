"""How does the burst fare on what a team would pick instead, in one run with ours, on the same servers and provider?"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from ops.bench import burst
from ops.bench.broker import Broker, broker
from ops.bench.burst import Burst, costs, figures, servers
from ops.bench.deliveries import Provider, lateness_after
from ops.bench.ground import Ground, ground
from ops.bench.kept import Kept
from ops.bench.peers_installed import Peer, installed
from ops.bench.processes import Process, ProcessFailed, cpu_of, running, until
from ops.bench.redis import redis
from ops.bench.report import Found, Result, Setting, Tell, figures_of, telling

OURS: Final = "Ninebell"
WORKERS: Final = 2
START_SECONDS: Final = 5.0
SCHEDULED_A_SECOND: Final = 500  # by the slowest of them, on a slow machine
SETTLE_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 240.0
SCHEDULED: Final = re.compile(r"scheduled in ([0-9.]+) s")


def measure(
    messages: int, runs: int, only: Sequence[str], amqp_url: str | None, lead_seconds: float | None, tell: Tell
) -> Result:
    """Round by round, in each of them every system, ours among them, each time in another order.

    `only`: names of systems, if not all. Raises NoBroker, ProcessFailed, PostgresNotStarted.
    """
    peers, missing = installed(tell)
    with ground() as place, broker(amqp_url) as bus:
        machine = place.machine(bus.version)
        lead = lead_seconds or START_SECONDS + messages / SCHEDULED_A_SECOND
        systems: dict[str, Callable[[str, Tell], Found]] = {OURS: lambda _, say: _ours(place, bus, messages, say)}
        systems |= {peer.name: _on(peer, place, bus, messages, lead) for peer in peers}
        chosen = [name for name in systems if not only or name.lower() in {wanted.lower() for wanted in only}]
        settings = _settings(messages, [peer for peer in peers if peer.name in chosen], missing)
        kept = Kept("peers", settings)
        rounds = []
        for run in range(runs):
            turn = run % len(chosen)
            found: Found = {}
            for name in chosen[turn:] + chosen[:turn]:
                say = telling(tell, f"peers: round {run + 1} of {runs}, {name}, ")
                one = kept.once(f"{name} {run + 1}", lambda name=name, say=say: systems[name](name, say))  # type: ignore[misc]
                found |= {(f"{what}: {name}", unit): value for (what, unit), value in one.items()}
            rounds.append(_by_figure(found, chosen))
        kept.forget()
        at = place.now()
    return Result(part="peers", at=at, machine=machine, settings=settings, figures=figures_of(rounds))


def _settings(messages: int, peers: Sequence[Peer], missing: Sequence[str]) -> dict[str, Setting]:
    return {
        "messages": messages,
        "workers": WORKERS,
        **{peer.name: f"{peer.version}{' with RabbitMQ' if peer.server == 'RabbitMQ' else ''}" for peer in peers},
        "not here": ", ".join(missing) or "none",
    }


def _by_figure(found: Found, names: Sequence[str]) -> Found:
    """So that what is to be compared stands together."""
    order = [what.removesuffix(f": {names[0]}") for what, _ in found if what.endswith(f": {names[0]}")]
    return {key: found[key] for what in order for key in found if key[0].startswith(f"{what}: ")}


def _ours(place: Ground, bus: Broker, messages: int, tell: Tell) -> Found:
    found = burst.run_once(place, bus, Burst(messages=messages, workers=WORKERS), tell)
    cpu = sum(value for (what, _), value in found.items() if what.startswith("CPU of ") and what not in NOT_THE_SYSTEM)
    return _told(found, found["planned", "messages/s"], cpu)


NOT_THE_SYSTEM: Final = ("CPU of all", "CPU of provider")


def _told(found: Found, scheduled_a_second: float, cpu: float) -> Found:
    """What every system can be asked."""
    asked = (("delivered", "messages/s"), ("lateness p50", "s"), ("lateness p99", "s"), ("last call after", "s"))
    told = {key: found[key] for key in asked}
    return told | {("scheduled", "messages/s"): scheduled_a_second, ("CPU of workers and servers", "µs/message"): cpu}


def _on(peer: Peer, place: Ground, bus: Broker, messages: int, lead_seconds: float) -> Callable[[str, Tell], Found]:
    def run(_: str, tell: Tell) -> Found:
        return _run(peer, place, bus, messages, lead_seconds, tell)

    return run


def _run(peer: Peer, place: Ground, bus: Broker, messages: int, lead_seconds: float, tell: Tell) -> Found:
    with place.bare() as (name, dsn), _server(peer, place, bus, home := place.directory / name) as (url, server):
        provider = Provider.at(place.directory / f"{name}.jsonl")
        due_at = (place.now() + timedelta(seconds=lead_seconds + 1)).replace(microsecond=0)

        def command(verb: str) -> tuple[str, ...]:
            words = (dsn, url, f"http://{provider.address}/send", str(messages), due_at.isoformat())
            return (*peer.program, verb, *words)

        if peer.server == "PostgreSQL":
            _done(command("prepare"), place, name)
        workers = {f"worker {number + 1}": command("work") for number in range(WORKERS)}
        with running({"provider": provider.command} | workers, {"HOME": str(home)}, home) as processes:
            for process in processes:
                process.until_it_says("running:")
            tell("scheduling")
            scheduled = messages / _seconds(_done(command("schedule"), place, name))
            if place.now() > due_at - timedelta(seconds=SETTLE_SECONDS):
                raise ProcessFailed(f"{lead_seconds:.0f} s were too few for {peer.name} to schedule: give --lead-seconds")
            found = _delivered(place, server, provider, processes, messages, due_at, tell)
    received = lateness_after(provider.calls(messages), due_at)
    if received[0] < 0:
        raise ProcessFailed(f"{peer.name} sent {-received[0]:.3f} s too early")
    cpu = sum(value for (what, _), value in found.items() if what not in NOT_THE_SYSTEM)
    return _told(figures(received), scheduled, cpu)


@contextmanager
def _server(peer: Peer, place: Ground, bus: Broker, home: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """The URL of its broker if it has one, and the process of what keeps its messages: name → process ID."""
    if peer.server == "Redis":
        with redis(home / "redis") as held:
            yield held.url, {"redis": held.pid}
    else:
        yield bus.url, {name: pid for name, pid in servers(place, bus).items() if name == peer.server.lower()}


def _delivered(
    place: Ground,
    server: dict[str, int],
    provider: Provider,
    processes: Sequence[Process],
    messages: int,
    due_at: datetime,
    tell: Tell,
) -> Found:
    """What it costs from the due instant on."""
    measured = {process.name: process.pid for process in processes} | server
    time.sleep(max(0.0, (due_at - place.now()).total_seconds()))
    before = cpu_of(measured)

    def delivered() -> bool:
        keys = provider.keys()
        tell(f"{keys:,} delivered", keys, messages)
        return keys >= messages

    until(delivered, processes, PATIENCE_SECONDS)
    return costs({name: after - before[name] for name, after in cpu_of(measured).items()}, messages)


def _done(command: tuple[str, ...], place: Ground, name: str) -> str:
    """What it printed. Raises ProcessFailed."""
    verb = command[-6]
    home = place.directory / name
    with running({verb: command}, {"HOME": str(home)}, home) as (process,):
        process.wait()
        return process.printed()


def _seconds(printed: str) -> float:
    found = SCHEDULED.search(printed)
    if not found:
        raise ProcessFailed(f"it did not say how long it took to schedule: {printed[-1000:]}")
    return float(found[1])
