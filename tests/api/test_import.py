"""What becomes of an upload of people, whole or broken off?"""

import csv
import http.client
import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.api.conftest import KEY, Town, pointers
from tests.api.serving import call, served

HEADER = b"external_id,first_name,last_name,email,timezone,birthday\n"
PEOPLE = Path(__file__).parent.parent / "data" / "people-10k.csv"


def row(number: int, first_name: str = "Ada", zone: str = "Asia/Tokyo") -> bytes:
    return f"crm-{number},{first_name},Lovelace,p{number}@example.org,{zone},1990-03-02\n".encode()


def upload(client: TestClient, content: Any, media: str = "text/csv", accept: str = "*/*", **asked: str) -> Any:
    return client.post("/v1/users/import", content=content, headers={"Content-Type": media, "Accept": accept}, params=asked)


def people(town: Town) -> list[dict[str, Any]]:
    town.project()
    items: list[dict[str, Any]] = town.client.get("/v1/users").json()["items"]
    return items


def test_every_line_is_accounted_for(town: Town) -> None:
    town.create(external_id="crm-1", first_name="Ada", email="p1@example.org", timezone="Asia/Tokyo")
    town.create(external_id="crm-2", first_name="Bob")
    bad = row(5, zone="Mars/Olympus").replace(b"p5@", b"p5")
    answer = upload(town.client, HEADER + row(1) + row(2) + row(3) + bad + row(3, "Cem") + b"6,7\n")
    assert answer.status_code == 200
    assert answer.headers["Ninebell-Position"].startswith("users=")
    assert answer.json() == {
        "accepted": 1,
        "changed": 1,
        "unchanged": 1,
        "superseded": 1,
        "rejected": 2,
        "rejections": [
            {"line": 5, "field": "email", "reason": "is not an e-mail address such as name@example.com"},
            {"line": 5, "field": "timezone", "reason": "'Mars/Olympus' is not an IANA zone, such as Europe/Paris"},
            {"line": 7, "field": "", "reason": "has 2 columns, the header 6"},
        ],
    }
    assert sorted(shown["first_name"] for shown in people(town)) == ["Ada", "Ada", "Cem"]


def test_a_second_import_of_the_same_file_changes_nothing(town: Town) -> None:
    content = HEADER + row(1) + row(2) + row(1, "Bea")
    upload(town.client, content)
    before = town.store.head()
    again = upload(town.client, content).json()
    assert (again["accepted"], again["changed"], again["unchanged"], again["superseded"]) == (0, 0, 2, 1)
    assert town.store.head() == before


def test_a_row_replaces_the_person_and_an_empty_cell_clears(town: Town) -> None:
    upload(town.client, HEADER + row(1))
    upload(town.client, b"external_id,first_name,email,timezone,country,message_types\ncrm-1,Ada,a@example.org,Asia/Tokyo,JP,\n")
    (shown,) = people(town)
    assert (shown["last_name"], shown["birthday"], shown["country"], shown["message_types"]) == ("", None, "JP", ["BIRTHDAY"])


def test_objects_are_taken_like_rows(town: Town) -> None:
    first = {"external_id": "crm-1", "first_name": "Ada", "email": "a@example.org", "timezone": "Asia/Tokyo"}
    types = {"message_types": ["BIRTHDAY", "ANNIVERSARY"], "attributes": {"tier": "gold"}}
    content = "\n".join(json.dumps(one) for one in (first | types, first | {"external_id": None}, first | {"shoe_size": 39}))
    answer = upload(town.client, content, "application/x-ndjson").json()
    assert (answer["accepted"], answer["rejected"]) == (1, 2)
    assert [(one["line"], one["field"]) for one in answer["rejections"]] == [(2, "external_id"), (3, "shoe_size")]
    (shown,) = people(town)
    assert types.items() <= shown.items()


def test_the_answer_may_come_line_by_line(client: TestClient) -> None:
    answer = upload(client, HEADER + row(1) + b"2\n3\n", accept="application/x-ndjson")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    *rejections, summary = map(json.loads, answer.text.splitlines())
    assert [rejection["line"] for rejection in rejections] == [3, 4]
    assert summary == {"accepted": 1, "changed": 0, "unchanged": 0, "superseded": 0, "rejected": 2}


def test_a_rehearsal_counts_and_changes_nothing(town: Town) -> None:
    answer = upload(town.client, HEADER + row(1) + b"2\n", dry_run="true").json()
    assert (answer["accepted"], answer["rejected"]) == (1, 1)
    assert town.store.head().users == 0


def test_nothing_earlier_than_the_first_occasion_is_scheduled(town: Town) -> None:
    upload(town.client, HEADER + row(1), first_occasion="2027-03-03")
    upload(town.client, HEADER + row(2))
    assert {shown["first_occasion"] for shown in people(town)} == {"2027-03-03", "2027-03-01"}
    town.catch_up()
    assert len(town.client.get("/v1/messages").json()["items"]) == 1


def test_an_erased_person_comes_back_only_if_they_may(town: Town) -> None:
    town.client.delete(f"/v1/users/{town.create()}")
    refused = upload(town.client, HEADER + row(1)).json()
    assert (refused["rejected"], refused["rejections"]) == (1, [{"line": 2, "field": "external_id", "reason": "erased"}])
    assert upload(town.client, HEADER + row(1), readmit="true").json()["accepted"] == 1


def test_a_wrong_header_is_refused_as_a_whole(town: Town) -> None:
    answer = upload(town.client, b"external_id,first_name,shoe_size,email\n" + row(1))
    assert (answer.status_code, pointers(answer)) == (422, ["/column 3", "/timezone"])
    assert town.store.head().users == 0


@pytest.mark.parametrize(
    "asked", [{"first_occasion": "soon"}, {"first_occasion": "9999-12-31"}, {"dry_run": "perhaps"}, {"colour": "red"}]
)
def test_a_wrong_option_is_refused_before_anything_is_read(client: TestClient, asked: dict[str, str]) -> None:
    answer = upload(client, HEADER + row(1), **asked)
    assert (answer.status_code, pointers(answer)) == (422, [f"/{next(iter(asked))}"])


@pytest.mark.parametrize("media", ["application/json", "text/csv; charset=latin-1", "multipart/form-data"])
def test_an_upload_of_another_kind_is_refused(client: TestClient, media: str) -> None:
    assert upload(client, HEADER, media).status_code == 415


def test_a_file_that_ends_inside_quotes_applies_nothing(town: Town) -> None:
    answer = upload(town.client, HEADER + row(1) + b'crm-2,"Bo')
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert "line 3" in answer.json()["detail"]
    assert town.store.head().users == 0


def head(*headers: str) -> str:
    first = "POST /v1/users/import HTTP/1.1"
    return "\n".join((first, "Host: x", f"Authorization: Bearer {KEY}", "Content-Type: text/csv", *headers))


def test_an_upload_that_is_shorter_than_it_said_applies_nothing(town: Town) -> None:
    with served(town.client.app) as port:  # type: ignore[arg-type]
        answer = call(port, head("Content-Length: 10000"), HEADER, row(1), row(2))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert town.store.head().users == 0


def test_a_length_that_is_not_kept_applies_nothing_whichever_server_let_it_through(town: Town) -> None:
    short = {"Content-Type": "text/csv", "Content-Length": "10000"}
    assert town.client.post("/v1/users/import", content=HEADER + row(1), headers=short).status_code == 400
    assert town.client.post("/v1/users", content=b"{}", headers=short | {"Content-Type": "application/json"}).status_code == 400
    assert town.store.head().users == 0


def test_an_upload_in_chunks_without_the_last_one_applies_nothing(town: Town) -> None:
    content = HEADER + row(1)
    with served(town.client.app) as port:  # type: ignore[arg-type]
        answer = call(port, head("Transfer-Encoding: chunked"), b"%x\r\n%s\r\n" % (len(content), content))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert town.store.head().users == 0


def test_a_client_that_vanishes_in_the_middle_applies_nothing(town: Town) -> None:
    with served(town.client.app) as port:  # type: ignore[arg-type]
        vanishing = http.client.HTTPConnection("127.0.0.1", port)
        vanishing.putrequest("POST", "/v1/users/import")
        for name, value in (("Authorization", f"Bearer {KEY}"), ("Content-Type", "text/csv"), ("Content-Length", "10000")):
            vanishing.putheader(name, value)
        vanishing.endheaders()
        vanishing.send(HEADER + row(1))
        vanishing.close()
        # Uploads are served one after the other by the same thread pool: that this one is through says nothing of the other,
        # but that the server stops does, as it waits for every request.
        whole = call(port, head(f"Content-Length: {len(HEADER + row(2))}"), HEADER, row(2))
    assert whole.startswith(b"HTTP/1.1 200 ")
    assert [shown["external_id"] for shown in people(town)] == ["crm-2"]


@pytest.mark.parametrize("kind", ["text/csv", "application/json"])
def test_a_client_that_stalls_in_the_middle_holds_no_place_for_ever(town: Town, kind: str) -> None:
    path = "/v1/users/import" if kind == "text/csv" else "/v1/users"
    said = head("Content-Length: 10000").replace("/v1/users/import", path).replace("text/csv", kind)
    with served(town.with_limits(stall_seconds=0.2).app) as port:  # type: ignore[arg-type]
        answer = call(port, said, HEADER, row(1), end=False)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert town.store.head().users == 0


def test_a_client_that_has_said_all_and_ends_its_half_is_answered(town: Town) -> None:
    with served(town.client.app) as port:  # type: ignore[arg-type]
        answer = call(port, f"GET /v1/users HTTP/1.1\nHost: x\nAuthorization: Bearer {KEY}")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'{"items":[],"next":null}')


def test_a_long_upload_needs_no_memory(town: Town) -> None:
    """300 MB of lines too short to be anybody, and as many rejections, in the memory of a few."""
    block = b"x\n" * 500_000
    blocks = 60

    def content() -> Iterator[bytes]:
        yield HEADER + row(1)
        for _ in range(blocks):
            yield b"x" * 5_000_000 + b"\n"
        yield block[:200_000]

    with served(town.client.app) as port:  # type: ignore[arg-type]
        connection = http.client.HTTPConnection("127.0.0.1", port)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "text/csv"}
        connection.request("POST", "/v1/users/import", content(), headers, encode_chunked=True)
        answer = json.loads(connection.getresponse().read())
        connection.close()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (answer["accepted"], answer["rejected"]) == (1, blocks + 100_000)
    assert grown < 100 * 1024  # kilobytes


def test_the_example_file_is_imported_and_every_rejected_line_has_its_reason(town: Town) -> None:
    content = PEOPLE.read_bytes()
    answer = upload(town.client, content).json()
    told = answer["accepted"] + answer["changed"] + answer["unchanged"] + answer["superseded"] + answer["rejected"]
    assert told == len(list(csv.reader(content.decode().splitlines(keepends=True)))) - 1
    assert answer["rejected"] == len({rejection["line"] for rejection in answer["rejections"]}) > 0
    assert answer["accepted"] > 9_000
    again = upload(town.client, content).json()
    assert (again["accepted"], again["changed"]) == (0, 0)
