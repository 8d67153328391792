"""Where the calendar's stories are told: as the planner's, in memory and on PostgreSQL."""

from tests.application.conftest import scene, shared_postgres

__all__ = ["scene", "shared_postgres"]
