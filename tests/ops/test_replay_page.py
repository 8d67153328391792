"""Is what docs/replay.md says to do after a bug fix what works, command by command?"""

import re
import shlex
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace

from infrastructure.partitions import ensure_partitions
from ops.at_hand import at_hand
from ops.cli import main
from ops.settings import read_settings
from projections.message_log import MESSAGE_LOG
from projections.registry import PROJECTIONS
from tests.contract.test_projector import NOW, messages, tell
from tests.domain.message_stories import EXPIRED, REQUESTED, SENT, SUPPRESSED

PAGE = Path(__file__).parents[2] / "docs" / "replay.md"
COMMANDS = [
    line.strip() for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL) for line in block.strip().splitlines()
]
WRONG = {str(message) for message, _ in messages(11, 13)}


def wrongly(cursor, events, sealer):
    """A bug: what was suppressed is shown as done by an operator."""
    MESSAGE_LOG.project(cursor, events, sealer)
    cursor.execute("UPDATE message_log SET reason = 'operator' WHERE reason = 'suppressed'")


BEFORE = replace(MESSAGE_LOG, version=MESSAGE_LOG.version - 1, project=wrongly)


@pytest.fixture
def run(migrated_database, monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", migrated_database)
    monkeypatch.setenv("NINEBELL_MASTER_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")

    def command(line):
        capsys.readouterr()
        program, *arguments = shlex.split(line)
        assert program == "ninebell"
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def before(monkeypatch):
    """As if the Ninebell before the fix were called."""

    def as_before(*, yes=True):
        monkeypatch.setitem(PROJECTIONS, "message_log", BEFORE if yes else MESSAGE_LOG)

    return as_before


def test_every_command_after_a_bug_fix(run, before):
    commands = iter(COMMANDS)
    before()
    lived()
    before(yes=False)
    code, out, _ = run(next(commands))
    assert code == 0
    assert re.search(rf"^message_log +projection +{BEFORE.version} ", out, re.MULTILINE)
    code, out, _ = run(next(commands))
    assert code == 0
    said = out.splitlines()
    assert said[:2] == ["message_log: 0 added, 0 removed, 3 changed", "  changed columns: reason in 3"]
    assert {line.split()[1].rstrip(":") for line in said[2:5]} == WRONG, "exactly the rows that were wrong"
    assert all(line.endswith(": reason operator -> suppressed") for line in said[2:5])
    assert said[5:] == [
        "message_totals: 0 added, 0 removed, 0 changed",
        f"message_log built, and not swapped in, version {MESSAGE_LOG.version}",
    ]
    assert (reasons(), run(next(commands))[0]) == ({"operator"}, 0), "nothing has happened, and the build is thrown away"
    assert run(next(commands))[:2] == (0, f"message_log swapped in, version {MESSAGE_LOG.version}\n")
    assert reasons() == {"suppressed"}
    assert [run(next(commands))[0] for _ in range(3)] == [0, 0, 0]
    rollback = next(commands)
    code, _, error = run(rollback)
    assert (code, f"is {BEFORE.version}, made by Ninebell" in error) == (2, True)
    before()
    assert run(rollback)[0] == 0
    assert reasons() == {"operator"}
    before(yes=False)
    assert run("ninebell projections rebuild message_log")[0] == 0
    assert run(next(commands))[0] == 0
    assert run(next(commands))[0] == 0
    assert reasons() == {"suppressed"}
    assert list(commands) == []


def lived():
    """Some messages were sent, some expired, three suppressed, as the version before shows them."""
    with at_hand(read_settings(), "test") as parts:
        with parts.database.connect() as connection:
            ensure_partitions(connection, NOW.date(), NOW.date())
        tell(
            parts.store, "messages", *messages(1, 10, REQUESTED, SENT), *messages(11, 13, SUPPRESSED), *messages(14, 20, EXPIRED)
        )
        for projector in parts.projectors.values():
            while projector.step():
                pass


def reasons():
    """Of the messages that were suppressed."""
    with at_hand(read_settings(), "test", any_version=True) as parts, parts.database.cursor() as cursor:
        cursor.execute("SELECT DISTINCT reason FROM message_log WHERE id = ANY(%s)", ([UUID(one) for one in WRONG],))
        return {reason for (reason,) in cursor}
