"""Which fixtures does every test have: a real PostgreSQL, a database of its own, a real RabbitMQ?"""

from __future__ import annotations

import os
from contextlib import closing
from datetime import date
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from infrastructure.database import Database
from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.partitions import ensure_partitions
from infrastructure.schema import migrate
from tests.servers import Broker, broker_kind, create_database, drop_database, make_broker, memory_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE_NUMBERS = count()
GIVEN = {"DATABASE_URL": "TESTS_DATABASE_URL", "AMQP_URL": "TESTS_AMQP_URL"}


def pytest_configure() -> None:
    """What names the tests' servers is no setting of what is tested, nor is what somebody has set for a Ninebell of their own.

    The workers of this run, processes that begin with this environment, find the servers under the other names.
    """
    for name in [name for name in os.environ if name in GIVEN or name.startswith("NINEBELL_")]:
        value = os.environ.pop(name)
        if name in GIVEN:
            os.environ[GIVEN[name]] = value


def pytest_report_header() -> list[str]:
    """Name the servers, so that a red run says what it ran against."""
    postgres = "DATABASE_URL" if os.environ.get(GIVEN["DATABASE_URL"]) else "PostgreSQL 18 from the wheel"
    kinds = {"docker": "Docker", "": "none"}
    broker = "AMQP_URL" if os.environ.get(GIVEN["AMQP_URL"]) else kinds.get(broker_kind(), f"a node from {broker_kind()}")
    return [f"database: {postgres}", f"broker: {broker}"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take longest comes first: begun last, it would be waited for while the other workers have nothing left."""
    items.sort(key=lambda item: -seconds_allowed(item))


def seconds_allowed(item: pytest.Item) -> float:
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0] if mark else item.config.getini("timeout"))


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """A server on which databases may be created: DATABASE_URL, else one of this run's own."""
    if given := os.environ.get(GIVEN["DATABASE_URL"]):
        yield given
        return
    with (
        TemporaryDirectory(prefix="ninebell-", dir=memory_disk()) as directory,
        EmbeddedPostgres.start(directory, durable=False) as postgres,
    ):
        yield postgres.dsn


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory for a server's data.

    Not under pytest's own, which every run of pytest closes to all but its owner: as root, PostgreSQL runs as someone else.
    """
    with TemporaryDirectory(prefix="ninebell-") as directory:
        yield Path(directory)


@pytest.fixture
def database(postgres_dsn: str) -> Iterator[str]:
    """An empty database of the test's own, as a DSN."""
    name = f"test_{os.getpid()}_{next(DATABASE_NUMBERS)}"
    yield create_database(postgres_dsn, name)
    drop_database(postgres_dsn, name)


@pytest.fixture(scope="session")
def migrated_template(postgres_dsn: str) -> Iterator[str]:
    """Name of a database with our tables and nothing in them, to be copied."""
    name = f"template_{os.getpid()}"
    migrate(create_database(postgres_dsn, name))
    yield name
    drop_database(postgres_dsn, name)


@pytest.fixture(scope="session")
def months_template(postgres_dsn: str, migrated_template: str) -> Iterator[str]:
    """The same, with room for messages of the months that stories tell of."""
    name = f"months_{os.getpid()}"
    dsn = create_database(postgres_dsn, name, migrated_template)
    with Database(dsn, application_name="test", size=1) as database, database.connect() as connection:
        ensure_partitions(connection, date(2026, 12, 1), date(2028, 6, 1))
    yield name
    drop_database(postgres_dsn, name)


@pytest.fixture
def database_with_months(postgres_dsn: str, months_template: str) -> Iterator[str]:
    """A database of the test's own with our tables, and partitions from December 2026 to June 2028, as a DSN."""
    name = f"test_{os.getpid()}_{next(DATABASE_NUMBERS)}"
    yield create_database(postgres_dsn, name, months_template)
    drop_database(postgres_dsn, name)


@pytest.fixture
def migrated_database(postgres_dsn: str, migrated_template: str) -> Iterator[str]:
    """A database of the test's own with our tables, as a DSN."""
    name = f"test_{os.getpid()}_{next(DATABASE_NUMBERS)}"
    yield create_database(postgres_dsn, name, migrated_template)
    drop_database(postgres_dsn, name)


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """A broker of this run's own. What one test leaves in the queues of our processes, the next ones' workers drop."""
    with closing(broker_or_fail()) as broker:
        broker.start()
        yield broker


@pytest.fixture(scope="session")
def amqp_url(request: pytest.FixtureRequest) -> str:
    """A broker shared by all tests: AMQP_URL, else this run's own. Tests keep apart by their own exchanges and queues."""
    return os.environ.get(GIVEN["AMQP_URL"]) or str(request.getfixturevalue("broker").url)


@pytest.fixture
def rabbit_node() -> Iterator[Broker]:
    """A started broker of the test's own, to be stopped, killed and wiped."""
    with closing(broker_or_fail()) as broker:
        broker.start()
        yield broker


def broker_or_fail() -> Broker:
    """A missing broker fails a test and never skips it: the promise is made on a real one."""
    try:
        return make_broker()
    except LookupError as error:
        pytest.fail(str(error), pytrace=False)
