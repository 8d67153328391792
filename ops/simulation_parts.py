"""What is a simulated Ninebell made of? The real parts on a clock that is put, a recording channel, a throw-away database."""

import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from msgspec import Struct
from psycopg import Cursor

from application.address_cap import AddressCap
from application.channel_gate import OpenGate
from application.channel_plan import ChannelPlan, ChannelTraits
from application.deliver_messages import Deliverer
from application.delivery_ports import Accepted, Ambiguous, Answer, Letter, NotAccepted, SendCommand
from application.dispatch_messages import Dispatcher
from application.plan_messages import Planner, horizon
from application.ports import Appended, Group, Origin
from domain.dispatch import DispatchRequested
from domain.message_type import MessageTypes
from infrastructure.clock import SimulatedClock
from infrastructure.database import Database, Row
from infrastructure.dispatcher_tables import PostgresDispatcherWork
from infrastructure.event_store import PostgresEventStore
from infrastructure.keyring import KEY_BYTES, Keyring
from infrastructure.notifications import Announcer
from infrastructure.partitions import ensure_partitions
from infrastructure.planner_tables import PostgresPlannerWork
from infrastructure.schema import migrate
from infrastructure.work import begin_work
from ops.message_types import message_types
from ops.settings import Settings


class RecordingChannel:
    """Accepts every message, and keeps the keys of the calls."""

    name = "recorder"
    idempotent = True
    askable = False
    bulk = 1
    concurrency = 100
    call_timeout_seconds = 10.0

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def send(self, letter: Letter, *, key: str, repeat: bool) -> Answer:
        self.keys.append(key)
        return Accepted(200)

    async def send_bulk(self, letters: Sequence[Letter], *, key: str, repeat: bool) -> Mapping[UUID, Answer]:
        self.keys.append(key)
        return {letter.message_id: Accepted(200) for letter in letters}

    async def lookup(self, message_id: UUID) -> Accepted | NotAccepted | Ambiguous:
        return Ambiguous("not_askable")

    async def close(self) -> None:
        pass


class LivingWorker:
    """The lease of a worker that never stops."""

    worker = "simulated"

    def __init__(self, incarnation: UUID) -> None:
        self.incarnation = incarnation

    def may_call(self) -> bool:
        return True


class RequestingWork(PostgresDispatcherWork):
    """Remembers the dispatches that it requested."""

    def __init__(self, cursor: Cursor[Row], store: PostgresEventStore, follower: str) -> None:
        super().__init__(cursor, store, follower)
        self.requested: list[SendCommand] = []

    def append(self, groups: Sequence[Group], origin: Origin, now: datetime) -> Appended:
        appended = super().append(groups, origin, now)
        for index, group in enumerate(groups):
            for new in group.appends if index not in appended.lost else ():
                self.requested += [_command(new.stream_id, event) for event in new.events if isinstance(event, DispatchRequested)]
        return appended


def _command(dispatch_id: UUID, event: DispatchRequested) -> SendCommand:
    return SendCommand(dispatch_id, event.channel, event.region, event.message_ids)


class Outbox:
    """The shortest bus: what the dispatcher has committed, until the worker takes it."""

    def __init__(self, store: PostgresEventStore) -> None:
        self._store = store
        self._commands: list[SendCommand] = []

    @contextmanager
    def begin(self) -> Iterator[RequestingWork]:
        """A transaction of the dispatcher."""
        with begin_work(self._store, RequestingWork, "dispatcher", None) as work:
            yield work
        self._commands += work.requested

    def take(self) -> list[SendCommand]:
        """Everything that was put in since."""
        commands, self._commands = self._commands, []
        return commands


class Ids:
    """The same ones in every run."""

    def __init__(self) -> None:
        self._random: Final = random.Random(0)

    def __call__(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)


class Parts(Struct, frozen=True):
    """Everything the simulation moves."""

    clock: SimulatedClock
    database: Database
    store: PostgresEventStore
    types: MessageTypes
    new_id: Ids
    planner: Planner
    dispatcher: Dispatcher
    outbox: Outbox
    worker: Deliverer
    channel: RecordingChannel


@contextmanager
def simulated(settings: Settings, dsn: str, start: datetime, end: datetime) -> Iterator[Parts]:
    """A Ninebell on an empty database at the instant `start`, with room for messages up to `end`. Raises StoreUnavailable."""
    migrate(dsn)
    with Database(dsn, application_name="ninebell simulate", size=2, shared=False) as database:
        with database.connect() as connection:
            ensure_partitions(connection, start.date(), horizon(end))
        yield _parts(settings, database, start)


def _parts(settings: Settings, database: Database, start: datetime) -> Parts:
    types = message_types(settings)
    clock, channel, new_id = SimulatedClock(start), RecordingChannel(), Ids()
    keyring = Keyring(secrets.token_bytes(KEY_BYTES))
    # Nobody waits for an announcement: the announcer is never started.
    store = PostgresEventStore(database, keyring, announcer=Announcer(database))
    channels = ChannelPlan([ChannelTraits(channel.name, channel.idempotent, channel.askable, channel.concurrency)])
    chance = random.Random(0).random
    outbox = Outbox(store)
    return Parts(
        clock=clock,
        database=database,
        store=store,
        types=types,
        new_id=new_id,
        planner=Planner(partial(begin_work, store, PostgresPlannerWork, "planner", None), types),
        dispatcher=Dispatcher(outbox.begin, types, channels, new_id),
        outbox=outbox,
        worker=Deliverer(
            store,
            channel,
            types,
            clock,
            LivingWorker(new_id()),
            OpenGate(),
            chance,
            settings.only_to,
            cap=_cap(settings, database, keyring),
        ),
        channel=channel,
    )


def is_capped(settings: Settings) -> bool:
    """Whether what one person gets hangs on what another got."""
    return any(said.per_address_per_day is not None for said in settings.types.values())


def _cap(settings: Settings, database: Database, keyring: Keyring) -> AddressCap | None:
    if not is_capped(settings):
        return None
    from ops.worker_wiring import address_cap  # with it comes everything that a simulation does without

    return address_cap(settings, database, keyring)
