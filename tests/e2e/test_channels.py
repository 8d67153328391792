"""Does what a provider does not take leave by mail, once, and does a failing provider burn few tries?"""

from __future__ import annotations

import email
import email.policy
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from aiosmtpd.controller import Controller

from infrastructure.embedded_postgres import EmbeddedPostgres
from tests.e2e.evidence import Evidence
from tests.e2e.people import crowd, this_minute
from tests.e2e.processes import until
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiosmtpd.smtp import SMTP, Envelope, Session

pytestmark = pytest.mark.timeout(240)

MESSAGES = 200
SETTINGS = """\
[types.BIRTHDAY]
channels = ["sink", "mail"]
[channels.sink]
concurrency = 8
[channels.mail]
kind = "smtp"
concurrency = 4
smtp = {{host = "127.0.0.1", port = {port}, sender = "Greetings <greetings@example.org>", tls = "none"}}
"""


class Mailbox:
    """What a mail server took."""

    def __init__(self) -> None:
        self.taken: list[email.message.Message] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  (aiosmtpd calls it so)
        assert isinstance(envelope.content, bytes)
        self.taken.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 2.0.0 Ok: queued as 4RzT1X"


@contextmanager
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box, port = Mailbox(), free_port()
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    try:
        yield box, port
    finally:
        server.stop()


def test_what_a_failing_provider_does_not_take_leaves_by_mail_once(embedded, data_dir):
    with mailbox() as (box, port):
        (data_dir / "channels.toml").write_text(SETTINGS.format(port=port))
        embedded.environment["NINEBELL_CONFIG"] = str(data_dir / "channels.toml")
        embedded.start("up", "--sink-error-rate", "1").says("Ninebell is up")
        embedded.ask("POST", "/v1/users/import", crowd(MESSAGES, this_minute()), media="text/csv")
        until("every message to have been mailed", lambda: len(box.taken) >= MESSAGES, 90)
        doctor = embedded.run("doctor")
        until("every outcome", lambda: b'"sent":200' in embedded.run("audit", "--json").printed.encode())

    with EmbeddedPostgres.start(embedded.data_dir, guest=True) as postgres:
        evidence = Evidence(postgres.dsn, embedded.data_dir / "sink.jsonl")
    assert len({mail["Message-ID"] for mail in box.taken}) == len(box.taken) == MESSAGES
    assert {mail["From"] for mail in box.taken} == {"Greetings <greetings@example.org>"}
    assert "sink fails: its circuit breaker is" in doctor.printed
    over = evidence.named("message.failed_over.v1")
    assert {(event.data["from_channel"], event.data["to_channel"]) for event in over} == {("sink", "mail")}
    assert len(over) == MESSAGES
    assert len(evidence.named("message.failed.v1")) < MESSAGES // 2, "the breaker spared most of them the try"
    assert evidence.doubts == []
