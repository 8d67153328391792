"""What is there to watch in this installation, and what should a person see to?"""

from datetime import datetime
from typing import Final

from application.due_messages import DueMessages
from application.ports import StoreUnavailable
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
