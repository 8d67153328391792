"""Does the projections role build what was asked for, and say where it can't?"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import psycopg
import pytest

from infrastructure.partitions import ensure_partitions
from infrastructure.wanted_rebuilds import PostgresWantedRebuilds
from ops.run_projections import run_projections
from ops.running import Stop
from ops.wiring import Parts
from projections.message_log import MESSAGE_LOG
from tests.contract.test_projector import NOW, messages, rows, tell
from tests.domain.message_stories import REQUESTED, SENT
from tests.ops.test_watching import parts
from tests.servers import wait_until

__all__ = ["parts"]


@contextmanager
def the_role(parts: Parts) -> Iterator[PostgresWantedRebuilds]:
    stop = Stop()
    role = Thread(target=run_projections, args=(parts, stop))
    role.start()
    try:
        yield PostgresWantedRebuilds(parts.database)
    finally:
        stop.set()
        role.join()


@pytest.fixture
def lived(parts: Parts) -> Parts:
    with parts.database.connect() as connection:
        ensure_partitions(connection, NOW.date(), NOW.date())
    tell(parts.store, "messages", *messages(1, 20, REQUESTED, SENT))
    parts.projectors["message_log"].step()
    return parts


def test_what_is_wanted_is_built_and_swapped_in(lived: Parts) -> None:
    right = rows(lived.store, MESSAGE_LOG)
    with psycopg.connect(lived.installation.dsn) as connection:
        connection.execute("UPDATE ninebell.message_log SET reason = 'operator'")
    with the_role(lived) as wanted:
        assert wanted.want("message_log", "key:default", NOW)
        wait_until(lambda: not wanted.all(), None, "the rebuild")
    assert rows(lived.store, MESSAGE_LOG) == right
    assert [beside.side for beside in lived.followers.beside()] == ["previous"]


def test_what_cannot_be_built_is_refused_and_the_live_one_stays(lived: Parts) -> None:
    right = rows(lived.store, MESSAGE_LOG)
    with psycopg.connect(lived.installation.dsn) as connection:
        connection.execute(
            "INSERT INTO ninebell.archived_months VALUES ('2020-01-01', '/nowhere', 'gone.gz', '', 1, 1, 1, 1, now())"
        )
    with the_role(lived) as wanted:
        assert wanted.want("message_log", "key:default", NOW)
        wait_until(lambda: wanted.all()[0].state == "refused", None, "the refusal")
        assert wanted.all()[0].why == "2020-01 was archived, and /nowhere/gone.gz is not there"
        assert wanted.next([MESSAGE_LOG]) is None
    assert rows(lived.store, MESSAGE_LOG) == right
