"""What does a command say where the database is the data directory's own, and something is wrong with that?"""

import json

import pytest

from infrastructure.embedded_postgres import EmbeddedPostgres
from ops.cli import main


@pytest.fixture(autouse=True)
def _at_home(data_dir, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("NINEBELL_DATA_DIR", str(data_dir))
    for setting in ("NINEBELL_LISTEN", "NINEBELL_SINK_LISTEN"):
        monkeypatch.setenv(setting, "127.0.0.1:0")


@pytest.fixture
def broken(data_dir):
    """A data directory whose PostgreSQL can't start."""
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


@pytest.fixture
def own(data_dir):
    """The master key of a data directory on which one person is registered."""
    people = data_dir / "people.csv"
    people.write_text("external_id,first_name,email,timezone\nada,Ada,ada@example.com,Etc/UTC\n")
    assert main(["import", str(people)]) == 0
    return data_dir / "master.key"


def test_without_the_master_key_that_its_users_are_sealed_under_nothing_starts_and_no_other_is_made(own, capsys):
    own.rename(own.with_name("elsewhere"))
    capsys.readouterr()
    for command in ("audit", "up"):
        assert main([command]) == 2
        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith(f"{own} is not there")
        assert not own.exists()
    own.with_name("elsewhere").rename(own)
    assert main(["audit"]) == 0


def test_a_master_key_cut_short_is_told(own, capsys):
    own.write_bytes(own.read_bytes()[:7])
    capsys.readouterr()
    assert main(["audit"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"{own} must have 32 bytes, not 7")
