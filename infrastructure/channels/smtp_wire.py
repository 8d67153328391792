"""What do we write to a mail server, and what does each of its replies mean?"""

import email.policy
import re
from datetime import datetime
from email.charset import QP, Charset
from email.errors import MessageError
from email.header import Header
from email.message import Message
from email.utils import format_datetime, formataddr, getaddresses
from typing import Final

from aiosmtplib.email import parse_address
from msgspec import Struct

from application.delivery_ports import Accepted, Ambiguous, Answer, Letter, NotAccepted, Rejected

CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")  # what a header must not hold, line breaks first of all
DOT_AT_THE_START: Final = re.compile(rb"^\.", re.MULTILINE)  # doubled, for a line with a dot alone is the end (RFC 5321, 4.5.2)
QUEUE_ID: Final = re.compile(
    r"(?:\bqueued as |\bid=)([a-z-]*[0-9][a-z0-9-]{5,99})(?=[\s;,)]|$)|^Ok ([0-9a-f-]{16,100})$", re.IGNORECASE
)
AS_IT_IS: Final = email.policy.SMTPUTF8.clone(refold_source="none")
QUOTED_PRINTABLE: Final = Charset("utf-8")
QUOTED_PRINTABLE.body_encoding = QP
NOT_ALLOWED_IN: Final = frozenset({530, 534, 535, 538})
"""RFC 4954: we are not logged in as this server wants it, whichever command it says so to."""


class Sender(Struct, frozen=True):
    """Who writes: the address for the envelope, and as the reader sees it."""

    address: str
    shown: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


class Mail(Struct, frozen=True):
    """One message as it goes over the line."""

    sender: str
    recipient: str
    content: bytes  # CRLF, dots doubled, the final one included
    beyond_ascii: bool  # the recipient's address can be said to a server with SMTPUTF8 only (RFC 6531)


def parse_sender(text: str) -> Sender:
    """`hello@example.org`, or with a name: `Greetings <hello@example.org>`. Raises ValueError for anything else."""
    found = getaddresses([text]) or [("", "")]
    name, address = found[0]
    local, _, domain = address.rpartition("@")
    if len(found) != 1 or not local or not domain or not address.isascii() or not _is_address(address):
        raise ValueError("must be one address such as hello@example.org, or Greetings <hello@example.org>")
    return Sender(address, formataddr((CONTROLS.sub(" ", name), address)))


def encode(letter: Letter, sender: Sender, date: datetime | None) -> Mail | Rejected:
    """The same Message-ID for every try, so that who gets it twice can tell. Without `date` the server says when."""
    if not _is_address(letter.email):
        return Rejected("no_address")
    try:
        raw = _message(letter, sender, date).as_bytes(policy=AS_IT_IS)
    except (ValueError, MessageError):
        return Rejected("not_encodable")
    beyond_ascii = not letter.email.isascii()
    whole_lines = raw if raw.endswith(b"\r\n") else raw + b"\r\n"
    return Mail(sender.address, letter.email, DOT_AT_THE_START.sub(b"..", whole_lines) + b".\r\n", beyond_ascii)


def read_final(status: int, text: str) -> Answer:
    """The reply to a whole message, its final dot included."""
    if 200 <= status < 300:
        return Accepted(status, queue_id(text))
    return read_refusal(status) if 400 <= status < 600 else Ambiguous("unexpected_reply")


def read_refusal(status: int) -> Rejected | NotAccepted:
    """A reply that says no to a recipient or a message (RFC 5321, 4.2.1). The code names the status, never the server's words."""
    if status in NOT_ALLOWED_IN:
        return NotAccepted(f"auth_failed:{status}")
    if 500 <= status < 600:
        return Rejected(f"rejected:{status}")
    return trouble("not_accepted", status) if 400 <= status < 500 else NotAccepted("unexpected_reply")


def refused_sender(status: int) -> NotAccepted:
    """A no to who writes: everybody's messages would get it."""
    return trouble("auth_failed" if status in NOT_ALLOWED_IN else "sender_refused", status)


def trouble(code: str, status: int) -> NotAccepted:
    """A refusal that is about us or the server, not about the message."""
    return NotAccepted(f"{code}:{status}" if 100 <= status < 1000 else code)


def queue_id(text: str) -> str:
    """What Postfix, Exim, SES and their like call the message they took; it is stored in clear, so nothing else is kept."""
    found = QUEUE_ID.search(text)
    return found[1] or found[2] if found else ""


def _is_address(text: str) -> bool:
    """One address and nothing more."""
    try:
        return parse_address(text) == text
    except ValueError:  # from Python 3.13 on
        return False


def _message(letter: Letter, sender: Sender, date: datetime | None) -> Message:
    message = Message()
    # so encoded, it is ASCII in short lines, whatever it says and whatever the server knows
    message.set_payload(letter.body, QUOTED_PRINTABLE)
    message["From"] = sender.shown
    message["To"] = letter.email
    message["Subject"] = _encoded("Subject", CONTROLS.sub(" ", letter.subject).strip())
    if date is not None:
        message["Date"] = format_datetime(date)
    message["Message-ID"] = f"<{letter.message_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday note comes back
    return message


def _encoded(name: str, text: str) -> str:
    """In lines that fit (RFC 2047). The newer classes of `email` fold, too, and lose spaces in Python 3.11."""
    plain = text.isascii() and "=?" not in text
    return Header(text, "us-ascii" if plain else "utf-8", header_name=name).encode()
