"""Does the audit tell what an outage made late, and what it made expire, by day, zone and type?"""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from application.audit_messages import Audit, audit_messages
from domain.timezones import canonical
from infrastructure.audit_query import open_books
from infrastructure.database import Database
from ops.settings import Settings
from ops.simulation import Outage, Span, live
from ops.simulation_people import Shard
from ops.simulation_record import Row

ZONES: Final = ("Pacific/Kiritimati", "Asia/Tokyo", "Asia/Calcutta", "Europe/London", "US/Eastern", "Pacific/Honolulu")
START, END = date(2027, 5, 14), date(2027, 5, 19)
DOWN: Final = Outage(datetime(2027, 5, 15, 6, tzinfo=UTC), datetime(2027, 5, 16, 19, 30, tzinfo=UTC))


def people(file: Path) -> Path:
    """In every zone somebody for every day, by both types, at nine and in the evening."""
    days = [START + timedelta(days=day) for day in range((END - START).days)]
    lines = [
        f"{zone}-{day}-{at[:2]},Ada,ada@example.org,{zone},1990-{day:%m-%d},2001-{day:%m-%d},BIRTHDAY;ANNIVERSARY,{at}"
        for zone in ZONES
        for day in days
        for at in ("", "21:00")
    ]
    header = "external_id,first_name,email,timezone,birthday,anniversary,message_types,preferred_time"
    file.write_text("\n".join([header, *lines, ""]))
    return file


def lived(dsn: str, file: Path) -> list[Row]:
    """The real planner, dispatcher and worker."""
    span = Span(people=people(file), start=START, end=END, outage=DOWN)
    return live(Settings.model_validate({}), dsn, span, Shard(), lambda _: None).rows


def audited(dsn: str) -> Audit:
    with Database(dsn, application_name="test") as database, open_books(database) as books:
        return audit_messages(books, START, END, ("day", "zone", "type"))


def test_what_was_late_and_what_expired_is_told_by_day_zone_and_type(database: str, tmp_path: Path) -> None:
    rows = lived(database, tmp_path / "people.csv")
    found = audited(database)
    assert (found.balanced, found.total.scheduled) == (True, len(rows))
    keys = [(row.occasion, canonical(row.timezone), row.type) for row in rows]
    late = Counter(key for key, row in zip(keys, rows, strict=True) if row.reason == "late")
    expired = Counter(key for key, row in zip(keys, rows, strict=True) if row.status == "expired")
    assert isinstance(found.rows, list)
    told = {(str(sum_.day), sum_.timezone, sum_.message_type): (sum_.late, sum_.expired) for sum_ in found.rows}
    assert told == {key: (late[key], expired[key]) for key in set(keys)}
    assert (sum(late.values()), sum(expired.values())) == (found.total.late, found.total.expired)
    assert min(late.total(), expired.total(), found.total.sent - found.total.late) > 10
