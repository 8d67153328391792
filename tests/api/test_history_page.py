"""Do the commands of docs/history.md run, and does it name every reason there is?"""

import base64
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from api.app import make_app
from application import explain_year, never_planned
from tests.api.conftest import KEY, Town
from tests.api.serving import served

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "history.md").read_text()
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECONDS = 180


def environment(dsn: str) -> dict[str, str]:
    return os.environ | {
        "DATABASE_URL": dsn,
        "NINEBELL_MASTER_KEY": base64.b64encode(bytes(32)).decode(),
        "NINEBELL_API_KEY": KEY,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def test_every_command_on_the_page_runs_and_answers(town: Town, town_database: str) -> None:
    town.clock.instant = datetime.now(UTC)
    with town.store.database.transaction() as cursor:
        town.store.keyring.claim(cursor)
    registering, *asking = BLOCK.findall(PAGE)
    assert len(asking) == 3
    with served(make_app(town.service)) as port:

        def run(script: str) -> str:
            words = ["bash", "-e", "-c", f"ADA=0190163d-8694-739b-aea5-966c26f8ad90\n{script}".replace(":8080", f":{port}")]
            done = subprocess.run(
                words, cwd=ROOT, env=environment(town_database), capture_output=True, text=True, timeout=SECONDS, check=False
            )
            assert done.returncode == 0, (script, done.stdout, done.stderr)
            return done.stdout

        answered = run(registering)
        assert "ninebell-correlation-id: order-4711" in answered.lower()
        past, story, why = (run(script) for script in asking)
    assert past.count('"timezone":"Europe/London"') == 2  # version 1, and the event
    assert past.count('"correlation_id":"order-4711"') == 1
    assert "user.registered.v1 by key:default (order-4711)" in story
    assert "ada@example.com" in story
    assert "BIRTHDAY in" in why
    assert '"code":"no_fact"' in why or '"code":"registered_later"' in why


def test_every_code_is_on_the_page_and_no_other() -> None:
    sources = "".join(Path(str(module.__file__)).read_text() for module in (never_planned, explain_year))
    codes = set(re.findall(r'_of\(\s*"(\w+)"', sources)) | set(re.findall(r'code="(\w+)"', sources))
    assert len(codes) > 10
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == codes
