"""An upload of people over HTTP: streamed in, checked line by line, applied once it is whole, and told of line by line."""

from collections.abc import Iterator
from datetime import date
from http import HTTPStatus
from tempfile import SpooledTemporaryFile
from typing import IO, Final

import msgspec
from starlette.responses import Response, StreamingResponse

from api import position_wire
from api.endpoint import Call
from api.people_wire import lines, read_csv, read_ndjson
from api.request_wire import NoParameters
from application.import_users import ImportOptions, ImportReport, Rejection, import_users

CSV: Final = "text/csv"
NDJSON: Final = "application/x-ndjson"

_IN_MEMORY: Final = 1024 * 1024  # of rejections; more of them go to a file
_CHUNK: Final = 64 * 1024


class ImportPeople(NoParameters, frozen=True, kw_only=True):
    """How to apply what is uploaded."""

    first_occasion: date | None = None
    dry_run: bool = False
    readmit: bool = False


def import_people(call: Call[ImportPeople]) -> Response:
    """Register and replace people, line by line; a bad line stops nothing, an upload that breaks off applies nothing."""
    service, asked = call.service, call.query
    read = read_csv if call.media_type == CSV else read_ndjson
    rejections = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  the answer closes it

    def reject(rejection: Rejection) -> None:
        rejections.write(msgspec.json.encode(rejection) + b"\n")

    now = call.now
    try:
        with service.staging(call.origin, now) as staging:
            report = import_users(
                read(lines(call.chunks)),
                reject,
                ImportOptions(first_occasion=asked.first_occasion, dry_run=asked.dry_run, readmit=asked.readmit),
                staging=staging,
                store=service.store,
                types=service.types,
                origin=call.origin,
                now=now,
                new_id=service.new_id,
            )
    except BaseException:
        rejections.close()
        raise
    headers = {position_wire.HEADER: position_wire.encode(service.store.head())}
    as_lines = NDJSON in call.accept
    told = _as_lines(report, rejections) if as_lines else _as_json(report, rejections)
    return StreamingResponse(told, HTTPStatus.OK, headers, NDJSON if as_lines else "application/json")


def _as_lines(report: ImportReport, rejections: IO[bytes]) -> Iterator[bytes]:
    with rejections:
        rejections.seek(0)
        while chunk := rejections.read(_CHUNK):
            yield chunk
        yield msgspec.json.encode(report) + b"\n"


def _as_json(report: ImportReport, rejections: IO[bytes]) -> Iterator[bytes]:
    """The report with one field more, which is never in memory as a whole."""
    with rejections:
        rejections.seek(0)
        yield msgspec.json.encode(report)[:-1] + b',"rejections":['
        rest = rejections.read(_CHUNK)
        while rest:
            ahead = rejections.read(_CHUNK)
            yield (rest if ahead else rest[:-1]).replace(b"\n", b",")
            rest = ahead
        yield b"]}"
