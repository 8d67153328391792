"""What a client may say of a person: every rule, and every wrong field named with its reason."""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from domain.errors import Invalid, Problem
from domain.template import LANGUAGE
from domain.timezones import NAMES, local_date, nearest
from domain.user import Details

REQUIRED: Final = ("external_id", "first_name", "email", "timezone")
"""The columns a file must have; a request may leave `external_id` out."""
FIELDS: Final = Details.__struct_fields__
EARLIEST: Final = date(1900, 1, 1)
_A_DAY: Final = timedelta(days=1)
DEFAULT_TYPES: Final = ("BIRTHDAY",)

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_YEARLESS = re.compile(r"--\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)
_ATOM = r"[^\s@<>(),;:\\\"\[\].]+"
_LABEL = r"[^\W_]([\w-]{0,61}[^\W_])?"
_EMAIL = re.compile(rf"{_ATOM}(\.{_ATOM})*@({_LABEL}\.)+[^\W\d_]([\w-]{{0,61}}[^\W_])")
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # category Cc, and the signs of text direction


class _Wrong(Exception):
    """Why a value is refused. Quotes no name and no address."""


def parse_details(fields: Mapping[str, Any], *, types: Collection[str], now: datetime, today: date | None = None) -> Details:
    """Check and convert what a client said; white space around text is trimmed, an empty text or null clears.

    `fields` holds text, but `message_types` may be a list and `attributes` is an object of text; `types` are the known ones.
    Dates must not lie after `today`; if it is not given, that is the date at `now` where the person lives.
    Raises Invalid naming every wrong field.
    """
    problems: list[Problem] = []
    if not fields.keys() <= _PARSERS.keys():
        problems = [Problem(name, "is not a field of a person") for name in fields if name not in _PARSERS]
    values: dict[str, Any] = {}
    for name, parse in _PARSERS.items():
        value = fields.get(name)
        if isinstance(value, str):
            value = value.strip() or None
        if value is None and name not in _NEVER_NOTHING:
            continue
        try:
            values[name] = parse(value)
        except _Wrong as wrong:
            problems.append(Problem(name, str(wrong)))
    problems += _unknown_types(values, types) + _misplaced_dates(values, today, now)
    if problems:
        raise Invalid(problems)
    return Details(**values)


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str):
        raise _Wrong("must be text")
    if len(value) > most:
        raise _Wrong(f"is longer than {most} characters")
    if not value.isprintable() and _CONTROL.search(value):
        raise _Wrong("holds control or text-direction characters")
    return value


def _external_id(value: Any) -> str:
    return _text(value, 200)


def _first_name(value: Any) -> str:
    if value is None:
        raise _Wrong("is required: 1 to 100 characters")
    return _text(value, 100)


def _last_name(value: Any) -> str:
    return _text(value, 100)


def _email(value: Any) -> str:
    if value is None:
        raise _Wrong("is required, such as name@example.com")
    if not _EMAIL.fullmatch(_text(value, 254)):
        raise _Wrong("is not an e-mail address such as name@example.com")
    return str(value)


def _timezone(value: Any) -> str:
    if value is None:
        raise _Wrong("is required: an IANA zone such as Europe/Paris")
    if not isinstance(value, str):
        raise _Wrong("must be text: an IANA zone such as Europe/Paris")
    if value not in NAMES:
        near = nearest(value)
        raise _Wrong(f"{value[:64]!r} is not an IANA zone" + (f"; did you mean {near}?" if near else ", such as Europe/Paris"))
    return value


def _birthday(value: Any) -> str:
    if isinstance(value, str) and _YEARLESS.fullmatch(value):
        try:
            date.fromisoformat(f"2000{value[1:]}")
        except ValueError:
            raise _Wrong("is not a day of the calendar") from None
        return value
    return _date(value, "YYYY-MM-DD, or --MM-DD without the year").isoformat()


def _anniversary(value: Any) -> date:
    return _date(value, "YYYY-MM-DD")


def _date(value: Any, form: str) -> date:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise _Wrong(f"must be written {form}")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise _Wrong("is not a day of the calendar") from None


def _country(value: Any) -> str:
    if not isinstance(value, str) or not _COUNTRY.fullmatch(value):
        raise _Wrong(f"{str(value)[:64]!r} is not an upper-case ISO 3166-1 alpha-2 code such as FR")
    return value


def _language(value: Any) -> str:
    if not isinstance(value, str) or not LANGUAGE.fullmatch(value):
        raise _Wrong("is not a language tag such as en or pt-BR")
    return value


def _preferred_time(value: Any) -> time:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise _Wrong("must be written HH:MM, from 00:00 to 23:59")
    return time.fromisoformat(value)


def _message_types(value: Any) -> tuple[str, ...]:
    listed = value.split(";") if isinstance(value, str) else value
    if listed is None:
        return DEFAULT_TYPES
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise _Wrong("must be a list of message types")
    return tuple(dict.fromkeys(name.strip() for name in listed if name.strip())) or DEFAULT_TYPES


def _attributes(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise _Wrong("must be an object whose values are text")
    if len(value) > 50 or any(len(name) > 100 or len(text) > 1000 for name, text in value.items()):
        raise _Wrong("has over 50 entries, a name over 100 or a value over 1,000 characters")
    return value


_PARSERS: Final[dict[str, Callable[[Any], Any]]] = {
    "external_id": _external_id,
    "first_name": _first_name,
    "last_name": _last_name,
    "email": _email,
    "timezone": _timezone,
    "birthday": _birthday,
    "anniversary": _anniversary,
    "country": _country,
    "language": _language,
    "preferred_time": _preferred_time,
    "message_types": _message_types,
    "attributes": _attributes,
}
_NEVER_NOTHING: Final = frozenset({"first_name", "email", "timezone", "message_types"})
"""What is parsed even if nothing is said; the others are then as Details has them."""


def _unknown_types(values: Mapping[str, Any], types: Collection[str]) -> list[Problem]:
    unknown = [name for name in values.get("message_types", ()) if name not in types]
    if not unknown:
        return []
    known = ", ".join(sorted(types))
    return [Problem("message_types", f"{name[:64]!r} is not a message type; known are {known}") for name in unknown]


def _misplaced_dates(values: Mapping[str, Any], today: date | None, now: datetime) -> list[Problem]:
    """A date must lie between 1900 and today where the person is; with a wrong zone, today is the earliest one on earth."""
    problems = []
    surely = today or now.date() - _A_DAY  # no zone is a whole day behind
    for name in ("birthday", "anniversary"):
        value = values.get(name)
        if value is None or str(value).startswith("--"):
            continue
        day = date.fromisoformat(str(value))
        if day > surely and day > (today or local_date(now, values.get("timezone", "Etc/GMT+12"))):
            problems.append(Problem(name, "lies in the future"))
        elif day < EARLIEST:
            problems.append(Problem(name, "lies before 1900"))
    return problems
