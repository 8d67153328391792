"""What does a role that goes on after a failure say about it?"""

from __future__ import annotations

from structlog.testing import capture_logs

from application.ports import StoreUnavailable
from ops.running import Pause


def test_a_failure_among_several_tasks_is_named_itself():
    with capture_logs() as logs:
        Pause("worker").after(ExceptionGroup("unhandled errors", [ExceptionGroup("inner", [ValueError("secret")])]))
        Pause("worker").after(ExceptionGroup("unhandled errors", [StoreUnavailable("OperationalError")]))
    assert [log["event"] for log in logs] == ["failed", "waiting"]
    assert logs[0]["error"] == "ValueError"
    assert logs[1]["missing"] == "database"
    assert "secret" not in str(logs)
