"""On what does a fault strike? Every role a process of its own, real servers, and 5,000 messages due at one instant."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

import msgspec
from msgspec import Struct

from tests.chaos.database import Database
from tests.chaos.feeder import Feeder
from tests.chaos.outcomes import standing_in
from tests.chaos.provider import CHANNELS, DEDUPLICATES, TYPES, Behaviour
from tests.chaos.wire import LaidWire
from tests.chaos.wrong_clock import WrongClock
from tests.e2e.conftest import master_key
from tests.e2e.people import this_minute
from tests.e2e.processes import Program, Site, asked, until
from tests.servers import is_listening, make_broker

CROWD: Final = 5_000
ROLES: Final = ("api", "projections", "planner", "worker", "worker")  # and then the dispatchers
CALLS_AT_ONCE: Final = 4  # of a worker by a channel, so that the work lasts for some seconds
LOOK_SECONDS: Final = 0.1
LONGEST_SECONDS: Final = 120.0
LONGEST_RETRY: Final = timedelta(minutes=6)
"""Nobody waits longer for messages that are to be tried again."""
PROVIDER: Final = "tests.chaos.provider"

Tell = Callable[[str], None]


class Stage(Struct, frozen=True):
    """What is peculiar to the scene of a fault."""

    standing_by: tuple[str, ...] = ()  # roles that have a second process from the start
    brought_before: float = 0.5  # this share of the people is planned before anything is sent, the others are imported meanwhile
    own_clock: bool = False
    small_disk: bool = False  # the database's, in a file system of its own
    limit: str = ""  # of each provider, as the settings have it
    wired: bool = False  # the workers talk to the broker over a wire
    due_before: timedelta = timedelta()  # how long ago all was due
    dispatchers: tuple[tuple[str, ...], ...] = ((),)  # the options of each


class Scene:
    """Entered, everything runs; at the end, nothing does."""

    def __init__(self, home: Path, stage: Stage, dice: random.Random, tell: Tell) -> None:
        self.stage, self.dice, self._tell = stage, dice, tell
        self.notes: list[str] = []
        self.programs: list[Program] = []
        self.began = self.ended = datetime.max.replace(tzinfo=UTC)
        self._taken = 0
        self._held = ExitStack()
        self.broker = make_broker()
        self.wire = LaidWire(self.broker.url)
        self.clock = WrongClock(home)
        clock: Mapping[str, str] = self.clock.environment if stage.own_clock else {}
        self.database = Database(home / "database", clock, small_disk=stage.small_disk)
        self.site = Site(home, AMQP_URL=self.broker.url, NINEBELL_MASTER_KEY=master_key(), **clock)
        self.site.data_dir.mkdir()
        self.calls_file = self.site.data_dir / "calls.jsonl"
        self.due_at = this_minute() - stage.due_before
        self.feeder = Feeder(self.site, CROWD, self.due_at)

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self._held.close)
            self._start()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def _start(self) -> None:
        self._tell("starting everything")
        self._held.callback(self.broker.close)
        with ThreadPoolExecutor(1) as aside:
            broker_up = aside.submit(self.broker.start)
            self._held.callback(self.database.close)
            self.database.start()
            self._configure()
            self._held.enter_context(self.wire)
            self._held.enter_context(self.site)
            self.start_provider()
            for role in (*ROLES, *self.stage.standing_by):
                self.start(role)
            broker_up.result()
        for program in self.programs:
            program.says("running:")
        self.site.ready(self.one("api"))
        self._tell("importing people")
        self.feeder.bring(self.stage.brought_before)
        self.site.until_caught_up()
        for options in self.stage.dispatchers:
            self.start("dispatcher", *options).says("running:")
        self._held.enter_context(self.feeder)

    def _configure(self) -> None:
        settings = self.site.data_dir.parent / "settings.toml"
        settings.write_text(
            "".join(
                f'[channels.{name}]\nkind = "http"\nurl = "http://127.0.0.1:{self.site.sink_port}/{name}"\n'
                f"idempotent = {str(name == DEDUPLICATES).lower()}\nconcurrency = {CALLS_AT_ONCE}\n{self.stage.limit}\n"
                for name in CHANNELS
            )
            + "".join(f'[types.{type_}]\nchannels = ["{channel}"]\n' for type_, channel in TYPES.items())
        )
        self.site.environment |= {"DATABASE_URL": self.database.dsn, "NINEBELL_CONFIG": str(settings)}

    # what there is

    def start(self, role: str, *options: str) -> Program:
        """Another process of this role."""
        by_wire = {"AMQP_URL": self.wire.url} if self.stage.wired and role == "worker" else {}
        program = self.site.start("run", role, *options, **by_wire)
        self.programs.append(program)
        return program

    def all(self, role: str) -> list[Program]:
        return [program for program in self.programs if program.words[1] == role]

    def one(self, role: str) -> Program:
        """Any of them, by the dice."""
        return self.dice.choice(self.all(role))

    def leader(self, role: str) -> Program:
        """The one that leads, the others stand by."""
        return next(program for program in self.all(role) if "leading in epoch" in program.logged)

    def kill(self, program: Program) -> None:
        """kill -9; whoever supervises it starts it again."""
        program.kill()
        self.programs.remove(program)

    def start_again(self, program: Program) -> Program:
        """What was killed, as its supervisor does."""
        return self.start(*program.words[1:])

    def start_provider(self) -> None:
        told = (str(self.site.sink_port), str(self.calls_file))
        self.provider = self.site.start(*told, module=PROVIDER, LD_PRELOAD="")
        until("the provider to listen", lambda: is_listening(self.site.sink_port))

    def behave(self, behaviour: Behaviour) -> None:
        """The provider, from now on."""
        asked(self.site.sink_port, "POST", "/behaviour", msgspec.json.encode(behaviour), {})

    # what goes on

    @contextmanager
    def stricken(self) -> Iterator[None]:
        """The fault begins and ends with the block."""
        self.began = datetime.now(UTC)
        self._tell("the fault has begun")
        yield
        self.ended = datetime.now(UTC)
        self._tell("the fault is over")

    def hold(self, seconds: float) -> None:
        """Leave everything as it is for so long."""
        over = time.monotonic() + seconds
        while (left := over - time.monotonic()) > 0:
            self._tell(f"{self.delivered()} of {CROWD} delivered, the fault lasts {left:.0f} s more")
            time.sleep(min(left, LOOK_SECONDS))

    def until_delivered(self, messages: int) -> None:
        """Once the provider has taken as many."""
        until("the provider to be called", self.delivered)
        until(f"{messages} messages delivered", lambda: self.delivered() >= messages, LONGEST_SECONDS)

    def until_settled(self, within: timedelta) -> bool:
        """Once every message has its outcome; False if that takes longer than it may."""
        while (standing := standing_in(self.database.dsn)).settled < CROWD:
            self.delivered()
            waits = [self.ended, self.feeder.fed_at or self.ended, *([standing.retry_at] if standing.retry_at else [])]
            if datetime.now(UTC) > min(max(waits), self.ended + LONGEST_RETRY) + within:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def delivered(self) -> int:
        """As the provider said when it was last asked and could answer."""
        with suppress(OSError):
            self._taken = asked(self.site.sink_port, "POST", "/stats", b"{}", {}).body["taken"]
        self._tell(f"{self._taken} of {CROWD} delivered")
        return self._taken
