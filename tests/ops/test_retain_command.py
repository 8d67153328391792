"""What do `ninebell retain`, `restore` and `erasure-report` do, say and refuse, on a real database?"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from application.retain_months import month_after
from domain.scheduled_message import MessageExpired, MessageScheduled
from infrastructure.month_tables import in_turn
from infrastructure.partitions import ensure_partitions
from ops.at_hand import at_hand
from ops.cli import main
from ops.settings import read_settings
from tests.retention_scene import of, told

Run = Callable[..., tuple[int, str, str]]
DAY = (datetime.now(UTC) - timedelta(days=450)).date()
MONTH, NEXT = f"{DAY:%Y-%m}", month_after(DAY.replace(day=1))
SAID: dict[str, Any] = {
    "message_type": "BIRTHDAY",
    "timezone": "Etc/UTC",
    "due_at": datetime(DAY.year, DAY.month, DAY.day, 9, tzinfo=UTC),
}
SCHEDULED = MessageScheduled(**SAID, user_id=UUID(int=1), occasion=DAY, rule="plain", tzdata="2026f", type_version=1)
MESSAGE, STORY = of(1, SCHEDULED, MessageExpired(**SAID, reason="late_window"), day=DAY)


@pytest.fixture
def run(migrated_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command on a fresh database: exit code, standard output, standard error."""
    monkeypatch.setenv("DATABASE_URL", migrated_database)
    monkeypatch.setenv("NINEBELL_MASTER_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    monkeypatch.setenv("NINEBELL_DATA_DIR", str(tmp_path))

    def command(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def long_ago(run: Run) -> Iterator[None]:
    """One message expired, and everybody has heard of it."""
    with at_hand(read_settings(), "test") as parts:
        with parts.database.connect() as connection:
            ensure_partitions(connection, DAY, DAY)
        told(parts.store, (MESSAGE, STORY))
    yield


def test_a_month_goes_to_the_data_directory_and_comes_back(run: Run, long_ago: None, tmp_path: Path) -> None:
    code, out, _ = run("retain", "--before", NEXT, "--dry-run")
    assert (code, f"{MONTH} would be dropped: 1 messages, 2 events\n" in out) == (0, True)
    assert not (tmp_path / "archive").exists()
    code, out, _ = run("retain", "--before", NEXT)
    [file] = (tmp_path / "archive").glob("*.gz")
    assert (code, f"{MONTH} dropped: 1 messages, 2 events, {file}, SHA-256 " in out) == (0, True)
    assert run("retain", "--before", NEXT)[1].startswith(f"No month that ends before {NEXT} is in the database.\n")
    assert json.loads(run("audit", "--json")[1])["total"]["expired"] == 1
    for words in (("cancel",), ("reschedule", "--due-at", f"{DAY}T10:00:00Z"), ("resolve", "sent"), ("redrive", "--reason", "r")):
        assert run("messages", words[0], MESSAGE, *words[1:])[::2] == (
            1,
            f"the messages of {MONTH} were archived: ninebell restore {MONTH} brings them back.\n",
        )
    assert run("restore", MONTH)[:2] == (0, f"{MONTH} restored, 2 events\n")
    assert run("restore", MONTH)[:2] == (0, f"{MONTH} is not archived: the database has all there is of it\n")


def test_as_json_there_is_a_word_on_each_month(run: Run, long_ago: None, tmp_path: Path) -> None:
    code, out, _ = run("retain", "--before", NEXT, "--to", tmp_path / "elsewhere", "--json")
    [month] = json.loads(out)["months"]
    assert (code, month["month"], month["status"], month["why"], json.loads(out)["dispatches"]) == (0, MONTH, "dropped", [], 0)
    assert Path(month["file"]).parent == tmp_path / "elsewhere"
    (tmp_path / "elsewhere").rename(tmp_path / "moved")
    code, out, _ = run("restore", MONTH, "--json")
    assert (code, json.loads(out)["status"], "can't be read" in json.loads(out)["why"]) == (1, "not restored", True)
    code, out, _ = run("restore", MONTH, "--from", tmp_path / "moved", "--json")
    assert (code, json.loads(out)) == (0, {"month": MONTH, "status": "restored", "events": 2, "why": ""})


def test_what_has_to_stay_is_found(run: Run, long_ago: None) -> None:
    code, out, _ = run("retain", "--before", datetime.now(UTC).date().replace(day=1))
    assert code == 1
    assert f"{MONTH} dropped" in out
    assert "  younger than 401 days: that one message a year is the most is decided on it" in out


def test_a_second_one_at_the_same_time_is_refused(run: Run, long_ago: None) -> None:
    with at_hand(read_settings(), "test") as parts, in_turn(parts.database):
        for words in (("retain", "--before", NEXT), ("restore", MONTH)):
            assert run(*words)[::2] == (2, "another ninebell retain or restore runs on this database\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("restore", "2025-13"), "MONTH: 2025-13 is not a month such as 2025-03\n"),
        (("erasure-report", "nobody"), "no user has this ID, nor this external_id\n"),
        (("erasure-report", UUID(int=1)), "no user has this ID, nor this external_id\n"),
    ],
)
def test_what_is_wrong_is_one_clear_line(run: Run, words: tuple[object, ...], said: str) -> None:
    assert run(*words)[::2] == (2, said)


@pytest.mark.parametrize("command", ["retain", "restore", "erasure-report"])
def test_every_command_has_help_with_an_example(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert (code, f"ninebell {command} " in out.partition("For example:")[2]) == (0, True)
