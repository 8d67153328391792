"""What of the messages that are held back, by a pause, a breaker or a want of room, has become too late meanwhile?"""

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
AT_ANY_RATE_EVERY: Final = timedelta(minutes=1)
"""What a full channel or a limit holds back gets its turn, but not always in time."""


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
        every = LOOK_EVERY if held else AT_ANY_RATE_EVERY
        if self._looked_at is not None and abs(now - self._looked_at) < every:
            return []
        found = work.too_late(self._channels.names, self._rows.priorities, now, PAGE)
        self._looked_at = None if len(found) == PAGE else now
        return found
