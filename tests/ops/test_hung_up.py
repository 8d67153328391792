"""What becomes of a command whose output nobody reads to its end, as in `ninebell ... | head`?"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MASTER_KEY = {"NINEBELL_MASTER_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
UNREAD = 128 + 13  # as a shell tells of a program that SIGPIPE ended


@pytest.fixture
def unread() -> Iterator[int]:
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def ended(words: tuple[str, ...], database_url: str, out: int, err: int) -> tuple[int, str | None]:
    environment = os.environ | MASTER_KEY | {"DATABASE_URL": database_url}
    command = [sys.executable, "-m", "ops.cli", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=out, stderr=err, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", [("--help",), ("audit",), ("audit", "--json"), ("messages", "list"), ("doctor",)], ids=" ".join)
def test_a_command_that_nobody_reads_ends_without_a_traceback(
    migrated_database: str, unread: int, words: tuple[str, ...]
) -> None:
    code, said = ended(words, migrated_database, unread, subprocess.PIPE)
    assert code == UNREAD
    assert said is not None
    assert "Traceback" not in said
    assert "BrokenPipe" not in said


def test_neither_does_one_whose_errors_nobody_reads(unread: int) -> None:
    assert ended(("audit",), "postgresql://127.0.0.1:1/none", unread, unread) == (UNREAD, None)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_the_caller_closed_change_nothing(migrated_database: str, closed: str) -> None:
    """Else a connection to the database would be standard output, and what is printed would go there."""
    environment = os.environ | MASTER_KEY | {"DATABASE_URL": migrated_database}
    command = ["sh", "-c", f'exec "$0" -m ops.cli audit {closed}', sys.executable]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
