"""What may have been sent in a past that the database has lost, because it was restored from a backup?"""

from collections.abc import Sequence
from typing import Final

from application.dispatcher_ports import DispatcherWork, DueMessage, LostSpan
from application.readable import readable
from domain import message_decisions
from domain.event import Event

RESTORED: Final = "restored"


class LostPast:
    """The lost spans, as a dispatcher knows them: whoever records one deposes it first."""

    def __init__(self, spans: Sequence[LostSpan] = ()) -> None:
        self._spans = spans

    def told_apart(
        self, work: DispatcherWork, due: Sequence[DueMessage]
    ) -> tuple[list[tuple[DueMessage, Event]], Sequence[DueMessage]]:
        """What was planned anew for a lost span, each with the doubt to be recorded; and the rest.

        What was in doubt since is known of again. What can't be read is neither sent nor doubted, but parked.
        """
        held = {row.message_id: row for row in due if any(span.may_hold(row.ready_at, row.send_before) for span in self._spans)}
        if not held:
            return [], due
        streams = readable(work.load_messages, held)
        work.drop_due({message_id: held[message_id].version for message_id in held.keys() - streams.keys()})
        doubts: list[tuple[DueMessage, Event]] = []
        known = set()
        for message_id, stream in streams.items():
            message, row = stream.state, held[message_id]
            if message is None or message.attempted or message.status not in ("scheduled", "retrying"):
                known.add(message_id)
            else:
                doubt = message_decisions.put_in_doubt(message, reason=RESTORED, channel=row.channel, dispatch_id=None)
                doubts += [(row, event) for event in doubt]
        return doubts, [row for row in due if row.message_id not in held or row.message_id in known]
