"""How is a mail server talked to over one connection, and how far had a call got when it broke off?"""

from asyncio import WriteTransport
from contextlib import suppress
from ssl import SSLContext, SSLError
from typing import Literal, cast

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPHeloError,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
    SMTPStatus,
)
from msgspec import Struct

from application.delivery_ports import Ambiguous, Answer, NotAccepted, Rejected
from infrastructure.channels.smtp_wire import Mail, read_final, read_refusal, refused_sender, trouble

Tls = Literal["none", "starttls", "tls"]


class Server(Struct, frozen=True):
    """Where to, and as whom."""

    host: str
    port: int
    hello: str  # what we call ourselves
    user: str | None
    password: str | None
    tls: Tls
    context: SSLContext | None


class Call:
    """How far one call has got."""

    connected = False
    handed_over = False  # the final dot has been written: from here on the server may have the message

    def broken_off(self, why: str) -> NotAccepted | Ambiguous:
        if self.handed_over:
            return Ambiguous(why)
        return NotAccepted(why if self.connected else f"connect_{why}")


async def connect(server: Server) -> SMTP | NotAccepted:
    """A connection that takes messages: greeted, encrypted as asked, logged in. Without encryption where it is asked: none."""
    smtp = SMTP(
        hostname=server.host,
        port=server.port,
        local_hostname=server.hello,
        use_tls=server.tls == "tls",
        start_tls=False,
        tls_context=server.context,
        timeout=None,  # the whole call has one
    )
    failed, ready = "connect_failed", False
    try:
        await smtp.connect()
        failed = "hello_failed"
        await _say_hello(smtp)
        if server.tls == "starttls":
            failed = "tls_failed"
            await smtp.starttls()
            await _say_hello(smtp)
        if server.user is not None:
            failed = "auth_failed"
            await smtp.login(server.user, server.password or "")
        ready = True
    except SMTPResponseException as refusal:
        return trouble(failed, refusal.code)
    except (SMTPException, OSError, ValueError) as error:
        return NotAccepted("tls_failed" if isinstance(error, SSLError) or isinstance(error.__cause__, SSLError) else failed)
    finally:
        if not ready:
            hang_up(smtp)
    return smtp


async def hand_over(smtp: SMTP, mail: Mail, call: Call) -> Answer:
    """One message over an open connection, which is good for another one only if it was accepted."""
    call.connected = True
    try:
        return await _hand_over(smtp, mail, call)
    except SMTPSenderRefused as refusal:
        return refused_sender(refusal.code)
    except SMTPResponseException as refusal:
        return Ambiguous("unexpected_reply") if call.handed_over else read_refusal(refusal.code)
    except (SMTPException, OSError):
        return call.broken_off("connection_cut")


def hang_up(smtp: SMTP) -> None:
    """At once: nothing that has not left yet is to leave any more."""
    if smtp.transport is not None:
        cast("WriteTransport", smtp.transport).abort()
    smtp.close()


def leave(smtp: SMTP) -> None:
    """Say good-bye, and wait for no answer."""
    if smtp.protocol is not None:
        with suppress(SMTPServerDisconnected):
            smtp.protocol.write(b"QUIT\r\n")
    smtp.close()


async def _say_hello(smtp: SMTP) -> None:
    try:
        await smtp.ehlo()
    except SMTPHeloError:
        if not smtp.is_connected:
            raise
        await smtp.helo()


async def _hand_over(smtp: SMTP, mail: Mail, call: Call) -> Answer:
    if mail.beyond_ascii and not smtp.supports_extension("smtputf8"):
        return Rejected("no_smtputf8")
    encoding, options = ("utf-8", ["SMTPUTF8"]) if mail.beyond_ascii else ("ascii", [])
    await smtp.mail(mail.sender, encoding=encoding, options=options)
    await smtp.rcpt(mail.recipient, encoding=encoding)
    go_ahead = await smtp.execute_command(b"DATA")
    if go_ahead.code != SMTPStatus.start_input:
        raise SMTPDataError(go_ahead.code, "")
    # Not by the library's data(): it does not tell whether the final dot had been written when something went wrong.
    if (protocol := smtp.protocol) is None:
        raise SMTPServerDisconnected("before the message")
    protocol.write(mail.content)
    call.handed_over = True
    reply = await protocol.read_response()
    return read_final(reply.code, reply.message)
