"""How is a message handed to a mail server, over connections that are kept for the next one?"""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final
from uuid import UUID

from aiosmtplib import SMTP, SMTPException

from application.delivery_ports import Accepted, Ambiguous, Answer, Letter, NotAccepted, Rejected
from infrastructure.channels.smtp_session import Call, Server, Tls, connect, hand_over, hang_up, leave
from infrastructure.channels.smtp_wire import Mail, encode, parse_sender

KEEP_SECONDS: Final = 5.0  # shorter than any usual server's patience
GOOD_BYE_SECONDS: Final = 1.0


class SmtpChannel:
    """A Channel over SMTP (RFC 5321). A mail server can't be asked and deduplicates nothing."""

    idempotent = False
    askable = False
    bulk = 1

    def __init__(
        self,
        name: str,
        *,
        host: str,
        port: int,
        user: str | None,
        password: str | None,
        tls: Tls,
        sender: str,
        concurrency: int,
        call_timeout_seconds: float,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """`sender` is an address, or a name and an address; `now` dates the messages, else the server does.

        Raises ValueError for a sender that is none.
        """
        self.name = name
        self.concurrency = concurrency
        self.call_timeout_seconds = call_timeout_seconds
        self._sender = parse_sender(sender)
        self._now = now
        context = None if tls == "none" else ssl.create_default_context()
        self._server = Server(host, port, self._sender.domain, user, password, tls, context)
        self._free = asyncio.Semaphore(concurrency)
        self._kept: list[tuple[SMTP, float]] = []  # and since when, the latest last
        self._tidying: asyncio.TimerHandle | None = None

    async def send(self, letter: Letter, *, key: str, repeat: bool) -> Answer:
        """One message. Never raises, save when its task is cancelled: then anything may have been sent."""
        mail = encode(letter, self._sender, self._now() if self._now else None)
        if isinstance(mail, Rejected):
            return mail
        call = Call()
        try:
            async with asyncio.timeout(self.call_timeout_seconds), self._free:
                return await self._send(mail, call)
        except TimeoutError:
            return call.broken_off("timeout")

    async def send_bulk(self, letters: Sequence[Letter], *, key: str, repeat: bool) -> Mapping[UUID, Answer]:
        """One after the other: SMTP has no such call."""
        return {letter.message_id: await self.send(letter, key=key, repeat=repeat) for letter in letters}

    async def lookup(self, message_id: UUID) -> Accepted | NotAccepted | Ambiguous:
        """Nobody can tell: SMTP has no such question."""
        return Ambiguous("not_askable")

    async def close(self) -> None:
        if self._tidying is not None:
            self._tidying.cancel()
        kept, self._kept = self._kept, []
        await asyncio.gather(*(_say_good_bye(smtp) for smtp, _ in kept))

    async def _send(self, mail: Mail, call: Call) -> Answer:
        while self._kept:
            answer = await self._hand_over(self._kept.pop()[0], mail, call)
            if call.handed_over or not _is_stale(answer):
                return answer
        smtp = await connect(self._server)
        return smtp if isinstance(smtp, NotAccepted) else await self._hand_over(smtp, mail, call)

    async def _hand_over(self, smtp: SMTP, mail: Mail, call: Call) -> Answer:
        """Keeps the connection if it is good for another message."""
        answer: Answer | None = None
        try:
            answer = await hand_over(smtp, mail, call)
            return answer
        finally:
            if answer is None:
                hang_up(smtp)
            elif isinstance(answer, Accepted) and smtp.is_connected:
                self._keep(smtp)
            else:
                leave(smtp)

    def _keep(self, smtp: SMTP) -> None:
        loop = asyncio.get_running_loop()
        self._kept.append((smtp, loop.time()))
        if self._tidying is None:
            self._tidying = loop.call_later(KEEP_SECONDS, self._tidy)

    def _tidy(self) -> None:
        """Leave those that nobody wanted any more."""
        loop, self._tidying = asyncio.get_running_loop(), None
        while self._kept and loop.time() - self._kept[0][1] >= KEEP_SECONDS:
            leave(self._kept.pop(0)[0])
        if self._kept:
            self._tidying = loop.call_at(self._kept[0][1] + KEEP_SECONDS, self._tidy)


def _is_stale(answer: Answer) -> bool:
    """A kept connection that the server has closed, or closes now: it knows nothing of this message."""
    return isinstance(answer, NotAccepted) and (answer.error == "connection_cut" or answer.error.endswith(":421"))


async def _say_good_bye(smtp: SMTP) -> None:
    with suppress(SMTPException, OSError, TimeoutError):
        async with asyncio.timeout(GOOD_BYE_SECONDS):
            await smtp.quit()
    hang_up(smtp)
