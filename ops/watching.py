"""What is there to watch in this installation, and what should a person see to?"""

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from application.channel_states import Used
from application.due_messages import DueMessages
from application.ports import StoreUnavailable
from application.provider_limit import ProviderLimit, stopped_until
from infrastructure.channel_states import PostgresChannels
from infrastructure.measures import Audited, Measures
from infrastructure.pauses import PostgresPauses
from infrastructure.read_replica import ReadReplica
from ops.wiring import Parts

LONGEST_LAG_SECONDS: Final = 60.0


def measures(parts: Parts) -> Measures:
    return Measures(parts.database, parts.channels.names, DueMessages(parts.types, parts.channels).priorities)


def notes(parts: Parts, replica: ReadReplica | None = None) -> list[str]:
    """For readiness, which tells of a database that is away in its own way."""
    copied = [told] if replica and (told := replica_told(replica)) else []
    try:
        found = doubts_told(measures(parts).audited(), parts.clock.now())
        parked = sum(follower.parked for follower in parts.followers.status(parts.clock.now()))
        paused = [f"{pause.name or 'everything'} is paused" for pause in PostgresPauses(parts.database).open()]
    except StoreUnavailable:
        return copied
    left_alone = [f"{parked} left alone: ninebell parked list says which"] if parked else []
    return [*([found] if found else []), *left_alone, *paused, *copied]


def limits_told(parts: Parts) -> dict[str, str]:
    """Of each channel whose limit lets nothing out for now: until when. Raises StoreUnavailable."""
    limited = parts.channels.that_may_stop
    used = PostgresChannels(parts.database).used(list(limited)) if limited else {}
    return {name: told for name, found in used.items() if (told := used_up_told(limited[name][1], found))}


def used_up_told(limit: ProviderLimit, used: Used) -> str | None:
    """None while it lets something out within a minute."""
    until = stopped_until(used.usage, limit, used.at, used.share)
    if until is None:
        return None
    by_a_window = stopped_until(used.usage, replace(limit, daily_quota=None), used.at, used.share)
    return f"waits: its {'limit' if by_a_window else 'quota'} is used up until {until:%Y-%m-%d %H:%M}Z"


def replica_told(replica: ReadReplica) -> str | None:
    """None while it answers, and is not far behind."""
    if replica.trouble:
        return f"the read replica {replica.trouble}: the primary answers queries"
    if replica.standing.behind_seconds > LONGEST_LAG_SECONDS:
        return f"the read replica is {replica.standing.behind_seconds:.0f} s behind"
    return None


def doubts_told(found: Audited, now: datetime) -> str | None:
    """None where there are none."""
    if not found.in_doubt:
        return None
    hours = (now - found.oldest_doubt_at).total_seconds() / 3600 if found.oldest_doubt_at else 0
    return f"{found.in_doubt} in doubt, the oldest for {hours:.1f} h: ninebell messages list --status in_doubt names them"
