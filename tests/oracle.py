"""Who should hear what, and at which instant? A plain script that shares no code with Ninebell, to hold it against.

python tests/oracle.py PEOPLE.csv FROM TO

Prints sorted lines `user,type,occasion,due_at` for every occasion whose local date is in [FROM, TO), of every person by their
last valid line; dates in the file are validated against FROM.
"""

import csv
import re
import sys
import unicodedata
import warnings
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path

import holidays

zoneinfo.reset_tzpath(to=())

COLUMNS = {
    "external_id",
    "first_name",
    "last_name",
    "email",
    "timezone",
    "birthday",
    "anniversary",
    "country",
    "message_types",
    "preferred_time",
}
TYPES = {"BIRTHDAY", "ANNIVERSARY", "HOLIDAY_GREETING"}
ZONES = zoneinfo.available_timezones() - {"Factory"}
COUNTRY = re.compile(r"[A-Z]{2}|")
TURNS_TEXT = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def expected(people_path: str | Path, start: date, end: date) -> set[tuple[str, str, str, str]]:
    """(user, type, occasion, due_at) of everything that is to be sent, `due_at` as YYYY-MM-DDTHH:MM:SSZ."""
    return {
        (user, kind, day.isoformat(), instant(day, person).strftime("%Y-%m-%dT%H:%M:%SZ"))
        for user, person in people(people_path, start).items()
        for kind in set(types_of(person))
        for day in days(kind, person, start, end)
    }


def people(path: str | Path, today: date) -> dict[str, dict[str, str]]:
    """The last valid line of each external ID."""
    found = {}
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = next(rows)
        if not set(header) <= COLUMNS:
            raise SystemExit(f"unknown columns: {set(header) - COLUMNS}")
        for row in rows:
            person = dict(zip(header, (cell.strip() for cell in row), strict=False))
            if len(row) == len(header) and is_valid(person, today):
                found[person["external_id"]] = person
    return found


def is_valid(person: dict[str, str], today: date) -> bool:
    first, last = person["first_name"], person.get("last_name", "")
    return (
        person["external_id"] != ""
        and 1 <= len(first) <= 100
        and len(last) <= 100
        and not any(unicodedata.category(sign) == "Cc" or sign in TURNS_TEXT for sign in first + last)
        and len(person["email"]) <= 254
        and re.fullmatch(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+", person["email"]) is not None
        and person["timezone"] in ZONES
        and is_past(person.get("anniversary", ""), today)
        and (is_yearless(person.get("birthday", "")) or is_past(person.get("birthday", ""), today))
        and COUNTRY.fullmatch(person.get("country", "")) is not None
        and set(types_of(person)) <= TYPES
        and re.fullmatch(r"(([01]\d|2[0-3]):[0-5]\d)?", person.get("preferred_time", "")) is not None
    )


def is_yearless(text: str) -> bool:
    return re.fullmatch(r"--\d\d-\d\d", text) is not None and is_past("2000-" + text[2:], date.max)


def is_past(text: str, today: date) -> bool:
    """Whether it is empty, or a real date from 1900 to today."""
    if not text:
        return True
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return False
    try:
        return date(1900, 1, 1) <= date(int(text[:4]), int(text[5:7]), int(text[8:])) <= today
    except ValueError:
        return False


def types_of(person: dict[str, str]) -> list[str]:
    listed = [name.strip() for name in person.get("message_types", "").split(";") if name.strip()]
    return listed or ["BIRTHDAY"]


def days(kind: str, person: dict[str, str], start: date, end: date) -> Iterator[date]:
    every_day = (start + timedelta(days=count) for count in range((end - start).days))
    if kind == "HOLIDAY_GREETING":
        kept = holidays_between(person.get("country", ""), start, end)
        yield from (day for day in every_day if day in kept)
        return
    fact = person.get("birthday" if kind == "BIRTHDAY" else "anniversary", "")
    if not fact:
        return
    year = 0 if fact.startswith("--") else int(fact[:4])
    first_year = year if kind == "BIRTHDAY" else year + 1
    for candidate in range(max(start.year, first_year), end.year + 1):
        month, day = int(fact[-5:-3]), int(fact[-2:])
        if (month, day) == (2, 29) and not is_leap(candidate):
            day = 28
        if start <= date(candidate, month, day) < end:
            yield date(candidate, month, day)


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


@cache
def holidays_between(country: str, start: date, end: date) -> frozenset[date]:
    if not country:
        return frozenset()
    years = range(start.year, end.year + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package says so where it knows only part of a far year
        return frozenset(holidays.country_holidays(country, years=years, language="en_US", observed=False))


def instant(day: date, person: dict[str, str]) -> datetime:
    # zoneinfo reads a time in a gap by the offset before it (so it moves forward), and one that comes twice as the first.
    at = time.fromisoformat(person.get("preferred_time") or "09:00")
    return datetime.combine(day, at, zoneinfo.ZoneInfo(person["timezone"])).astimezone(UTC)


def main() -> None:
    path, start, end = sys.argv[1:]
    for line in sorted(expected(path, date.fromisoformat(start), date.fromisoformat(end))):
        print(",".join(line))


if __name__ == "__main__":
    main()
