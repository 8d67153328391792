"""Is a doubt seen where people look, with what to do about it?"""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import aiohttp
import psycopg
import pytest

from api.app import HEALTH
from application.channel_states import Used
from application.pause_sending import EVERYTHING, Pause
from application.provider_limit import ProviderLimit, Usage, take
from infrastructure.auditor import Auditor
from infrastructure.pauses import PostgresPauses
from ops.cli import main
from ops.installation import opened
from ops.run_api import run_api
from ops.run_projections import run_projections
from ops.running import Stop
from ops.serving import bound
from ops.settings import Address, read_settings
from ops.watching import used_up_told
from ops.wiring import Parts, build, prepare
from tests.contract.test_audit import of
from tests.contract.test_projector import tell
from tests.domain.message_stories import HISTORIES
from tests.servers import wait_until

MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
COMMAND = "ninebell messages list --status in_doubt"


@pytest.fixture
def parts(migrated_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    told = {"DATABASE_URL": migrated_database, "NINEBELL_MASTER_KEY": MASTER_KEY}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    settings = read_settings(told)
    with opened(settings) as installation:
        parts = build(settings, installation, name="test")
        prepare(parts)
        with parts:
            yield parts
        parts.database.close()


def doubt(parts: Parts) -> None:
    tell(parts.store, "messages", of(1, *HISTORIES["in_doubt"]), of(2, *HISTORIES["sent"]))
    for name in ("messages_by_timezone", "message_log", "analytics_view"):
        parts.projectors[name].step()
    assert Auditor(parts.database).step(parts.clock.now())


def audited(parts: Parts) -> list[tuple[Any, ...]]:
    with psycopg.connect(parts.installation.dsn) as connection:
        return connection.execute("SELECT scheduled, in_doubt FROM ninebell.audited_days").fetchall()


async def readiness(parts: Parts) -> dict[str, Any]:
    listener, stop = bound(Address(host="127.0.0.1", port=0), "NINEBELL_OPS_LISTEN"), Stop()
    serving = asyncio.create_task(run_api(parts, listener, stop, HEALTH))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/readyz"
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json()
    stop.set()
    await serving
    return found


async def test_readiness_notes_a_doubt_and_is_ready_all_the_same(parts: Parts) -> None:
    assert await readiness(parts) == {"status": "ready"}
    await asyncio.to_thread(doubt, parts)
    [note] = (await readiness(parts))["notes"]
    assert note.startswith("1 in doubt, the oldest for ")
    assert COMMAND in note


async def test_readiness_notes_what_is_paused_and_keeps_the_reason_to_itself(parts: Parts) -> None:
    def pause() -> None:
        pauses = PostgresPauses(parts.database)
        for name in ("sink", EVERYTHING):
            pauses.begin(Pause(name, "cli", "wrong texts", parts.clock.now()))

    await asyncio.to_thread(pause)
    assert await readiness(parts) == {"status": "ready", "notes": ["sink is paused", "everything is paused"]}


def test_doctor_warns_of_a_doubt_and_of_books_that_do_not_add_up(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    doubt(parts)
    capsys.readouterr()
    assert main(["doctor"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "warning doubts: 1 in doubt" in said
    assert COMMAND in said
    assert "ok audit: 2 scheduled, and they add up" in said
    with psycopg.connect(parts.installation.dsn) as connection:
        connection.execute("UPDATE ninebell.message_log SET status = 'abandoned' WHERE status = 'sent'")
    Auditor(parts.database).step(parts.clock.now() + timedelta(hours=1))
    main(["doctor"])
    assert "warning audit: 2 do not add up: ninebell audit says which" in " ".join(capsys.readouterr().out.split())


def test_an_audit_writes_names_out_however_narrow_the_terminal(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    doubt(parts)
    assert main(["audit", "--by", "day", "--by", "zone", "--by", "type"]) == 0
    head, row, total, _sum = capsys.readouterr().out.splitlines()
    assert (head.split()[:3], total.split()[0]) == (["day", "zone", "type"], "total")
    assert row.split()[:4] == ["2027-05-15", "Europe/London", "BIRTHDAY", "2"]


def test_an_audit_waits_for_the_read_models(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    tell(parts.store, "messages", of(1, *HISTORIES["sent"]))
    auditing = Thread(target=main, args=(["audit", "--json"],))
    auditing.start()
    wait_until(lambda: waiting(parts) or not auditing.is_alive(), None, "the audit")
    for name in ("messages_by_timezone", "message_log", "analytics_view"):
        parts.projectors[name].step()
    auditing.join()
    assert json.loads(capsys.readouterr().out)["behind"] == {}


def waiting(parts: Parts) -> bool:
    """Whether the audit has asked how far a read model has come, and keeps asking."""
    with psycopg.connect(parts.installation.dsn) as connection:
        asked = "SELECT FROM pg_stat_activity WHERE application_name = 'ninebell audit' AND query LIKE 'SELECT position FROM%'"
        return bool(connection.execute(asked).fetchall())


def test_the_projections_role_audits(parts: Parts) -> None:
    tell(parts.store, "messages", of(1, *HISTORIES["in_doubt"]))
    stop = Stop()
    role = Thread(target=run_projections, args=(parts, stop))
    role.start()
    try:
        wait_until(lambda: bool(audited(parts)), None, "an audit")
    finally:
        stop.set()
        role.join()
    assert audited(parts) == [(1, 1)]


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (ProviderLimit(daily_quota=3), "waits: its quota is used up until 2027-05-16 00:00Z"),
        (ProviderLimit(most=1, per_seconds=7_200, daily_quota=4), "waits: its limit is used up until 2027-05-15 10:00Z"),
        (ProviderLimit(daily_quota=4), None),
        (ProviderLimit(most=1, per_seconds=30), None),
    ],
    ids=["quota", "window", "something-left", "soon-over"],
)
def test_until_when_a_used_up_limit_stops_its_channel_is_told(limit: ProviderLimit, told: str | None) -> None:
    at = datetime(2027, 5, 15, 8, tzinfo=UTC)
    usage, _ = take(Usage(), limit, [3], at)
    assert used_up_told(limit, Used(usage, 1.0, at)) == told
