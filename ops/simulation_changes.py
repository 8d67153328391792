"""What happens to people in the middle of a simulation, and how does it reach them? The file of `--changes`."""

import csv
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from application.change_user import change_user
from application.erase_user import erase_user
from application.import_users import Rejection
from application.ports import EventStore, Origin
from application.suppress_user import suppress_user, unsuppress_user
from domain.errors import Gone, Invalid, Problem
from domain.message_type import MessageTypes
from domain.user import Details
from domain.user_details import REQUIRED, parse_details
from ops.instants import instant
from ops.settings import WrongSettings

COLUMNS: Final = ("at", "external_id", "field", "value")
CHANGES_FILE: Final = Origin("cli")


class Change(Struct, frozen=True):
    """One line of the file."""

    line: int
    at: datetime
    external_id: str
    field: str
    value: str


def read_changes(file: Path, reject: Callable[[Rejection], None]) -> list[Change]:
    """By instant, those of one instant as they stand in the file. Raises WrongSettings for a file of another shape."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as source:
            reader = csv.DictReader(source, strict=True)
            if sorted(reader.fieldnames or ()) != sorted(COLUMNS):
                raise WrongSettings(f"{file}: the header must be {','.join(COLUMNS)}")
            changes = [change for row in reader if (change := _change(reader.line_num, row, reject))]
    except OSError as error:
        raise WrongSettings(f"{error.filename}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise WrongSettings(f"{file}: is not CSV in UTF-8") from error
    return sorted(changes, key=lambda change: change.at)


def _change(line: int, row: dict[str, Any], reject: Callable[[Rejection], None]) -> Change | None:
    if None in row or None in row.values():
        reject(Rejection(line, "", f"must have {len(COLUMNS)} columns"))
        return None
    cells = {name: text.strip() for name, text in row.items()}
    try:
        return Change(line, instant(cells["at"]), cells["external_id"], cells["field"], cells["value"])
    except ValueError:
        reject(Rejection(line, "at", "must be an instant such as 2027-05-15T08:00:00Z"))
        return None


def apply_change(
    change: Change, store: EventStore, types: MessageTypes, now: datetime, reject: Callable[[Rejection], None]
) -> None:
    """As a client would have it done; what is refused is told and changes nothing."""
    try:
        _apply(change, store, types, now)
    except Invalid as invalid:
        for problem in invalid.problems:
            reject(Rejection(change.line, problem.field, problem.reason))
    except Gone:
        reject(Rejection(change.line, "external_id", "erased"))


def _apply(change: Change, store: EventStore, types: MessageTypes, now: datetime) -> None:
    user_id = store.user_of(change.external_id)
    if user_id is None:
        raise Invalid([Problem("external_id", "is nobody's")])
    match change.field:
        case "erase":
            erase_user(user_id, store, CHANGES_FILE, now)
        case "suppress":
            suppress_user(user_id, change.value or "simulated", store, CHANGES_FILE, now)
        case "unsuppress":
            unsuppress_user(user_id, store, CHANGES_FILE, now)
        case _:
            change_user(user_id, partial(_revised, change, types, now), store, CHANGES_FILE, now)


def _revised(change: Change, types: MessageTypes, now: datetime, details: Details) -> Details:
    """Raises Invalid."""
    if change.field == "external_id":
        raise Invalid([Problem("external_id", "is for life")])
    value = _attributes(change.value) if change.field == "attributes" else change.value
    said = {name: getattr(details, name) for name in REQUIRED} | {change.field: value}
    revised = parse_details(said, types=types, now=now)
    return replace(details, **{change.field: getattr(revised, change.field)})


def _attributes(text: str) -> Any:
    """What is no JSON stays text, which the rules of the field refuse."""
    try:
        return msgspec.json.decode(text) if text else None
    except msgspec.DecodeError:
        return text
