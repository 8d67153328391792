"""Composition of a worker: who speaks to each provider, and what stands between them. `ops/wiring.py` has the rest."""

import os
import random
import socket
import time
from functools import partial

from application.address_cap import AddressCap
from application.channel_gate import ChannelGate
from application.deliver_messages import Deliverer
from application.delivery_ports import Channel, Liveness
from infrastructure.addresses_written_to import PostgresAddresses
from infrastructure.channel_states import PostgresChannels
from infrastructure.channels.http import HttpChannel
from infrastructure.channels.smtp import SmtpChannel
from infrastructure.database import Database
from infrastructure.keyring import Keyring
from infrastructure.pauses import WatchedPostgresPauses
from infrastructure.template_tables import PostgresTemplates, RememberedTexts
from infrastructure.worker_liveness import WorkerLiveness
from ops.channel_settings import ChannelInUse, SmtpSettings
from ops.settings import Settings, WrongSettings
from ops.wiring import Parts


def senders(parts: Parts) -> list[Channel]:
    """Who speaks to each provider. Raises WrongSettings where a password can't be read."""
    return [_sender(channel, parts) for channel in parts.settings.channels_in_use]


def _sender(channel: ChannelInUse, parts: Parts) -> Channel:
    traits, smtp = channel.traits, channel.smtp
    if smtp is not None:
        return SmtpChannel(
            channel.name,
            host=smtp.host,
            port=smtp.port,
            user=smtp.user,
            password=_password(channel.name, smtp),
            tls=smtp.tls,
            sender=smtp.sender,
            concurrency=traits.concurrency,
            call_timeout_seconds=traits.call_timeout_seconds,
            now=parts.clock.now,
        )
    return HttpChannel(  # the sink speaks HTTP as well
        channel.name,
        channel.url,
        idempotent=traits.idempotent,
        bulk=traits.bulk,
        concurrency=traits.concurrency,
        call_timeout_seconds=traits.call_timeout_seconds,
        askable=traits.askable,
    )


def _password(channel: str, smtp: SmtpSettings) -> str | None:
    try:
        return smtp.password
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSettings(f"channels.{channel}.smtp.password_file: {smtp.password_file} can't be read: {error}") from error


def liveness(parts: Parts) -> WorkerLiveness:
    return WorkerLiveness(
        parts.database,
        f"{socket.gethostname()}-{os.getpid()}",
        lease_seconds=parts.settings.lease_seconds,
        call_timeout_seconds=parts.channels.longest_call_seconds,
    )


def deliverer(parts: Parts, channel: Channel, liveness: Liveness) -> Deliverer:
    texts = RememberedTexts(PostgresTemplates(parts.database).newest, parts.types).render
    only_to = parts.settings.only_to
    cap = address_cap(parts.settings, parts.database, parts.keyring)
    traits = parts.channels.traits(channel.name)
    gate = ChannelGate(
        channel.name,
        PostgresChannels(parts.database),
        limit=traits.limit,
        concurrency=channel.concurrency,
        monotonic=time.monotonic,
    )
    next_channel = partial(parts.channels.next_channel, channel=channel.name)
    return Deliverer(
        parts.store,
        channel,
        parts.types,
        parts.clock,
        liveness,
        gate,
        random.random,
        only_to,
        texts,
        cap,
        next_channel,
        traits.key_lifetime if traits.idempotent else None,
        WatchedPostgresPauses(parts.database),
    )


def address_cap(settings: Settings, database: Database, keyring: Keyring) -> AddressCap | None:
    """None where no type has a cap, so that nobody asks."""
    most = {name: said.per_address_per_day for name, said in settings.types.items() if said.per_address_per_day is not None}
    return AddressCap(most, PostgresAddresses(database, keyring)) if most else None
