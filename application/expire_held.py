"""What of the messages that are held back, by a pause or a breaker, has become too late meanwhile?"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from application.channel_plan import ChannelPlan
from application.channel_states import ChannelState
from application.dispatcher_ports import DispatcherWork, DueMessage
from application.due_messages import DueMessages
from application.pause_sending import PausedNames

PAGE: Final = 1_000
LOOK_EVERY: Final = timedelta(seconds=10)
"""A look goes through all that waits."""


class ExpireHeld:
    """What waits in the order of sending is found too late when its turn comes; what has no turn is looked for now and then."""

    def __init__(self, channels: ChannelPlan, rows: DueMessages) -> None:
        self._channels, self._rows = channels, rows
        self._looked_at: datetime | None = None

    def page(
        self, work: DispatcherWork, states: Mapping[str, ChannelState], paused: PausedNames, now: datetime
    ) -> list[DueMessage]:
        """A full one if there may be more, which the next call finds."""
        held = bool(paused) or any(state.shut or state.breaker != "closed" for state in states.values())
        if not held or (self._looked_at is not None and abs(now - self._looked_at) < LOOK_EVERY):
            return []
        found = work.too_late(self._channels.names, self._rows.priorities, now, PAGE)
        self._looked_at = None if len(found) == PAGE else now
        return found
