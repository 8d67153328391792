"""Who is to be greeted at one instant, wherever they live?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

# without daylight saving, so that a wall time is one instant on any day the tests run; of every region of the bus
ZONES = ("Asia/Kathmandu", "America/Bogota", "Africa/Lagos", "Pacific/Kiritimati", "Atlantic/Reykjavik", "Europe/Istanbul")
REGISTERED_WITHIN = timedelta(minutes=10)
COLUMNS = "external_id,first_name,last_name,email,timezone,birthday,preferred_time"


def next_minute(at_least_seconds: float) -> datetime:
    """The first whole minute that is at least so far away."""
    return (datetime.now(UTC) + timedelta(seconds=at_least_seconds, minutes=1)).replace(second=0, microsecond=0)


def this_minute() -> datetime:
    """The last whole minute that has begun: whoever is due then is due now."""
    return datetime.now(UTC).replace(second=0, microsecond=0)


def person(due_at: datetime, zone: str, number: int = 0) -> dict[str, str]:
    """Someone whose birthday message falls due at this whole minute."""
    local = due_at.astimezone(ZoneInfo(zone))
    return {
        "external_id": f"person-{number}",
        "first_name": f"Given{number}",
        "last_name": f"Family{number}",
        "email": f"person{number}@example.org",
        "timezone": zone,
        "birthday": f"1988-{local:%m-%d}",  # a leap year, so that tests run on any day
        "preferred_time": f"{local:%H:%M}",
    }


def zones_for(due_at: datetime) -> list[str]:
    """Those where it goes on being the day of this instant for a while: nobody is greeted for a day before they registered."""
    later = max(due_at, datetime.now(UTC)) + REGISTERED_WITHIN
    return [zone for zone in ZONES if due_at.astimezone(ZoneInfo(zone)).date() == later.astimezone(ZoneInfo(zone)).date()]


def crowd(number: int, due_at: datetime) -> bytes:
    """A CSV file of so many people, all due at this whole minute."""
    zones = zones_for(due_at)
    people = (person(due_at, zones[index % len(zones)], index) for index in range(number))
    return "\n".join([COLUMNS, *(",".join(one[column] for column in COLUMNS.split(",")) for one in people), ""]).encode()
