"""How long do the messages of one date take: lived through on a simulated clock, and as one backlog on the real one?"""

import csv
import secrets
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Final

from ops.bench.broker import Broker, broker
from ops.bench.burst import costs, figures, servers, until_caught_up
from ops.bench.deliveries import Provider, lateness_after
from ops.bench.ground import Ground, ground
from ops.bench.kept import Kept
from ops.bench.past import ZONES
from ops.bench.people import crowd, plan, register
from ops.bench.processes import cpu_of, ninebell, running, until
from ops.bench.report import Found, Result, Setting, Tell, figures_of, telling
from ops.bench.simulate import COLUMNS
from ops.bench.weights import Weights

DAY: Final = date(2027, 6, 15)
AGO: Final = timedelta(minutes=1)  # all of them were due then, wherever they are
ROLES: Final = ("projections", "dispatcher")
WORKERS: Final = 2
PATIENCE_SECONDS: Final = 1_800.0
SEED: Final = 1


def measure(people: int, runs: int, amqp_url: str | None, tell: Tell) -> Result:
    """Everybody has one message that day. Raises NoBroker, ProcessFailed, PostgresNotStarted."""
    settings: dict[str, Setting] = {"people": people, "zones": len(ZONES), "workers": WORKERS}
    kept, found = Kept("day", settings), []
    with ground() as place, broker(amqp_url) as bus:
        machine = place.machine(bus.version)
        for run in range(runs):
            say = telling(tell, f"day: run {run + 1} of {runs}, ")
            lived = kept.once(f"simulated {run + 1}", lambda say=say: _simulated(place, people, say))  # type: ignore[misc]
            caught_up = kept.once(f"backlog {run + 1}", lambda say=say: _backlog(place, bus, people, say))  # type: ignore[misc]
            found.append(lived | caught_up)
        kept.forget()
        at = place.now()
    return Result(part="day", at=at, machine=machine, settings=settings, figures=figures_of(found))


def _simulated(place: Ground, people: int, tell: Tell) -> Found:
    """`ninebell simulate`, which lives through a date on a clock that goes as fast as the work is done."""
    name = f"day_{secrets.token_hex(4)}"
    home = place.directory / name
    home.mkdir()
    _write(home / "people.csv", people)
    span = ("--from", str(DAY), "--to", str(DAY + timedelta(days=1)))
    command = ninebell("simulate", "--people", str(home / "people.csv"), *span, "--out", str(home / "day.csv"))
    tell(f"{people:,} people live through a date")
    began = time.monotonic()
    with running({"simulate": command}, {"NINEBELL_DATA_DIR": str(home)}, home) as (process,):
        process.wait()
    seconds = time.monotonic() - began
    with (home / "day.csv").open() as lines:
        sent = sum(row["status"] == "sent" for row in csv.DictReader(lines))
    if sent != people:
        raise RuntimeError(f"{sent} of {people} birthdays were sent")
    return {("a date on a simulated clock", "s"): seconds, ("lived through", "messages/s"): people / seconds}


def _backlog(place: Ground, bus: Broker, people: int, tell: Tell) -> Found:
    """Everything is planned and due when dispatcher, projections and workers start."""
    name = f"backlog_{secrets.token_hex(4)}"
    provider = Provider.at(place.directory / f"{name}.jsonl")
    commands = {"provider": provider.command} | {role: ninebell("run", role) for role in ROLES}
    commands |= {f"worker {number + 1}": ninebell("run", "worker") for number in range(WORKERS)}
    with place.fresh(name, AMQP_URL=bus.url, NINEBELL_SINK_LISTEN=provider.address) as (parts, environment):
        due_at = parts.clock.now() - AGO
        register(parts, crowd(people, due_at, _zones(people)), due_at, lambda done: tell("registering", done, people))
        plan(parts, lambda steps: tell(f"{steps} steps of the planner"))
        began = parts.clock.now()
        with running(commands, environment, place.directory / name) as processes:
            ours = {process.name: process.pid for process in processes}
            measured = ours | servers(place, bus)
            before = cpu_of(measured)
            processes[0].until_it_says("running:")

            def delivered() -> bool:
                keys = provider.keys()
                tell(f"{keys:,} delivered", keys, people)
                return keys >= people

            with Weights(ours) as weights:
                until(delivered, processes, PATIENCE_SECONDS)
                until_caught_up(parts, processes, tell)
            everything_seconds = (parts.clock.now() - began).total_seconds()
            used = {each: after - before[each] for each, after in cpu_of(measured).items()}
    received = lateness_after(provider.calls(people), began)
    told: Found = {(f"backlog: {what}", unit): value for (what, unit), value in figures(received).items()}
    recorded: Found = {("backlog: recorded and shown after", "s"): everything_seconds}
    return told | recorded | costs(used, people) | weights.figures()


def _zones(people: int) -> list[str]:
    """One for each person, as they are spread over the world."""
    return Random(SEED).choices(list(ZONES), list(ZONES.values()), k=people)


def _write(file: Path, people: int) -> None:
    with file.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(COLUMNS)
        rows.writerows(_rows(people))


def _rows(people: int) -> Iterator[tuple[str, ...]]:
    birthday = str(DAY.replace(year=1990))
    for number, timezone in enumerate(_zones(people)):
        name = f"person-{number}"
        yield name, name, "", f"{name}@example.org", timezone, birthday
