"""Is each reply of a mail server read for what it means, and what breaks off for where it did?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from application.delivery_ports import Accepted, Ambiguous, Answer, Letter, NotAccepted, Rejected
from infrastructure.channels import smtp as channel_module
from infrastructure.channels.smtp import SmtpChannel
from tests.certificates import make_certificate
from tests.contract.channel_kinds import ADA, BOB, EVA, open_smtp
from tests.mail_server import PASSWORD, USER, check_login, mail_server, says, scripted_server
from tests.provider import CUT, SILENCE, Reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mail_server import MailServer


async def deliver(channel: SmtpChannel, *letters: Letter) -> list[Answer]:
    """One after the other; then the channel is closed."""
    answers = [await channel.send(letter, key=str(letter.message_id), repeat=False) for letter in letters]
    await channel.close()
    return answers


REPLIES = [
    # to which verb, the reply, its meaning
    ("", "421 4.3.2 ada@example.org closing", NotAccepted("connect_failed:421")),
    ("", "554 5.7.1 no service for ada@example.org", NotAccepted("connect_failed:554")),
    ("EHLO", "421 4.3.2 ada@example.org closing", NotAccepted("hello_failed:421")),
    ("MAIL", "451 4.3.0 ada@example.org later", NotAccepted("sender_refused:451")),
    ("MAIL", "550 5.7.1 ada@example.org may not send", NotAccepted("sender_refused:550")),
    ("MAIL", "530 5.7.0 ada@example.org must log in", NotAccepted("auth_failed:530")),
    ("RCPT", "421 4.3.2 ada@example.org closing", NotAccepted("not_accepted:421")),
    ("RCPT", "450 4.2.0 ada@example.org greylisted", NotAccepted("not_accepted:450")),
    ("RCPT", "451 4.3.0 ada@example.org later", NotAccepted("not_accepted:451")),
    ("RCPT", "452 4.5.3 ada@example.org too many", NotAccepted("not_accepted:452")),
    ("RCPT", "550 5.1.1 ada@example.org unknown", Rejected("rejected:550")),
    ("RCPT", "535 5.7.8 ada@example.org", NotAccepted("auth_failed:535")),
    ("RCPT", "250 2.1.5 Ok", Accepted(250, "4RzT1X")),
    ("RCPT", "251 2.1.5 will forward", Accepted(250, "4RzT1X")),
    ("DATA", "451 4.3.0 ada@example.org later", NotAccepted("not_accepted:451")),
    ("DATA", "554 5.5.1 ada@example.org no", Rejected("rejected:554")),
    ("DATA", "250 ada@example.org what?", NotAccepted("unexpected_reply")),
    (".", "250 2.0.0 ada@example.org taken", Accepted(250, "")),
    (".", "252 2.0.0 well", Accepted(252, "")),
    (".", "421 4.3.2 ada@example.org closing", NotAccepted("not_accepted:421")),
    (".", "452 4.3.1 ada@example.org full", NotAccepted("not_accepted:452")),
    (".", "554 5.6.0 ada@example.org spam", Rejected("rejected:554")),
    (".", "354 ada@example.org go on", Ambiguous("unexpected_reply")),
    (".", "ada@example.org", Ambiguous("unexpected_reply")),
]


@pytest.mark.parametrize(("verb", "reply", "meaning"), REPLIES)
async def test_each_reply_has_one_meaning_and_quotes_nobody(verb: str, reply: str, meaning: Answer) -> None:
    async with scripted_server({verb: says(reply, hang_up=reply.startswith("421"))}) as server:
        assert await deliver(open_smtp(server.port), ADA) == [meaning]


BREAKS = {"cut": CUT, "silence": SILENCE, "half a line": Reply(b"25"), "dribble": Reply(for_ever=b"250-still\r\n")}
BEFORE = {"": "connect", "EHLO": "hello", "MAIL": "", "RCPT": "", "DATA": ""}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("verb", BEFORE)
@pytest.mark.parametrize("how", BREAKS)
async def test_what_breaks_off_before_the_final_dot_was_not_accepted(verb: str, how: str) -> None:
    async with scripted_server({verb: BREAKS[how]}) as server:
        [answer] = await deliver(open_smtp(server.port, call_timeout_seconds=10 if how == "cut" else 0.2), ADA)
    step = BEFORE[verb]
    cut = f"{step}_failed" if step else "connection_cut"
    late = "connect_timeout" if step else "timeout"
    assert answer == NotAccepted(cut if how == "cut" else late)
    assert "." not in server.verbs


@pytest.mark.timeout(20)
@pytest.mark.parametrize("how", BREAKS)
async def test_what_breaks_off_after_the_final_dot_may_be_an_acceptance(how: str) -> None:
    async with scripted_server({".": BREAKS[how]}) as server:
        [answer] = await deliver(open_smtp(server.port, call_timeout_seconds=10 if how == "cut" else 0.2), ADA)
    assert answer == Ambiguous("connection_cut" if how == "cut" else "timeout")
    assert server.verbs.count(".") == 1


async def test_a_server_of_the_old_kind_is_greeted_in_the_old_way() -> None:
    async with scripted_server({"EHLO": says("502 5.5.2 what?"), "HELO": says("250 mail.test")}) as server:
        assert await deliver(open_smtp(server.port), ADA) == [Accepted(250, "4RzT1X")]
    assert server.verbs[:2] == ["EHLO", "HELO"]


async def test_many_letters_go_over_one_connection_and_it_is_left_with_a_good_bye() -> None:
    async with scripted_server({}) as server:
        assert await deliver(open_smtp(server.port), ADA, BOB, EVA) == [Accepted(250, "4RzT1X")] * 3
    assert (server.connections, server.verbs[-1]) == (1, "QUIT")


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("end", [CUT, says("421 4.7.0 too many for one connection", hang_up=True)], ids=["cut", "421"])
async def test_a_kept_connection_that_ends_is_replaced_and_no_try_is_burnt(verb: str, end: Reply) -> None:
    async with scripted_server({}) as server:
        channel = open_smtp(server.port)
        assert await channel.send(ADA, key="k", repeat=False) == Accepted(250, "4RzT1X")
        server.once[verb] = end
        assert await deliver(channel, BOB) == [Accepted(250, "4RzT1X")]
    assert server.connections == 2
    assert server.verbs.count(".") == 2


async def test_a_kept_connection_is_left_when_nobody_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "KEEP_SECONDS", 0.05)
    async with scripted_server({}) as server:
        channel = open_smtp(server.port)
        await channel.send(ADA, key="k", repeat=False)
        await server.gone.wait()
        assert server.verbs[-1] == "QUIT"
        assert await deliver(channel, BOB) == [Accepted(250, "4RzT1X")]
    assert server.connections == 2


async def test_after_a_refusal_the_next_letter_starts_afresh() -> None:
    async with mail_server() as server:
        server.replies[ADA.email] = "550 5.1.1 unknown"
        assert await deliver(open_smtp(server.port), ADA, BOB) == [Rejected("rejected:550"), Accepted(250, "4RzT1X")]
    assert [taken.recipients for taken in server.taken] == [[BOB.email]]


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server's TLS, vouched for by an authority that is trusted here."""
    authority, tls = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    return tls


LOGIN: dict[str, Any] = {"authenticator": check_login, "auth_required": True}
OFFERED: dict[str, Any] = {
    "authenticator": check_login,
    "auth_require_tls": False,
}  # where all is encrypted, aiosmtpd does not know it


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_letters_go_encrypted_and_logged_in(trusted: Any, tls: Any) -> None:
    async with mail_server(tls=trusted, implicit=tls == "tls", **(OFFERED if tls == "tls" else LOGIN)) as server:
        answers = await deliver(open_smtp(server.port, tls=tls, user=USER, password=PASSWORD), ADA, BOB)
    assert answers == [Accepted(250, "4RzT1X"), Accepted(250, "4RzT2X")]
    assert {(taken.encrypted, taken.logged_in) for taken in server.taken} == {(True, True)}
    assert server.connections == 1


async def refused(server: MailServer, **settings: Any) -> Answer:
    [answer] = await deliver(open_smtp(server.port, **settings), ADA)
    assert server.taken == []
    return answer


async def test_a_wrong_password_is_no_fault_of_the_message(trusted: Any) -> None:
    async with mail_server(tls=trusted, **LOGIN) as server:
        answer = await refused(server, tls="starttls", user=USER, password="another")
        assert answer == NotAccepted("auth_failed:535")
        assert await refused(server, tls="starttls") == NotAccepted("auth_failed:530")


async def test_a_server_without_login_or_encryption_gets_no_password_and_no_letter() -> None:
    async with mail_server() as server:
        assert await refused(server, user=USER, password=PASSWORD) == NotAccepted("auth_failed")
        assert await refused(server, tls="starttls") == NotAccepted("tls_failed")
        assert await refused(server, tls="tls") == NotAccepted("tls_failed")


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_certificate_nobody_vouches_for_ends_it(tmp_path: Path, tls: Any) -> None:
    _, unknown = make_certificate(tmp_path)
    async with mail_server(tls=unknown, implicit=tls == "tls") as server:
        assert await refused(server, tls=tls) == NotAccepted("tls_failed")


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_certificate_of_somebody_else_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: Any) -> None:
    authority, other = make_certificate(tmp_path, "mail.example.org")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    async with mail_server(tls=other, implicit=tls == "tls") as server:
        assert await refused(server, tls=tls) == NotAccepted("tls_failed")


async def test_a_starttls_that_is_refused_is_no_fault_of_the_message() -> None:
    offers = says("250-mail.test\r\n250 STARTTLS")
    async with scripted_server({"EHLO": offers, "STARTTLS": says("454 4.7.0 not now")}) as server:
        assert await deliver(open_smtp(server.port, tls="starttls"), ADA) == [NotAccepted("tls_failed:454")]
    assert "MAIL" not in server.verbs


@pytest.mark.timeout(20)
@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_server_silent_in_the_handshake_costs_no_more_than_the_call_may(tls: Any) -> None:
    script = {
        "EHLO": says("250-mail.test\r\n250 STARTTLS"),
        "STARTTLS": says("220 go"),
        "": SILENCE if tls == "tls" else says("220 hi"),
    }
    async with scripted_server(script) as server:
        channel = open_smtp(server.port, tls=tls, call_timeout_seconds=0.2)
        assert await deliver(channel, ADA) == [NotAccepted("connect_timeout")]


async def test_calls_at_once_are_all_taken_once() -> None:
    async with mail_server() as server:
        channel = open_smtp(server.port, concurrency=4)
        answers = await asyncio.gather(*(channel.send(ADA, key="k", repeat=False) for _ in range(30)))
        await channel.close()
    assert {type(answer) for answer in answers} == {Accepted}
    assert len(server.taken) == 30
