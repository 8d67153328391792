"""[channels.NAME] of the settings file: how is a provider called, and how much does it take?"""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import urlsplit

from msgspec import Struct
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from application.channel_plan import ChannelTraits
from application.provider_limit import ProviderLimit

Kind = Literal["sink", "http", "smtp"]

_STRETCH: Final = re.compile(r"[1-9]\d{0,4}[smhd]", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _stretch(value: Any) -> Any:
    """A length of time such as "1s", "60s" or "24h"."""
    if not (isinstance(value, str) and _STRETCH.fullmatch(value)):
        raise ValueError('must be a number with a unit, such as "1s", "60s" or "24h"')
    return timedelta(**{_UNITS[value[-1]]: int(value[:-1])})


def _sender(value: str) -> str:
    from infrastructure.channels.smtp_wire import parse_sender

    parse_sender(value)
    return value


Stretch = Annotated[timedelta, BeforeValidator(_stretch)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000, strict=True)]


class RateSettings(BaseModel):
    """How much a provider takes within any stretch of `per`: so many calls, or so many recipients; `burst` within any second."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls: Count | None = None
    recipients: Count | None = None
    per: Stretch
    burst: Count | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "RateSettings":
        if (self.calls is None) == (self.recipients is None):
            raise ValueError('must name either calls or recipients, as in {calls = 100, per = "60s"}')
        return self


class SmtpSettings(BaseModel):
    """The mail server of a channel of kind smtp. The password stands in a file of its own, so that this one holds no secret.

    A user that is an address is the sender, unless another is given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(min_length=1)
    port: int = Field(default=587, ge=1, le=65535)
    sender: Annotated[str, AfterValidator(_sender)]  # hello@example.org, or Greetings <hello@example.org>
    user: str | None = None
    password_file: Path | None = None
    tls: Literal["none", "starttls", "tls"] = "starttls"

    @model_validator(mode="before")
    @classmethod
    def _sent_by_user(cls, said: Any) -> Any:
        return {"sender": said.get("user", ""), **said} if isinstance(said, dict) else said

    @property
    def password(self) -> str | None:
        """Raises OSError."""
        return self.password_file.read_text(encoding="utf-8").strip() if self.password_file else None

    @model_validator(mode="after")
    def _whole_login(self) -> "SmtpSettings":
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file go together")
        return self


class ChannelSettings(BaseModel):
    """What stands in the file; what does not, comes from the variables or the kind (`channel_in_use`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind | None = None  # else the channel's name says it
    url: str | None = None
    idempotent: bool | None = None  # the provider deduplicates by key
    askable: bool = False  # it can be asked whether it has a message
    bulk: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None  # messages a call
    concurrency: int = Field(default=64, ge=1, le=1000)  # calls a worker has open at once
    call_timeout_seconds: float = Field(default=10.0, gt=0)
    key_lifetime: Stretch = timedelta(hours=24)  # how long it knows a key
    rate: RateSettings | None = None
    spacing_ms: Annotated[float, Field(ge=0, le=60_000)] = 0  # between the beginnings of two calls, over all workers
    daily_quota: Count | None = None  # messages a UTC day
    smtp: SmtpSettings | None = None

    @property
    def limit(self) -> ProviderLimit | None:
        """None where nothing is limited."""
        rate = self.rate
        if not (rate or self.spacing_ms or self.daily_quota):
            return None
        return ProviderLimit(
            unit="messages" if rate and rate.recipients else "calls",
            most=(rate.calls or rate.recipients) if rate else None,
            per_seconds=rate.per.total_seconds() if rate else 1.0,
            burst=rate.burst if rate else None,
            spacing_seconds=self.spacing_ms / 1000,
            daily_quota=self.daily_quota,
        )


class Usual(Struct, frozen=True):
    """What the variables say for channels whose own lines do not."""

    http_url: str
    http_idempotent: bool
    sink_url: str
    sink_idempotent: bool
    bulk: int


class ChannelInUse(Struct, frozen=True):
    """Everything that is to be known to call a provider."""

    traits: ChannelTraits
    kind: Kind
    url: str
    smtp: SmtpSettings | None

    @property
    def name(self) -> str:
        return self.traits.name


def channel_in_use(name: str, said: ChannelSettings, usual: Usual) -> ChannelInUse:
    """Raises ValueError, naming the line that is missing or wrong."""
    kind = said.kind or next((kind for kind in get_args(Kind) if kind == name), None)
    if kind is None:
        raise ValueError(f'channels.{name}.kind must be given: "sink", "http" or "smtp"')
    bulk = 1 if kind == "smtp" else said.bulk or usual.bulk
    traits = ChannelTraits(
        name=name,
        idempotent=_idempotent(kind, said, usual),
        askable=said.askable,
        concurrency=said.concurrency,
        bulk=bulk,
        call_timeout_seconds=said.call_timeout_seconds,
        key_lifetime=said.key_lifetime,
        limit=said.limit,
    )
    _fits(name, kind, said, bulk)
    return ChannelInUse(traits, kind, _url(name, kind, said, usual), said.smtp)


def _idempotent(kind: Kind, said: ChannelSettings, usual: Usual) -> bool:
    if said.idempotent is not None:
        return said.idempotent
    return {"sink": usual.sink_idempotent, "http": usual.http_idempotent, "smtp": False}[kind]


def _url(name: str, kind: Kind, said: ChannelSettings, usual: Usual) -> str:
    url = said.url or {"sink": usual.sink_url, "http": usual.http_url if name == "http" else "", "smtp": "none"}[kind]
    if not url:
        by_variable = "NINEBELL_HTTP_URL must be given with NINEBELL_CHANNEL=http"
        raise ValueError(by_variable if name == "http" else f"channels.{name}.url must be given")
    if kind == "http" or said.url:
        _leads_somewhere(name, url)
    return url


def _leads_somewhere(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        named = "NINEBELL_HTTP_URL" if name == "http" else f"channels.{name}.url"
        raise ValueError(f"{named} must be of the form https://mail.example.com/send")


def _fits(name: str, kind: Kind, said: ChannelSettings, bulk: int) -> None:
    if kind == "smtp":
        if said.smtp is None:
            raise ValueError(
                f'channels.{name}.smtp must be given, as in {{host = "mail.example.com", sender = "us@example.com"}}'
            )
        wrong = [what for what in ("url", "idempotent", "askable", "bulk") if getattr(said, what)]
        if wrong:
            raise ValueError(f"channels.{name}.{wrong[0]} means nothing to SMTP: take it out")
    rate = said.rate
    limits = {"daily_quota": said.daily_quota}
    if rate and rate.recipients:
        limits |= {"rate.recipients": rate.recipients, "rate.burst": rate.burst}
    for what, most in limits.items():
        if most is not None and most < bulk:
            raise ValueError(f"channels.{name}.{what} ({most}) must not be less than the {bulk} messages of one call")
