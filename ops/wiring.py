"""Composition root: with `ops/worker_wiring.py` it names the concrete classes. Built plainly, top to bottom, on no network."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, partial
from threading import Event
from types import TracebackType
from typing import Final, Self

from psycopg.errors import UndefinedColumn, UndefinedTable

from api.service import Service
from application.address_cap import KEPT
from application.channel_plan import ChannelPlan
from application.delivery_ports import Bus
from application.dispatch_messages import Dispatcher
from application.edit_templates import EditTemplates
from application.plan_messages import Ahead, Planner, horizon
from application.planner_ports import PlannerWork
from application.ports import Begin, StoreUnavailable
from application.publish_dispatches import Publisher
from application.recover_deliveries import Recovery
from application.repeat_doubt import RepeatDoubt
from application.retry_parked import RetryParked
from domain.message_type import MessageTypes
from infrastructure.addresses_written_to import PostgresAddresses
from infrastructure.api_keys import ApiKeys
from infrastructure.clock import DatabaseClock, id_of_now
from infrastructure.database import Database
from infrastructure.derivation_tables import moved_by_tzdata
from infrastructure.dispatcher_tables import PostgresDispatcherWork
from infrastructure.event_store import PostgresEventStore
from infrastructure.filling import Filling, Watch
from infrastructure.followers import Followers
from infrastructure.import_staging import PostgresStaging
from infrastructure.in_process_bus import InProcessBus
from infrastructure.keyring import Keyring
from infrastructure.leader import Leadership
from infrastructure.liquid_text import compile_text
from infrastructure.notifications import Announcer, Wakeups
from infrastructure.partitions import ensure_partitions
from infrastructure.planner_tables import PostgresPlannerWork
from infrastructure.projector import NewerTables, Projector
from infrastructure.rabbitmq import RabbitBus
from infrastructure.read_model_rebuild import Rebuild
from infrastructure.region_leaders import Term
from infrastructure.schema import migrate
from infrastructure.shared_tail import PAGE, SharedTail
from infrastructure.story_search import PostgresStories
from infrastructure.template_tables import PostgresTemplates
from infrastructure.user_sealer import UserSealer
from infrastructure.wanted_rebuilds import PostgresWantedRebuilds
from infrastructure.watchdog import Watchdog
from infrastructure.work import begin_work
from ops.installation import Installation
from ops.message_types import message_types
from ops.plugins import registered
from ops.settings import Settings
from projections.message_log import MESSAGE_LOG
from projections.projection import Cursor, Sealer
from projections.registry import PROJECTIONS

MONTHS_AHEAD: Final = timedelta(days=40)
MONTHS_BEHIND: Final = timedelta(days=400)
IDS_KEPT: Final = timedelta(days=400)
POOL_SIZE: Final = 24


@dataclass(frozen=True)
class Parts:
    """Everything a process of Ninebell is made of, whichever roles it has."""

    settings: Settings
    installation: Installation
    database: Database
    keyring: Keyring
    announcer: Announcer
    wakeups: Wakeups
    watchdog: Watchdog
    store: PostgresEventStore
    followers: Followers
    projectors: dict[str, Projector]
    types: MessageTypes
    channels: ChannelPlan
    bus: Bus
    alone: bool  # no other process runs a leader's role
    api_keys: ApiKeys
    held: ExitStack
    prepared: Event

    @cached_property
    def clock(self) -> DatabaseClock:
        """Raises StoreUnavailable until the database has answered once."""
        return DatabaseClock(partial(_database_time, self.database))

    def __enter__(self) -> Self:
        self.held.enter_context(self.announcer)
        self.held.callback(self.wakeups.stop)
        self.held.enter_context(self.watchdog)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.held.close()


def build(settings: Settings, installation: Installation, *, name: str, alone: bool = False) -> Parts:
    """The parts of one process; `name` is how PostgreSQL shows it. Nothing is connected yet.

    Raises WrongSettings for message types that can't be used.
    """
    types, held = message_types(settings), ExitStack()
    held.enter_context(registered(types))
    database = Database(installation.dsn, application_name=f"ninebell {name}", size=POOL_SIZE)
    keyring = Keyring(installation.master_key)
    announcer = Announcer(database)
    store = PostgresEventStore(database, keyring, announcer=announcer)
    return Parts(
        settings=settings,
        installation=installation,
        database=database,
        keyring=keyring,
        announcer=announcer,
        wakeups=Wakeups(database),
        watchdog=Watchdog(database),
        store=store,
        followers=Followers(store),
        projectors=_projectors(store),
        types=types,
        channels=channel_plan(settings),
        bus=RabbitBus(settings.amqp_url.get_secret_value()) if settings.amqp_url else InProcessBus(),
        alone=alone,
        api_keys=ApiKeys(database),
        held=held,
        prepared=Event(),
    )


def prepare(parts: Parts, *, any_version: bool = False) -> None:
    """Bring the database up to date: schema, master key, months, read models. Again is harmless.

    With `any_version`, newer read models are left alone.

    Raises StoreUnavailable, RightsMissing, SchemaTooNew, WrongMasterKey, NewerTables.
    """
    migrate(parts.installation.dsn)
    parts.database.open()
    with parts.database.transaction() as cursor:
        parts.keyring.claim(cursor)
    for projector in parts.projectors.values():
        with suppress(*(NewerTables,) if any_version else ()):
            projector.prepare()
    ensure_months(parts, parts.clock.now())
    parts.prepared.set()


def first_key(parts: Parts) -> str | None:
    """See that there is an API key: for whoever shows it, as one that is made is returned this once. Raises StoreUnavailable."""
    given = parts.settings.api_key
    return parts.api_keys.ensure_key(given.get_secret_value() if given else None)


def ensure_months(parts: Parts, now: datetime) -> None:
    """Room for every month that is planned, or may still be: in the messages log, and ahead in the read models.

    Raises StoreUnavailable.
    """
    last = horizon(now + MONTHS_AHEAD)
    with parts.database.connect() as connection:
        ensure_partitions(connection, (now - MONTHS_BEHIND).date(), last)
    for projector in parts.projectors.values():
        projector.make_months(now.date(), last)


def forget_old(parts: Parts, now: datetime) -> None:
    """Drop the places at addresses that count no more, and callers' IDs of long ago. Raises StoreUnavailable."""
    PostgresAddresses(parts.database, parts.keyring).forget((now - KEPT).date())
    PostgresStories(parts.database).forget(now - IDS_KEPT)


def service(parts: Parts, ready: Callable[[], Sequence[str]]) -> Service:
    """What the HTTP routes need."""
    return Service(
        store=parts.store,
        clock=_ClockOf(parts),
        types=parts.types,
        channels=parts.channels,
        reading=partial(reading, parts.keyring, parts.database),
        followers=parts.followers,
        keys=parts.api_keys,
        staging=partial(PostgresStaging, parts.store),
        planning=planning(parts),
        templates=edit_templates(parts),
        rebuilds=PostgresWantedRebuilds(parts.database),
        ready=ready,
        moved_by_tzdata=partial(moved_by_tzdata, parts.database),
        note_caller_id=PostgresStories(parts.database).note,
    )


def planning(parts: Parts) -> Begin[PlannerWork]:
    """For operators, beside the planner: its rows' locks keep them apart."""
    return partial(begin_work, parts.store, PostgresPlannerWork, "operator", None)


def edit_templates(parts: Parts) -> EditTemplates:
    return EditTemplates(PostgresTemplates(parts.database), parts.types, compile_text)


class _ClockOf:
    """The clock of parts whose database may not have answered yet."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def now(self) -> datetime:
        return self._parts.clock.now()

    def steady(self) -> bool:
        return self._parts.clock.steady()


@contextmanager
def reading(keyring: Keyring, database: Database) -> Iterator[tuple[Cursor, Sealer]]:
    """Raises StoreUnavailable, also while the tables are those of an earlier version, until this one is built beside them."""
    try:
        with database.transaction() as cursor:
            yield cursor, UserSealer(keyring, cursor)
    except (UndefinedColumn, UndefinedTable) as error:
        raise StoreUnavailable("read models of another version") from error


def planner(parts: Parts, guard: Callable[[], Leadership | None], ahead: Ahead) -> Planner:
    return Planner(lambda: begin_work(parts.store, PostgresPlannerWork, "planner", guard()), parts.types, ahead)


def dispatcher(parts: Parts, term: Term) -> Dispatcher:
    return Dispatcher(of_dispatcher(parts, "dispatcher", term), parts.types, parts.channels, partial(id_of_now, parts.clock))


def publisher(parts: Parts, term: Term) -> Publisher:
    begin = of_dispatcher(parts, "publisher", term)
    return Publisher(begin, parts.bus, bus_starts_empty=parts.settings.amqp_url is None)


def recovery(parts: Parts, term: Term) -> Recovery:
    return Recovery(
        of_dispatcher(parts, "recovery", term),
        parts.types,
        parts.channels,
        partial(id_of_now, parts.clock),
        lease_seconds=parts.settings.lease_seconds,
        call_timeout_seconds=parts.channels.longest_call_seconds,
    )


def retry_parked(parts: Parts, term: Term) -> RetryParked:
    return RetryParked(of_dispatcher(parts, "dispatcher", term), parts.types, parts.channels)


def repeat_doubt(parts: Parts, term: Term) -> RepeatDoubt:
    return RepeatDoubt(of_dispatcher(parts, "doubt", term), parts.types, parts.channels, partial(id_of_now, parts.clock))


def rebuild_of(parts: Parts, name: str, stop: Event, watch: Watch, processes: int | None = None) -> Rebuild:
    filling = Filling(parts.installation.dsn, parts.installation.master_key, processes)
    return Rebuild(parts.store, filling, parts.projectors[name].projection, stop, watch)


def channel_plan(settings: Settings) -> ChannelPlan:
    by_type = {name: said.channels for name, said in settings.types.items() if said.channels}
    return ChannelPlan([channel.traits for channel in settings.channels_in_use], by_type)


def of_dispatcher(parts: Parts, follower: str, term: Term) -> Begin[PostgresDispatcherWork]:
    """Works of one of the dispatcher's followers, in the regions led."""
    kind = partial(PostgresDispatcherWork, regions=term.regions)
    # The dispatcher remembers that it has brought its rows in line with the settings: a crash must not take that.
    return lambda: begin_work(parts.store, kind, follower, term.guard(), comes_again=follower != "dispatcher")


def _projectors(store: PostgresEventStore) -> dict[str, Projector]:
    tail = SharedTail(store, "messages", MESSAGE_LOG.kinds)
    return {
        name: Projector(store, projection, tail=tail, batch=PAGE)
        if projection.log == "messages"
        else Projector(store, projection)
        for name, projection in PROJECTIONS.items()
    }


def _database_time(database: Database) -> datetime:
    with database.connect() as connection:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment
