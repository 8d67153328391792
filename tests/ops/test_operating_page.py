"""Does docs/operating.md name what there is to watch, all of it, and nothing else?"""

import asyncio
import re
from pathlib import Path

import aiohttp
import pytest

import ops.autoscale  # noqa: F401  a supervisor of workers has metrics of its own
from api.app import HEALTH
from ops.cli import main
from ops.installation import opened
from ops.run_api import run_api
from ops.running import Stop
from ops.serving import bound
from ops.settings import Address, read_settings
from ops.wiring import build, first_key, prepare

PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
RULE = re.compile(r"\{alert: (\w+), expr: '([^']+)'(?:, for: \d+m)?\}\n")  # in YAML, [ and { must stand in quotes here
KEY, MASTER_KEY = "nb_operating_page_of_this_test_0000", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


async def metrics_of_a_role(dsn: str) -> str:
    """As Prometheus gets them."""
    settings = read_settings({"DATABASE_URL": dsn, "NINEBELL_MASTER_KEY": MASTER_KEY, "NINEBELL_API_KEY": KEY})
    with opened(settings) as installation:
        parts = build(settings, installation, name="test")
        await asyncio.to_thread(prepare, parts)
        await asyncio.to_thread(first_key, parts)
        listener, stop = bound(Address(host="127.0.0.1", port=0), "NINEBELL_OPS_LISTEN"), Stop()
        serving = asyncio.create_task(run_api(parts, listener, stop, HEALTH))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/metrics"
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
            session.get(address) as answer,
        ):
            assert answer.status == 200
            text = await answer.text()
        stop.set()
        await serving
        parts.database.close()
    return text


@pytest.fixture
async def exposed(migrated_database: str) -> set[str]:
    text = await metrics_of_a_role(migrated_database)
    return set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))


def named(text: str) -> set[str]:
    return set(re.findall(r"\b(?:ninebell|process)_[a-z_]+\b", text))


async def test_every_metric_on_the_page_is_there_and_every_one_of_ours_is_on_the_page(exposed: set[str]) -> None:
    assert named(PAGE) - exposed == set()
    assert {name for name in exposed if name.startswith("ninebell_")} - named(PAGE) == set()


async def test_every_metric_has_a_rule(exposed: set[str]) -> None:
    watched = set.union(*(named(expression) for _, expression in RULE.findall(PAGE)))
    assert {name for name in exposed if name.startswith("ninebell_")} - watched == set()


def test_every_rule_says_what_to_do() -> None:
    told = {name for row in re.findall(r"^\| ([\w, ]+) \| .+ \| .+ \|$", PAGE, re.MULTILINE) for name in row.split(", ")}
    alerts = [name for name, _ in RULE.findall(PAGE)]
    assert len(alerts) == PAGE.count("{alert: ")
    assert set(alerts) == told - {"when it fires"}


def test_every_command_on_the_page_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    commands = {tuple(words.split()) for words in re.findall(r"`ninebell ((?:[a-z]+ ?)+)[^`]*`", PAGE)}
    assert len(commands) > 5
    for words in commands:
        assert main([*words, "--help"]) == 0, words
        assert f"Usage: ninebell {' '.join(words)}" in capsys.readouterr().out
