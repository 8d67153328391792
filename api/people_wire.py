"""How does a file of people, CSV or NDJSON, become records?"""

import csv
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from application.import_users import Record
from domain.errors import Invalid, Problem
from domain.user_details import FIELDS, REQUIRED

LONGEST_LINE: Final = 1024 * 1024
"""In bytes. What is longer is one rejected line, and never in memory."""

_TOO_LONG: Final = "x" * (csv.field_size_limit() + 1) + "\n"  # no line that any reader takes
_BOM: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"


class BrokenOff(Exception):
    """The file ends inside a quoted field, or inside a JSON object."""


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Physical lines with their ends, however they were cut; bytes that are not UTF-8 become lone surrogates."""
    rest, skipping = b"", False
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield _TOO_LONG if skipping or len(line) > LONGEST_LINE else line.decode("utf-8", "surrogateescape") + "\n"
            skipping = False
        if len(rest) > LONGEST_LINE:
            rest, skipping = b"", True
    if rest or skipping:
        yield _TOO_LONG if skipping else rest.decode("utf-8", "surrogateescape")


def read_csv(physical_lines: Iterable[str]) -> Iterator[Record]:
    """RFC 4180 with a header; blank lines are skipped, and a line that can't be read is a record that says why.

    Raises Invalid for a wrong header, BrokenOff.
    """
    source = _Source(physical_lines)
    reader = csv.reader(source, strict=True)
    columns = _columns(source, reader)
    while True:
        line = source.begin_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if source.ended and "unexpected end of data" in str(error):
                raise BrokenOff(f"The file ends inside a quoted field of the record that begins on line {line}.") from error
            if "field limit" in str(error):
                source.give_back()
            yield Record(line, Problem("", _unreadable(str(error))))
            continue
        if cells:
            yield Record(line, _fields(columns, cells))


def read_ndjson(physical_lines: Iterable[str]) -> Iterator[Record]:
    """A JSON object a line. Raises BrokenOff."""
    for number, line in enumerate(physical_lines, 1):
        text = line.removeprefix(_BOM) if number == 1 else line
        if text.strip():
            yield Record(number, _object(text))


class _Source:
    """The lines of a file, numbered from 1, of which those of the present record can be had again."""

    def __init__(self, physical_lines: Iterable[str]) -> None:
        self._lines = iter(physical_lines)
        self._again: list[str] = []  # the next one last
        self._taken: list[str] = []  # since the record began
        self._number = 0
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._lines, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self._number += 1
        self._taken.append(line)
        return line.removeprefix(_BOM) if self._number == 1 else line

    def begin_record(self) -> int:
        """The number of the line where it begins."""
        self._taken.clear()
        return self._number + 1

    def give_back(self) -> None:
        """All but the record's first line: a quote never closed must not swallow the lines of others."""
        self._again += reversed(self._taken[1:])
        self._number -= len(self._taken) - 1


def _columns(source: _Source, reader: Iterator[list[str]]) -> list[str]:
    """Names are never quoted in an answer: a file without a header begins with a person.

    Raises Invalid, BrokenOff.
    """
    try:
        names = [name.strip() for name in next(filter(None, reader), [])]
    except csv.Error as error:
        if source.ended:
            raise BrokenOff from error
        raise Invalid([Problem("header", _unreadable(str(error)))]) from error
    unknown = [number for number, name in enumerate(names, 1) if name not in FIELDS]
    problems = [Problem(f"column {number}", f"is none of {', '.join(FIELDS)}") for number in unknown]
    problems += [Problem(name, "is a column twice") for name in FIELDS if names.count(name) > 1]
    problems += [Problem(name, "is a required column and missing") for name in REQUIRED if name not in names]
    if problems:
        raise Invalid(problems)
    return names


def _fields(columns: list[str], cells: list[str]) -> dict[str, Any] | Problem:
    if len(cells) != len(columns):
        return Problem("", f"has {len(cells)} columns, the header {len(columns)}")
    if not _is_utf8(cells):
        return Problem("", "is not UTF-8")
    fields: dict[str, Any] = dict(zip(columns, cells, strict=True))
    if attributes := fields.get("attributes", "").strip():
        fields["attributes"] = _attributes(attributes)
    return fields


def _is_utf8(cells: list[str]) -> bool:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _attributes(cell: str) -> Any:
    """What is no JSON stays text, which the rules of the field refuse."""
    try:
        return msgspec.json.decode(cell)
    except (msgspec.DecodeError, RecursionError):
        return cell


def _object(text: str) -> dict[str, Any] | Problem:
    """Raises BrokenOff."""
    try:
        value = msgspec.json.decode(text)
    except UnicodeEncodeError:
        return Problem("", "is not UTF-8")
    except (msgspec.DecodeError, RecursionError) as error:
        if not text.endswith("\n") and "truncated" in str(error):
            raise BrokenOff from error
        return Problem("", "is not JSON")
    return value if isinstance(value, dict) else Problem("", "is not a JSON object")


def _unreadable(said: str) -> str:
    if "field limit" in said:
        return "is too long, or has a quote that is never closed"
    if "expected after" in said:
        return "has text after a closing quote"
    return "has a carriage return outside of quotes"
