"""Where the planner's stories are told: in memory, and on PostgreSQL."""

import os
from collections.abc import Iterator

import pytest

from tests.fakes import PlannerMemory
from tests.planner_scene import MemoryScene, PostgresScene, Scene, postgres_scene
from tests.servers import create_database, drop_database


@pytest.fixture(scope="module")
def shared_postgres(postgres_dsn: str, months_template: str) -> Iterator[PostgresScene]:
    name = f"planner_stories_{os.getpid()}"
    dsn = create_database(postgres_dsn, name, months_template)
    with postgres_scene(dsn, patient=True) as scene:
        yield scene
    drop_database(postgres_dsn, name)


@pytest.fixture(params=["memory", "postgres"])
def scene(request: pytest.FixtureRequest) -> Scene:
    if request.param == "memory":
        return MemoryScene(PlannerMemory())
    shared: PostgresScene = request.getfixturevalue("shared_postgres")
    return shared
