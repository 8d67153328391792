"""What every test of a read model starts from."""

from collections.abc import Callable, Iterator

import pytest

from infrastructure.database import Database
from projections.projection import Cursor, Projection
from tests.projections.telling import ReadModel, ready


@pytest.fixture
def opened(database: str) -> Iterator[Database]:
    with ready(database) as opened:
        yield opened


@pytest.fixture
def read_model(opened: Database) -> Callable[[Projection], ReadModel]:
    return lambda projection: ReadModel(opened, projection)


@pytest.fixture
def cursor(opened: Database) -> Iterator[Cursor]:
    """For queries, each in a transaction of its own."""
    with opened.connect() as connection, connection.cursor(binary=True) as cursor:
        yield cursor
