"""What is a person told who starts Ninebell wrongly, or before its database and broker are there?"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from infrastructure.embedded_postgres import EmbeddedPostgres
from tests.conftest import broker_or_fail
from tests.e2e.conftest import master_key
from tests.e2e.people import crowd, this_minute
from tests.e2e.processes import Site
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.processes import Program

pytestmark = pytest.mark.timeout(180)

ELSEWHERE = {"DATABASE_URL": "postgresql://postgres@127.0.0.1:1/none", "NINEBELL_MASTER_KEY": master_key()}


@pytest.fixture
def site(data_dir: Path) -> Iterator[Site]:
    """An installation of which nothing is there yet."""
    with Site(data_dir) as site:
        yield site


def test_what_is_started_before_its_database_and_broker_says_so_and_waits_for_them(site, data_dir):
    socket_dir = data_dir / "later" / "postgres"
    database_url = f"postgresql://postgres@/postgres?host={quote(str(socket_dir), safe='')}&port=5432"
    with closing(broker_or_fail()) as broker:
        started = site.start("run", "api", "worker", **{**ELSEWHERE, "DATABASE_URL": database_url, "AMQP_URL": broker.url})
        started.until("both to be missed", lambda: red(site) == ("database", "broker"))
        assert site.ask("GET", "/healthz").status == 200
        started.says('"missing":"database"')
        with EmbeddedPostgres.start(data_dir / "later", durable=False):
            started.until("only the broker to be missed", lambda: red(site) == ("broker",))
            started.says('"missing":"broker"')
            broker.start()
            site.ready(started)
            started.says("running: api worker")


def test_users_sealed_under_another_master_key_stop_the_start(site, database, data_dir):
    file = data_dir / "people.csv"
    file.write_bytes(crowd(1, this_minute()))
    right, wrong = master_key(), master_key()
    assert site.run("import", str(file), DATABASE_URL=database, NINEBELL_MASTER_KEY=right).ended() == 0
    assert "NINEBELL_MASTER_KEY" in refusal(site.run("run", "api", DATABASE_URL=database, NINEBELL_MASTER_KEY=wrong))
    assert site.run("import", str(file), DATABASE_URL=database, NINEBELL_MASTER_KEY=right).ended() == 0


@pytest.mark.parametrize(
    ("words", "environment", "told"),
    [
        pytest.param(("up",), {"DATABASE_URL": ELSEWHERE["DATABASE_URL"]}, "NINEBELL_MASTER_KEY must be given", id="no-key"),
        pytest.param(("run", "worker"), ELSEWHERE, "AMQP_URL must be given", id="no-broker"),
        pytest.param(("run", "planner"), {}, "DATABASE_URL must be given", id="no-database"),
        pytest.param(("run", "postman"), ELSEWHERE, "'postman' is not a role; there are: api", id="no-such-role"),
        pytest.param(("run",), ELSEWHERE, "say which roles to run; there are: api", id="no-role"),
        pytest.param(("audit",), {"NINEBELL_TYPO": "1"}, "NINEBELL_TYPO: is not a setting", id="no-such-setting"),
    ],
)
def test_a_start_that_cannot_work_is_refused_in_one_line(site, words, environment, told):
    assert told in refusal(site.run(*words, **environment))


def test_every_wrong_setting_is_named_at_once(site):
    wrong = {
        "NINEBELL_LISTEN": "here",
        "NINEBELL_MASTER_KEY": "short",
        "NINEBELL_LEASE_SECONDS": "soon",
        "NINEBELL_CHANNEL": "pigeon",
    }
    refused = site.run("up", **wrong)
    assert refused.ended() == 2
    assert {line.partition(":")[0] for line in refused.logged.splitlines()} == set(wrong)


def test_a_command_that_reaches_no_database_ends_with_code_3(site):
    unreachable = {**ELSEWHERE, "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{free_port()}/none"}
    refused = site.run("audit", **unreachable)
    assert refused.ended() == 3
    assert "DATABASE_URL" in refused.logged.splitlines()[-1]
    assert "Traceback" not in refused.logged


def refusal(program: Program) -> str:
    """The one line of wrong usage or settings."""
    assert program.ended() == 2, program.logged
    (line,) = program.logged.splitlines()
    return line


def red(site: Site) -> tuple[str, ...]:
    status, _, missed = site.readiness()
    return missed if status == 503 else ()


MAIL = """\
[channels.smtp]
smtp = {host = "127.0.0.1", sender = "us@example.org", user = "us", password_file = "/nowhere/password"}
"""


def test_a_password_file_that_is_not_there_ends_the_worker_with_one_line(embedded, data_dir):
    (data_dir / "mail.toml").write_text(MAIL)
    up = embedded.run("up", NINEBELL_CHANNEL="smtp", NINEBELL_CONFIG=str(data_dir / "mail.toml"))
    assert up.ended() == 2
    (said,) = [line for line in up.logged.splitlines() if not line.startswith("{")]
    assert said.startswith("channels.smtp.smtp.password_file: /nowhere/password can't be read")
