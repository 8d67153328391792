"""Servers and installations for processes that are killed."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

import pytest

from infrastructure.embedded_postgres import EmbeddedPostgres
from tests.e2e.processes import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Broker


@pytest.fixture
def embedded(data_dir: Path) -> Iterator[Site]:
    """An installation on its own PostgreSQL, which has not been started yet."""
    try:
        with Site(data_dir) as site:
            yield site
    finally:
        if (site.data_dir / "postgres").exists():
            EmbeddedPostgres.start(site.data_dir, guest=True).stop()  # left over where its owner was killed


@pytest.fixture
def apart(data_dir: Path, database: str, broker: Broker) -> Iterator[Site]:
    """An installation for processes of one role each, on a PostgreSQL and a RabbitMQ that others run."""
    settings = {"DATABASE_URL": database, "AMQP_URL": broker.url, "NINEBELL_MASTER_KEY": master_key()}
    with Site(data_dir, **settings) as site:
        yield site


def master_key() -> str:
    """One that there was not before."""
    return base64.b64encode(secrets.token_bytes(32)).decode()
