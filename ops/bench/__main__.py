"""The command line of the benchmark: `python -m ops.bench` runs every part with small numbers, `python -m ops.bench PART` one."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cyclopts import App, Parameter
from msgspec.structs import replace

from ops.bench import append as appending
from ops.bench import append_stored
from ops.bench import burst as bursting
from ops.bench import day as dating
from ops.bench import growth as growing
from ops.bench import import_people as importing
from ops.bench import peers_burst as comparing
from ops.bench import plots as plotting
from ops.bench import queries as querying
from ops.bench import rebuild_beside as besides
from ops.bench import replay as replaying
from ops.bench import schedule as scheduling
from ops.bench import simulate as simulating
from ops.bench import steady as flowing
from ops.bench.fingerprint import ROOT
from ops.bench.kept import HOME
from ops.bench.measured import measured
from ops.bench.report import RESULTS, Result, Tell

RUNS: Final = 3
PICTURES: Final = ROOT / "docs" / "benchmarks"

HELP: Final = "Measures Ninebell on this machine, on real parts that are thrown away afterwards."

app = App(name="python -m ops.bench", help=HELP, default_parameter=Parameter(consume_multiple=True))


@app.default
def smoke(*, runs: int = 1, out: Path = HOME / "smoke", amqp_url: str | None = None) -> int:
    """Every part with small numbers, in a few minutes; each part by itself takes larger ones, and keeps its result.

    Examples:
      python -m ops.bench
      python -m ops.bench burst --messages 50000

    Parameters
    ----------
    runs
        How often; the median counts.
    out
        Directory for the results as JSON.
    amqp_url
        A RabbitMQ that nobody else uses; else a node of the installed package is started.
    """
    small = bursting.Burst(messages=1_000, lead_seconds=5)
    few = growing.Growth(messages=500, stored=(10_000,), people=(200, 200), lead_seconds=5)
    parts: list[Callable[[Tell], Result]] = [
        lambda tell: appending.measure((1, 8, 64), 0.5, runs, tell),
        lambda tell: append_stored.measure((1, 64), (5_000, 10_000), 0.5, runs, tell),
        lambda tell: scheduling.measure(2_000, runs, tell),
        lambda tell: bursting.measure(small, runs, amqp_url, tell),
        lambda tell: bursting.measure(replace(small, bulk=100), runs, amqp_url, tell),
        lambda tell: growing.measure(few, runs, amqp_url, tell),
        lambda tell: flowing.measure(flowing.Steady(seconds=5, idle_seconds=3), runs, amqp_url, tell),
        lambda tell: dating.measure(1_000, runs, amqp_url, tell),
        lambda tell: importing.measure(2_000, runs, tell),
        lambda tell: comparing.measure(300, runs, (), amqp_url, 15, tell),
        lambda tell: simulating.measure(100, runs, tell),
        lambda tell: querying.measure(20_000, 1_000, tell),
        lambda tell: replaying.measure(20_000, runs, None, tell),
    ]
    return max(measured(part, out) for part in parts)


@app.command
def append(
    *,
    threads: tuple[int, ...] = (1, 8, 64),
    stored: tuple[int, ...] = (),
    seconds: float = 3,
    runs: int = RUNS,
    out: Path = RESULTS,
) -> int:
    """Events a second through the event store, and how many calls share a commit.

    Parameters
    ----------
    stored
        Events that are stored before, in one log that grows; else in a fresh one, and by a thousand a call as well.
    """
    if stored:
        return measured(lambda tell: append_stored.measure(threads, stored, seconds, runs, tell), out)
    return measured(lambda tell: appending.measure(threads, seconds, runs, tell), out)


@app.command
def schedule(*, people: int = 20_000, runs: int = RUNS, out: Path = RESULTS) -> int:
    """People registered, and messages planned for them, a second."""
    return measured(lambda tell: scheduling.measure(people, runs, tell), out)


@app.command
def burst(
    *,
    messages: int = 5_000,
    workers: int = 2,
    zones: tuple[str, ...] = ("Asia/Shanghai",),
    bulk: int = 1,
    all_roles: bool = False,
    lead_seconds: float | None = None,
    amqp_url: str | None = None,
    runs: int = RUNS,
    out: Path = RESULTS,
) -> int:
    """Messages delivered a second that fall due at one instant: dispatcher, projections, workers, sink, all processes.

    Parameters
    ----------
    zones
        Where people live, evenly; all of them are due at one and the same instant.
    bulk
        Messages a call, as for a provider that takes many at once.
    all_roles
        Let the planner and the API run as well, as they do in production.
    lead_seconds
        From the first registration to the due instant: all must be planned and read by then.
    amqp_url
        A RabbitMQ that nobody else uses; else a node of the installed package is started.
    """
    wanted = bursting.Burst(
        messages=messages, workers=workers, bulk=bulk, zones=zones, all_roles=all_roles, lead_seconds=lead_seconds
    )
    return measured(lambda tell: bursting.measure(wanted, runs, amqp_url, tell), out)


@app.command
def peers(
    *,
    messages: int = 20_000,
    only: tuple[str, ...] = (),
    lead_seconds: float | None = None,
    amqp_url: str | None = None,
    runs: int = RUNS,
    out: Path = RESULTS,
) -> int:
    """The same burst on other systems, interleaved with ours; what can't run here is named.

    Parameters
    ----------
    only
        Names of systems, as the table has them; Ninebell is one.
    lead_seconds
        From the start of the workers to the due instant: everything must be scheduled by then.
    amqp_url
        A RabbitMQ that nobody else uses; else a node of the installed package is started.
    """
    return measured(lambda tell: comparing.measure(messages, runs, only, amqp_url, lead_seconds, tell), out)


@app.command
def growth(
    *,
    messages: int = 20_000,
    stored: tuple[int, ...] = (1_000_000, 10_000_000, 30_000_000),
    people: tuple[int, int] = (10_000, 1_000_000),
    lead_seconds: float | None = None,
    amqp_url: str | None = None,
    runs: int = RUNS,
    out: Path = RESULTS,
) -> int:
    """What a message of a burst costs with ever more events stored, with more people, and in all zones.

    Parameters
    ----------
    stored
        Events in the log of messages before each burst, in one database that grows.
    people
        Few, of whom the events are, and many, with the most events.
    lead_seconds
        From the first registration of a burst to its due instant: all must be planned and read by then.
    amqp_url
        A RabbitMQ that nobody else uses; else a node of the installed package is started.
    """
    wanted = growing.Growth(messages=messages, stored=stored, people=people, lead_seconds=lead_seconds)
    return measured(lambda tell: growing.measure(wanted, runs, amqp_url, tell), out)


@app.command
def steady(
    *,
    a_second: float = 116,
    seconds: float = 170,
    idle_seconds: float = 20,
    lead_seconds: float | None = None,
    amqp_url: str | None = None,
    runs: int = RUNS,
    out: Path = RESULTS,
) -> int:
    """How late messages are that fall due one after another, and each role's CPU at work and idle.

    Parameters
    ----------
    idle_seconds
        With nothing due, before the first.
    lead_seconds
        From the registrations to the idle time: all must be planned by then.
    amqp_url
        A RabbitMQ that nobody else uses; else a node of the installed package is started.
    """
    wanted = flowing.Steady(a_second=a_second, seconds=seconds, idle_seconds=idle_seconds, lead_seconds=lead_seconds)
    return measured(lambda tell: flowing.measure(wanted, runs, amqp_url, tell), out)


@app.command
def day(*, people: int = 100_000, runs: int = RUNS, amqp_url: str | None = None, out: Path = RESULTS) -> int:
    """Everybody's message of one date, over the world's zones: on a simulated clock, then as one backlog on the real one."""
    return measured(lambda tell: dating.measure(people, runs, amqp_url, tell), out)


@app.command(name="import")
def import_people(*, people: int = 200_000, runs: int = RUNS, out: Path = RESULTS) -> int:
    """People a second through the HTTP API, how soon they are found and planned, and what memory each role holds."""
    return measured(lambda tell: importing.measure(people, runs, tell), out)


@app.command
def simulate(*, people: int = 1_000, runs: int = RUNS, out: Path = RESULTS) -> int:
    """Seconds for a simulated year."""
    return measured(lambda tell: simulating.measure(people, runs, tell), out)


@app.command
def replay(*, events: int = 1_000_000, directory: Path | None = None, runs: int = RUNS, out: Path = RESULTS) -> int:
    """Events a second with which each read model is built anew, in how much memory, and how long queries take meanwhile.

    Parameters
    ----------
    events
        In the log of messages; there is a person for every nine.
    directory
        Keeps the log for another time: ten million events take minutes to make.
    """
    return measured(lambda tell: replaying.measure(events, runs, directory, tell), out)


@app.command
def rebuild_beside(
    *,
    events: int = 1_000_000,
    messages_a_second: int = 100,
    queries_a_second: int = 50,
    seconds: int = 60,
    lead_seconds: float | None = None,
    amqp_url: str | None = None,
    runs: int = 1,
    out: Path = RESULTS,
) -> int:
    """How late messages are, how long queries take and how many fail, while nothing, one read model, and all are built anew.

    Parameters
    ----------
    events
        In the log of messages when it begins; there is a person for every nine.
    seconds
        That each of the three phases lasts at least; rebuilds are repeated until then.
    lead_seconds
        From the first registration to the first due instant: all must be planned and read by then.
    amqp_url
        A RabbitMQ that nobody else uses; else a node of the installed package is started.
    """
    wanted = besides.Beside(
        events=events,
        messages_a_second=messages_a_second,
        queries_a_second=queries_a_second,
        seconds=seconds,
        lead_seconds=lead_seconds,
    )
    return measured(lambda tell: besides.measure(wanted, runs, amqp_url, tell), out)


@app.command
def queries(*, messages: int = 1_000_000, people: int = 100_000, out: Path = RESULTS) -> int:
    """Milliseconds of each question that people ask of the read models, at so many messages and people.

    Each is asked twelve times unmeasured, then seven, on one database.
    """
    return measured(lambda tell: querying.measure(messages, people, tell), out)


@app.command
def plots(*, results: Path = RESULTS, out: Path = PICTURES) -> int:
    """Draw the newest result of each part as SVG."""
    for file in plotting.draw(results, out):
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))
