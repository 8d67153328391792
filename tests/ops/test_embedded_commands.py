"""What does a command say where the database is the data directory's own, and something is wrong with that?"""

import json

import pytest

from infrastructure.embedded_postgres import EmbeddedPostgres
from ops.cli import main


@pytest.fixture
def broken(data_dir, monkeypatch):
    """A data directory whose PostgreSQL can't start."""
    monkeypatch.setenv("NINEBELL_DATA_DIR", str(data_dir))
    with EmbeddedPostgres.start(data_dir, durable=False):
        pass
    (data_dir / "postgres" / "postgresql.auto.conf").write_text("shared_buffers = 'plenty'\n")


@pytest.mark.parametrize("command", ["audit", "up"])
@pytest.mark.usefixtures("broken")
def test_a_server_of_ones_own_that_does_not_start_is_not_reachable(capsys, command):
    assert main([command]) == 3
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("PostgreSQL did not start: ")


@pytest.mark.usefixtures("broken")
def test_doctor_prints_the_settings_and_what_keeps_the_server_down(data_dir, capsys):
    assert main(["doctor", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert {"name": "NINEBELL_DATA_DIR", "value": str(data_dir)} in told["settings"]
    (found,) = [finding for finding in told["findings"] if finding["verdict"] == "unreachable"]
    assert (found["what"], found["said"].partition(":")[0]) == ("database", "PostgreSQL did not start")
