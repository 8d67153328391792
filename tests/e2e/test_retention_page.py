"""Does every command on docs/retention.md run as it stands there?"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from tests.architecture.test_documents import SHELL_BLOCK
from tests.e2e.people import person, this_minute
from tests.e2e.processes import ROOT
from tests.e2e.test_erasure_report import ADA, ZONE, caught_up, long_ago

pytestmark = pytest.mark.timeout(180)

PAGE = (ROOT / "docs" / "retention.md").read_text()


def test_every_command_on_the_page_runs(embedded):
    embedded.start("up").says("Ninebell is up")
    ada = UUID(embedded.ask("POST", "/v1/users", person(this_minute(), ZONE) | ADA).body["id"])
    month = long_ago(embedded, ada)
    assert embedded.ask("DELETE", f"/v1/users/{ada}").status == 204
    caught_up(embedded)
    here = {
        "2025-01-01": str((month + timedelta(days=31)).replace(day=1)),
        "2024-12": f"{month:%Y-%m}",
        ".ninebell": str(embedded.data_dir),
        "0192f7b0-2222-7222-8222-222222222222": str(ada),
    }
    script = "".join(SHELL_BLOCK.findall(PAGE))
    assert script.count("ninebell ") == 4
    for told, really in here.items():
        assert told in script
        script = script.replace(told, really)
    path = os.pathsep.join((str(Path(sys.executable).parent), embedded.environment["PATH"]))
    run = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=ROOT,
        env=embedded.environment | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    for said in (
        "would be dropped: 1 messages, 2 events",
        "dropped: 1 messages, 2 events, /",
        "restored, 2 events",
        "Nothing is left.",
    ):
        assert said in run.stdout
