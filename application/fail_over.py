"""Which due messages go on through another channel while theirs is not to be called?"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from application.channel_plan import ChannelPlan
from application.channel_states import ChannelState
from application.dispatcher_ports import DispatcherWork, DueMessage
from application.due_messages import DueMessages
from application.pause_sending import PausedNames, is_paused
from application.ports import Group, NewEvents, Origin, Stream
from application.readable import readable
from domain import message_decisions
from domain.scheduled_message import ScheduledMessage

PAGE: Final = 1_000
FAIL_OVER: Final = Origin(who="dispatcher", causation_id="breaker")


class FailOver:
    """An open breaker sends on those whose type has another channel, and of which no provider can have heard.

    Half-open, it keeps them: one is its trial, and the others wait for what comes of that, about as long as a call takes.
    """

    def __init__(self, channels: ChannelPlan, rows: DueMessages) -> None:
        self._channels, self._rows = channels, rows

    def away_from(
        self,
        work: DispatcherWork,
        states: Mapping[str, ChannelState],
        paused: PausedNames,
        used_up: Collection[str],
        now: datetime,
    ) -> bool:
        """A page of each such channel, in the transaction of the dispatcher; whether there may be more.

        What is paused stays where it is, and nothing goes on to where it would have to wait: `used_up` are those whose limit
        lets nothing out for now.
        """
        failing = [name for name in self._channels.names if name in states and states[name].breaker == "open"]
        shut = {*paused, *used_up, *(name for name, state in states.items() if state.shut or state.breaker != "closed")}
        return any(self._page(work, name, shut, paused, now) for name in failing if not is_paused(paused, name))

    def _page(self, work: DispatcherWork, channel: str, shut: Collection[str], paused: PausedNames, now: datetime) -> bool:
        types = self._channels.failing_over(channel, [one for one in self._rows.types if one not in paused], shut)
        due = work.due(channel, self._rows.priorities, now, PAGE, types) if types else []
        streams = readable(work.load_messages, [row.message_id for row in due])
        told = [row for row in due if row.message_id in streams]
        work.drop_due({row.message_id: row.version for row in due if row.message_id not in streams})
        groups = [group for row in told if (group := self._moved(row, streams[row.message_id], channel, shut))]
        if not groups:
            return False
        work.append(groups, FAIL_OVER, now)
        self._rows.look_up(work, [group.appends[0].stream_id for group in groups])
        return len(due) == PAGE

    def _moved(self, row: DueMessage, stream: Stream[ScheduledMessage], channel: str, shut: Collection[str]) -> Group | None:
        message, to = stream.state, self._channels.next_channel(row.message_type, channel, shut)
        if to is None or message is None or message.in_doubt or message.status not in ("scheduled", "retrying"):
            return None
        events = message_decisions.fail_over(message, from_channel=channel, to_channel=to)
        return Group((NewEvents("messages", row.message_id, stream.version, tuple(events), stream.story),))
