"""What every test of a read model starts from."""

import os
from collections.abc import Callable, Iterator

import pytest

from infrastructure.database import Database
from projections.projection import Cursor, Projection
from tests.projections.telling import ReadModel, ready
from tests.servers import create_database, drop_database


@pytest.fixture(scope="session")
def opened(postgres_dsn: str) -> Iterator[Database]:
    """One database for all of these tests: each makes its read model's tables anew."""
    name = f"test_read_models_{os.getpid()}"
    with ready(create_database(postgres_dsn, name)) as opened:
        yield opened
    drop_database(postgres_dsn, name)


@pytest.fixture
def read_model(opened: Database) -> Callable[[Projection], ReadModel]:
    return lambda projection: ReadModel(opened, projection)


@pytest.fixture
def cursor(opened: Database) -> Iterator[Cursor]:
    """For queries, each in a transaction of its own."""
    with opened.connect() as connection, connection.cursor(binary=True) as cursor:
        yield cursor
