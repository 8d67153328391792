"""Does a rebuild count what lies in archives, say which file it lacks, and notice what was archived or restored meanwhile?"""

import json

import pytest

from infrastructure.wanted_rebuilds import PostgresWantedRebuilds
from ops.at_hand import at_hand
from ops.settings import read_settings
from tests.contract.test_projector import NOW
from tests.ops.test_retain_command import MONTH, NEXT, long_ago, run
from tests.ops.test_wanted_rebuilds import the_role
from tests.servers import wait_until

__all__ = ["long_ago", "run"]


@pytest.fixture
def archived(run, long_ago, tmp_path):
    assert run("retain", "--before", NEXT)[0] == 0
    return tmp_path / "archive"


def rows(table):
    with at_hand(read_settings(), "test") as parts, parts.database.cursor() as cursor:
        return sorted(cursor.execute(f"SELECT * FROM {table} WHERE messages <> 0").fetchall())


def test_what_lies_in_archives_is_counted_and_not_listed(run, archived):
    before = [rows(table) for table in ("message_totals", "analytics_transitions", "analytics_days")]
    assert run("projections", "rebuild", "--all")[0] == 0
    assert [rows(table) for table in ("message_totals", "analytics_transitions", "analytics_days")] == before
    assert all(before)
    for name in ("message_log", "analytics_view", "messages_by_timezone"):
        assert run("projections", "verify", name)[0] == 0
    assert run("audit")[0] == 0
    assert json.loads(run("messages", "list", "--json")[1])["items"] == []


def test_a_file_that_is_not_there_is_named_and_may_be_elsewhere(run, archived, tmp_path):
    archived.rename(tmp_path / "moved")
    for command in ("rebuild", "verify"):
        code, _, error = run("projections", command, "analytics_view")
        assert code == 2
        assert error.startswith(f"{MONTH} was archived, and {archived}/messages_")
    assert run("projections", "rebuild", "messages_by_timezone")[0] == 0, "it counts nothing that is over"
    assert run("projections", "rebuild", "analytics_view", "--from", tmp_path / "moved", "--expect-no-diff")[0] == 0
    assert run("projections", "rebuild", "analytics_view", "--without-archives", "--expect-no-diff")[0] == 1


def test_a_month_that_is_restored_meanwhile_is_not_left_out(run, archived):
    assert run("projections", "rebuild", "message_log", "--no-swap")[0] == 0
    assert run("restore", MONTH)[0] == 0
    code, _, error = run("projections", "rebuild", "message_log")
    assert (code, "was restored since message_log was begun: begin --anew" in error) == (2, True)
    assert run("projections", "rebuild", "message_log", "--anew")[0] == 0
    assert len(json.loads(run("messages", "list", "--json")[1])["items"]) == 1


def test_a_month_that_is_archived_meanwhile_is_not_listed_again(run, long_ago):
    assert run("projections", "rebuild", "message_log")[0] == 0
    assert run("projections", "rebuild", "message_log", "--no-swap")[0] == 0
    assert run("retain", "--before", NEXT)[0] == 0
    assert run("projections", "rebuild", "message_log")[0] == 0
    assert json.loads(run("messages", "list", "--json")[1])["items"] == []
    assert run("projections", "verify", "message_log")[0] == 0


def built(wanted):
    """Whether what is asked for now is built, rather than refused once more."""
    assert wanted.want("message_log", "key:default", NOW)
    wait_until(lambda: all(one.state == "refused" for one in wanted.all()), None, "the rebuild")
    return not wanted.all()


def test_what_a_damaged_file_stopped_is_taken_and_built_once_the_file_is_mended(run, archived):
    before = rows("message_totals")
    [file] = archived.glob("messages_*.gz")
    whole = file.read_bytes()
    file.write_bytes(whole[:-20] + bytes(20))
    with at_hand(read_settings(), "test") as parts, the_role(parts) as wanted:
        assert not built(wanted)
        assert "is damaged: its SHA-256 is" in wanted.all()[0].why
        assert parts.followers.beside() == []
        file.write_bytes(whole)
        assert built(wanted)
    assert rows("message_totals") == before


def test_what_a_restored_month_stopped_is_taken_and_built_anew(run, archived):
    with at_hand(read_settings(), "test") as parts:
        assert PostgresWantedRebuilds(parts.database).want("message_log", "key:default", NOW)
        assert run("projections", "rebuild", "message_log", "--no-swap")[0] == 0
        assert run("restore", MONTH)[0] == 0
        with the_role(parts) as wanted:
            wait_until(lambda: wanted.all()[0].state == "refused", None, "the refusal")
            assert "was restored since message_log was begun" in wanted.all()[0].why
            assert built(wanted)
    assert len(json.loads(run("messages", "list", "--json")[1])["items"]) == 1
