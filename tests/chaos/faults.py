"""Every fault by its name: what breaks, how it comes back, and what holds then."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from msgspec import Struct

from tests.chaos import strikes, wrong_clock
from tests.chaos.in_append import stop_before_answer
from tests.chaos.judge import Promise
from tests.chaos.provider import Behaviour
from tests.chaos.scene import Scene, Stage


class Fault(Struct, frozen=True):
    does: str
    strike: Callable[[Scene], None]
    promise: Promise = Promise()
    stage: Stage = Stage()
    hindrance: Callable[[], str] = lambda: ""
    """Why it can't be tried here, if so."""


IN_A_NAMESPACE: Final = ("unshare", "--mount", "--propagation", "private")
CLAIMED: Final = Promise(doubt="claimed")
FAILING_SECONDS: Final = 8.0
HANGING_SECONDS: Final = 15.0  # longer than a call may take
PAST_THE_LEASE_SECONDS: Final = 25.0
PAST_A_LEADER_SECONDS: Final = 20.0  # a silent leader's standby takes over after 15
TWO_HOURS: Final = timedelta(hours=2)
# Due for longer than the step: what is due stays so whichever way it goes.
CLOCKED: Final = Stage(own_clock=True, due_before=timedelta(hours=2, minutes=10), limit='rate = {calls = 500, per = "1s"}')
CLOCK: Final = Promise(within=timedelta(seconds=120))
PAST_RECOVERY_SECONDS: Final = 35.0  # longer than lease and call time-out: others have taken over by then


def no_namespace() -> str:
    """Why no disk of its own can be mounted here."""
    tried = subprocess.run([*IN_A_NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "needs the right to mount a file system in a namespace of its own (root)"


FAULTS: Final[dict[str, Fault]] = {
    "worker-killed": Fault("kill -9 of one of two workers, started again", strikes.killed("worker"), CLAIMED),
    "dispatcher-killed": Fault("kill -9 of the dispatcher, started again", strikes.killed("dispatcher")),
    "planner-killed": Fault("kill -9 of the planner, started again", strikes.killed("planner")),
    "projections-killed": Fault("kill -9 of the projections, started again", strikes.killed("projections")),
    "api-killed": Fault("kill -9 of the API, started again", strikes.killed("api")),
    "two-killed": Fault("kill -9 of two processes at once, whichever, started again", strikes.two_killed, CLAIMED),
    "database-fast": Fault("PostgreSQL restarted in good order", strikes.database_restarted("fast")),
    "database-immediate": Fault(
        "PostgreSQL stopped at once, as by a crash, and started", strikes.database_restarted("immediate")
    ),
    "database-down": Fault("PostgreSQL down for 30 s", strikes.database_restarted("fast", 30)),
    "database-frozen": Fault(
        "PostgreSQL answers nobody for longer than a lease, while all connections stand",
        strikes.database_frozen(PAST_THE_LEASE_SECONDS),
    ),
    "broker-restarted": Fault("RabbitMQ restarted", strikes.broker_restarted()),
    "broker-down": Fault("RabbitMQ down for 30 s", strikes.broker_restarted(30)),
    "broker-wiped": Fault("RabbitMQ killed, its data directory wiped, started", strikes.broker_wiped),
    "provider-500": Fault("the provider answers 500", strikes.provider_is(Behaviour(status=500), FAILING_SECONDS)),
    "provider-429": Fault("the provider answers 429", strikes.provider_is(Behaviour(status=429), FAILING_SECONDS)),
    "provider-429-retry-after": Fault(
        "the provider answers 429 with Retry-After: 5",
        strikes.provider_is(Behaviour(status=429, retry_after="5"), FAILING_SECONDS),
    ),
    "provider-hangs": Fault(
        "the provider reads calls, and neither takes nor answers them",
        strikes.provider_is(Behaviour(takes=False, answers="never"), HANGING_SECONDS),
        CLAIMED,
    ),
    "provider-cuts": Fault(
        "the provider takes messages and cuts the connection",
        strikes.provider_is(Behaviour(answers="cut"), FAILING_SECONDS),
        CLAIMED,
    ),
    "provider-silent": Fault(
        "the provider takes messages and never answers", strikes.provider_is(Behaviour(answers="never"), HANGING_SECONDS), CLAIMED
    ),
    "provider-slow": Fault("the provider takes ten times as long", strikes.provider_is(Behaviour(delay_ms=200), HANGING_SECONDS)),
    "provider-down": Fault("the provider is killed and away for 60 s", strikes.provider_down(60), CLAIMED),
    "worker-frozen": Fault(
        "SIGSTOP of one of two workers until others have taken over, then SIGCONT",
        strikes.frozen("worker", PAST_RECOVERY_SECONDS),
        CLAIMED,
    ),
    "broker-connections-frozen": Fault(
        "the workers' connections to RabbitMQ go silent for ever, and nobody is told",
        strikes.broker_connections_frozen,
        stage=Stage(wired=True),
    ),
    "worker-frozen-in-append": Fault(
        "SIGSTOP of a worker that has not heard that its append has landed, for 35 s",
        strikes.frozen_in_append("worker", PAST_RECOVERY_SECONDS, stop_before_answer),
        CLAIMED,
    ),
    "dispatcher-frozen-in-append": Fault(
        "SIGSTOP of the dispatcher that leads while it holds a log's lock, for 20 s; another stands by",
        strikes.frozen_in_append("dispatcher", PAST_A_LEADER_SECONDS),
        stage=Stage(standing_by=("dispatcher",)),
    ),
    "region-dispatcher-killed": Fault(
        "kill -9 of one of two dispatchers that lead regions of their own, started again",
        strikes.killed("dispatcher"),
        stage=Stage(dispatchers=(("--regions", "asia,oceania"), ("--regions", "americas,europe,africa"))),
    ),
    "region-dispatcher-frozen-in-append": Fault(
        "SIGSTOP of one of two dispatchers, which may both lead Europe, while it holds a log's lock, for 20 s",
        strikes.frozen_in_append("dispatcher", PAST_A_LEADER_SECONDS),
        stage=Stage(dispatchers=(("--regions", "asia,oceania,europe"), ("--regions", "europe,americas,africa"))),
    ),
    "planner-frozen-in-append": Fault(
        "SIGSTOP of the planner that leads while it holds a log's lock, for 20 s; another stands by",
        strikes.frozen_in_append("planner", PAST_A_LEADER_SECONDS),
        stage=Stage(standing_by=("planner",)),
    ),
    "api-frozen-in-append": Fault(
        "SIGSTOP of the API while it holds a log's lock, for 20 s", strikes.frozen_in_append("api", PAST_A_LEADER_SECONDS)
    ),
    "projections-frozen": Fault(
        "SIGSTOP of the projections, which append nothing, for 20 s", strikes.frozen("projections", PAST_A_LEADER_SECONDS)
    ),
    "database-disk-full": Fault(
        "not a byte is left on the database's disk for 15 s",
        strikes.database_disk_full(15),
        stage=Stage(small_disk=True),
        hindrance=no_namespace,
    ),
    "clock-ahead": Fault(
        "the wall clock of our processes and the database's is put 2 h ahead",
        strikes.clock_stepped(TWO_HOURS),
        CLOCK,
        CLOCKED,
        wrong_clock.hindrance,
    ),
    "clock-back": Fault(
        "the wall clock of our processes and the database's is put 2 h back",
        strikes.clock_stepped(-TWO_HOURS),
        CLOCK,
        CLOCKED,
        wrong_clock.hindrance,
    ),
    "restored-backup": Fault(
        "the database is lost and put back from a backup 500 messages old; `ninebell recover --restored-to`",
        strikes.restored_backup,
        Promise(doubt="restored"),
        Stage(brought_before=1.0),
    ),
    "two-of-each": Fault("a second dispatcher and a second planner are started", strikes.joined_by("dispatcher", "planner")),
}
