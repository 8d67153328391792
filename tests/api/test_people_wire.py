"""How are files of people read, the good, the bad and the broken off?"""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from api.people_wire import LONGEST_LINE, BrokenOff, lines, read_csv, read_ndjson
from domain.errors import Invalid, Problem

HEADER = b"external_id,first_name,email,timezone\n"
ADA = {"external_id": "1", "first_name": "Ada", "email": "a@example.org", "timezone": "Asia/Tokyo"}
ROW = b"1,Ada,a@example.org,Asia/Tokyo\n"


def read(content: bytes, size: int = 65536) -> list[tuple[int, Any]]:
    """(line, fields or the reason why not) of a CSV file that comes in chunks of this size."""
    chunks = (content[start : start + size] for start in range(0, len(content), size))
    return [(record.line, _said(record.fields)) for record in read_csv(lines(chunks))]


def objects(content: bytes) -> list[tuple[int, Any]]:
    return [(record.line, _said(record.fields)) for record in read_ndjson(lines([content]))]


def _said(fields: dict[str, Any] | Problem) -> Any:
    return fields.reason if isinstance(fields, Problem) else fields


@pytest.mark.parametrize(
    "content",
    [
        HEADER + ROW,
        HEADER + ROW.rstrip(b"\n"),
        (HEADER + ROW).replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + HEADER + ROW,
        b'timezone,email,"first_name",external_id\nAsia/Tokyo,"a@example.org",Ada,1\n',
        b" external_id , first_name,email,timezone\n" + ROW,
    ],
    ids=["plain", "no end of line", "CRLF", "BOM", "other order", "spaces in the header"],
)
@pytest.mark.parametrize("size", [1, 7, 65536])
def test_a_file_may_be_written_and_cut_in_many_ways(content: bytes, size: int) -> None:
    assert read(content, size) == [(2, ADA)]


def test_a_record_is_numbered_by_the_line_where_it_starts() -> None:
    quoted = b'2,"Ada\nthe ""first""\r\n",a@example.org,Asia/Tokyo\n'
    found = read(HEADER + b"\n" + ROW + quoted + b"\r\n" + ROW)
    assert [line for line, _ in found] == [3, 4, 8]
    assert found[1][1]["first_name"] == 'Ada\nthe "first"\r\n'


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"2,Bob,b@example.org\n", "has 3 columns, the header 4"),
        (b"2,Bob,b@example.org,Asia/Tokyo,\n", "has 5 columns, the header 4"),
        (b"   \n", "has 1 columns, the header 4"),
        (b"\x00\n", "has 1 columns, the header 4"),
        (b"2,B\xf6b,b@example.org,Asia/Tokyo\n", "is not UTF-8"),
        (b'2,"Bob"by,b@example.org,Asia/Tokyo\n', "has text after a closing quote"),
        (b"2,Bo\rb,b@example.org,Asia/Tokyo\n", "has a carriage return outside of quotes"),
        (b"2," + b"x" * 200_000 + b",b@example.org,Asia/Tokyo\n", "is too long, or has a quote that is never closed"),
        (b"2," + b"x" * 3 * LONGEST_LINE + b",b@example.org,Asia/Tokyo\n", "is too long, or has a quote that is never closed"),
    ],
)
@pytest.mark.parametrize("size", [1000, 65536])
def test_a_bad_line_stops_nothing(bad: bytes, reason: str, size: int) -> None:
    assert read(HEADER + ROW + bad + ROW, size) == [(2, ADA), (3, reason), (4, ADA)]


def test_a_quote_that_is_never_closed_swallows_nobody() -> None:
    people = ROW * 10_000
    found = read(HEADER + b'2,"Bob,b@example.org,Asia/Tokyo\n' + people)
    assert found[0] == (2, "is too long, or has a quote that is never closed")
    assert found[1:] == [(line, ADA) for line in range(3, 10_003)]


def test_what_never_ends_its_line_is_not_kept_in_memory() -> None:
    def chunks() -> Iterator[bytes]:
        yield HEADER
        for _ in range(50):
            yield b"x" * LONGEST_LINE
        yield b"\n" + ROW

    tracemalloc.start()
    first, last = read_csv(lines(chunks()))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(first.fields, Problem)
    assert (last.line, last.fields) == (3, ADA)
    assert most < 5 * LONGEST_LINE


def test_a_file_that_ends_inside_quotes_was_broken_off() -> None:
    with pytest.raises(BrokenOff, match="line 3"):
        read(HEADER + ROW + b'2,"Bob,b@example.org')
    with pytest.raises(BrokenOff):
        read(b'external_id,"first_na')


@pytest.mark.parametrize(
    ("header", "wrong"),
    [
        (b"external_id,first_name,email\n", ["timezone"]),
        (b"external_id,first_name,email,timezone,shoe_size,\n", ["column 5", "column 6"]),
        (b"external_id,first_name,email,timezone,email\n", ["email"]),
        (b"External_ID,first_name,email,timezone\n", ["column 1", "external_id"]),
        (b"external_id;first_name;email;timezone\n", ["column 1", "external_id", "first_name", "email", "timezone"]),
        (b"external_id,first_name,email,timezone,\xff\n", ["column 5"]),
        (b'"external_id"x,first_name\n', ["header"]),
    ],
)
def test_a_wrong_header_is_refused_with_every_column_named(header: bytes, wrong: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        read(header + ROW)
    assert [problem.field for problem in refused.value.problems] == wrong


@pytest.mark.parametrize("content", [b"", b"\n\r\n"])
def test_an_empty_file_has_no_header(content: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        read(content)
    assert [problem.field for problem in refused.value.problems] == ["external_id", "first_name", "email", "timezone"]


def test_a_file_without_a_header_gives_nobody_away() -> None:
    with pytest.raises(Invalid) as refused:
        read(ROW)
    assert "Ada" not in str(refused.value)
    assert "a@example.org" not in str(refused.value)


def test_attributes_stand_in_a_cell_as_json() -> None:
    header = HEADER.replace(b"\n", b",attributes\n")
    row = ROW.replace(b"\n", b',"{""tier"": ""gold""}"\n')
    assert read(header + row)[0][1]["attributes"] == {"tier": "gold"}
    assert read(header + ROW.replace(b"\n", b",gold\n"))[0][1]["attributes"] == "gold"
    assert read(header + ROW.replace(b"\n", b",\n"))[0][1]["attributes"] == ""


def test_markup_is_text() -> None:
    assert read(HEADER + ROW.replace(b"Ada", b"<b>{{ Ada }}</b>"))[0][1]["first_name"] == "<b>{{ Ada }}</b>"


def test_objects_are_read_a_line_each() -> None:
    content = b'\xef\xbb\xbf{"external_id": "1"}\r\n\n[]\n{"a": \n\xff\n{"message_types": ["BIRTHDAY"]}'
    assert objects(content) == [
        (1, {"external_id": "1"}),
        (3, "is not a JSON object"),
        (4, "is not JSON"),
        (5, "is not UTF-8"),
        (6, {"message_types": ["BIRTHDAY"]}),
    ]


def test_a_file_of_objects_that_ends_inside_one_was_broken_off() -> None:
    with pytest.raises(BrokenOff):
        objects(b'{"external_id": "1"}\n{"external_id": "2')


def test_an_endless_object_is_one_bad_line() -> None:
    deep, long = b"[" * 500_000, b'{"a": "' + b"x" * 2 * LONGEST_LINE + b'"}'
    assert objects(deep + b"\n" + long + b"\n{}\n") == [(1, "is not JSON"), (2, "is not JSON"), (3, {})]
