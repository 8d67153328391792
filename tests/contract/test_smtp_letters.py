"""Does a letter arrive at a mail server as it was written, and to the address alone that it is for?"""

from __future__ import annotations

import email.policy
from datetime import UTC, datetime
from email import message_from_bytes
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from application.delivery_ports import Accepted, Letter, Rejected
from infrastructure.channels.smtp_wire import Mail, encode, parse_sender, queue_id
from tests.contract.channel_kinds import ADA, BOB, open_smtp
from tests.mail_server import mail_server, scripted_server

if TYPE_CHECKING:
    from email.message import EmailMessage

    from application.delivery_ports import Answer
    from infrastructure.channels.smtp import SmtpChannel
    from tests.mail_server import Taken

NOW = datetime(2027, 5, 15, 8, tzinfo=UTC)
SENDER = parse_sender("Ninebell <hello@example.org>")


async def deliver(channel: SmtpChannel, *letters: Letter) -> list[Answer]:
    """One after the other; then the channel is closed."""
    answers = [await channel.send(letter, key=str(letter.message_id), repeat=False) for letter in letters]
    await channel.close()
    return answers


def parsed(content: bytes) -> EmailMessage:
    return message_from_bytes(content, policy=email.policy.default)


def read(taken: Taken) -> EmailMessage:
    return parsed(taken.content)


async def arrives(letter: Letter, **settings: Any) -> Taken:
    async with mail_server(enable_SMTPUTF8=True) as server:
        assert await deliver(open_smtp(server.port, **settings), letter) == [Accepted(250, "4RzT1X")]
    [taken] = server.taken
    return taken


async def test_a_letter_arrives_as_a_message_of_plain_text() -> None:
    taken = await arrives(ADA, sender="Grüße <hello@example.org>", now=lambda: NOW)
    message = read(taken)
    assert (taken.sender, taken.recipients) == ("hello@example.org", ["ada@example.org"])
    assert (message["From"], message["To"]) == ("Grüße <hello@example.org>", "ada@example.org")
    assert message["Subject"] == ADA.subject
    assert message["Message-ID"] == f"<{ADA.message_id}@example.org>"
    assert message["Date"].datetime == NOW
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    assert message.get_content().splitlines() == [ADA.body]
    assert taken.content.isascii()


async def test_every_try_has_the_same_message_id() -> None:
    async with mail_server() as server:
        await deliver(open_smtp(server.port), ADA, ADA, BOB)
    first, again, other = (read(taken)["Message-ID"] for taken in server.taken)
    assert first == again != other


async def test_without_a_clock_the_server_says_when() -> None:
    assert read(await arrives(ADA))["Date"] is None


BODIES = {
    "a dot alone": ".",
    "dots at the start": ".\n..\n.x\r\n.",
    "lines of every ending": "one\ntwo\r\nthree\rfour",
    "one long line": "Łódź " * 500,
    "nothing": "",
    "what mailboxes divide messages by": "From here on\nFrom there",
    "signs beyond the basic plane": "🎂" * 80,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_body_arrives_as_it_is_written(body: str) -> None:
    arrived = read(await arrives(replace(ADA, body=body))).get_content()
    assert arrived.splitlines() == body.splitlines()


@pytest.mark.parametrize("line_break", ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x00"])
async def test_a_subject_never_becomes_a_header(line_break: str) -> None:
    message = read(await arrives(replace(ADA, subject=f"Hi Ada{line_break}Bcc: eva@example.org{line_break}")))
    assert message["Subject"] == "Hi Ada Bcc: eva@example.org"
    assert message["Bcc"] is None


@pytest.mark.parametrize("subject", ["Alles Gute, Jörg! " * 12, "🎂" * 60, "", "=?utf-8?q?no?="])
async def test_a_subject_arrives_whatever_its_length_and_signs(subject: str) -> None:
    assert read(await arrives(replace(ADA, subject=subject)))["Subject"].rstrip() == subject.rstrip()


async def test_an_address_beyond_ascii_goes_to_a_server_that_knows_them() -> None:
    taken = await arrives(replace(ADA, email="jörg@bücher.example"))
    assert taken.recipients == ["jörg@bücher.example"]
    assert "To: jörg@bücher.example\r\n".encode() in taken.content


async def test_an_address_beyond_ascii_is_refused_for_a_server_that_does_not() -> None:
    async with mail_server(enable_SMTPUTF8=False) as server:
        answers = await deliver(open_smtp(server.port), replace(ADA, email="jörg@example.org"), BOB)
    assert answers == [Rejected("no_smtputf8"), Accepted(250, "4RzT1X")]


UNSENDABLE = {
    "a line break in the address": (replace(ADA, email="ada@example.org>\r\nRCPT TO:<eva@example.org"), "no_address"),
    "two addresses": (replace(ADA, email="ada@example.org, eva@example.org"), "no_address"),
    "an address with a name": (replace(ADA, email="Ada <ada@example.org>"), "no_address"),
    "half a sign": (replace(ADA, subject="\ud83c"), "not_encodable"),
}


@pytest.mark.parametrize(("letter", "code"), UNSENDABLE.values(), ids=UNSENDABLE)
async def test_what_cannot_be_said_is_refused_before_anything_is_said(letter: Letter, code: str) -> None:
    async with scripted_server({}) as server:
        assert await deliver(open_smtp(server.port), letter) == [Rejected(code)]
    assert server.connections == 0


@pytest.mark.parametrize("sender", ["", "hello", "hello@", "a@example.org, b@example.org", "jörg@example.org", "Hello <>"])
def test_a_sender_is_one_address_that_any_server_knows(sender: str) -> None:
    with pytest.raises(ValueError, match="one address"):
        open_smtp(25, sender=sender)


QUEUE_IDS = [
    ("2.0.0 Ok: queued as 4WxYz12345", "4WxYz12345"),
    ("OK id=1rABCD-0000xx-1k", "1rABCD-0000xx-1k"),
    ("Ok 0100018e-1f2d-000000", "0100018e-1f2d-000000"),
    ("2.0.0 Ok: queued as 4WxYz12345, thank you", "4WxYz12345"),
    ("2.0.0 OK", ""),
    ("Thank you Ada", ""),
    ("queued as ada1990@example.org", ""),
    ("queued as birthdays", ""),
    ("Ok ada1990 is her name", ""),
    ("queued as " + "4" * 200, ""),
]


@pytest.mark.parametrize(("text", "found"), QUEUE_IDS)
def test_of_what_a_server_says_only_a_queue_id_is_kept(text: str, found: str) -> None:
    assert queue_id(text) == found


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=200))
def test_any_subject_is_read_as_it_was_written(subject: str) -> None:
    mail = encode(replace(ADA, subject=subject), SENDER, NOW)
    assert isinstance(mail, Mail)
    head = mail.content.partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 998
    assert parsed(mail.content)["Subject"] == subject.strip()
