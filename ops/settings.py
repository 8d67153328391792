"""Every setting with its unit and default; the only reader of the environment."""

import base64
import binascii
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from infrastructure.broker_urls import urls_of
from ops.channel_settings import ChannelInUse, ChannelSettings, Usual, channel_in_use

MASTER_KEY_BYTES: Final = 32
MASK: Final = "********"
_TIME: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)
_WINDOW: Final = re.compile(r"[1-9]\d{0,3}[mhd]", re.ASCII)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


class WrongSettings(Exception):
    """Every wrong setting, a line each, naming the variable and the fix."""


class Address(BaseModel, frozen=True):
    """Where to listen."""

    host: str
    port: int = Field(ge=0, le=65535)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def _address(value: Any) -> Any:
    if isinstance(value, str):
        host, colon, port = value.rpartition(":")
        if not (colon and host and port.isdigit()):
            raise ValueError("must be HOST:PORT, such as 127.0.0.1:8080")
        return Address(host=host, port=int(port))
    return value


def _database_url(value: SecretStr) -> SecretStr:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        conninfo_to_dict(value.get_secret_value())
    except ProgrammingError:
        # Its text, as the cause's, may quote the password.
        raise ValueError("must be written postgresql://USER:PASSWORD@HOST:5432/DATABASE") from None
    return value


def _one_server(value: SecretStr) -> SecretStr:
    """What is waited for on one connection is asked for on another: both must lead to the same server."""
    from psycopg.conninfo import conninfo_to_dict

    named = conninfo_to_dict(value.get_secret_value())
    if "," in f"{named.get('host')}{named.get('hostaddr')}":
        raise ValueError("must name one server: while it is away, DATABASE_URL answers")
    return value


def _amqp_url(value: SecretStr) -> SecretStr:
    urls = urls_of(value.get_secret_value())
    if not all(map(_is_amqp, urls)):
        raise ValueError("must be written amqp://USER:PASSWORD@HOST:5672/, one or, with commas between, several of a cluster")
    for name, file in (pair for url in urls for pair in parse_qsl(urlsplit(url).query)):
        if name in ("cafile", "certfile", "keyfile") and not Path(file).is_file():
            raise ValueError(f"{name}={file}: no such file")
    return value


def _is_amqp(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.scheme in ("amqp", "amqps") and parts.hostname and "," not in url and parts.port != 0)
    except ValueError:
        return False


def _master_key(value: SecretStr) -> SecretStr:
    try:
        length = len(base64.b64decode(value.get_secret_value(), validate=True))
    except binascii.Error as error:
        raise ValueError("must be base64; make one with: openssl rand -base64 32") from error
    if length != MASTER_KEY_BYTES:
        raise ValueError(f"must be {MASTER_KEY_BYTES} bytes, not {length}; make one with: openssl rand -base64 32")
    return value


def _whole_minutes(value: Any) -> Any:
    if not (isinstance(value, str) and _TIME.fullmatch(value)):
        raise ValueError('must be a local time such as "09:00"')
    return time.fromisoformat(value)


def _window(value: Any) -> Any:
    """A length of time such as "90m", "36h" or "2d"."""
    if not (isinstance(value, str) and _WINDOW.fullmatch(value)):
        raise ValueError('must be a number from 1 to 9999 with a unit, such as "90m", "36h" or "2d"')
    return timedelta(**{_UNITS[value[-1]]: int(value[:-1])})


LOCAL_API: Final = Address(host="127.0.0.1", port=8080)
LOCAL_SINK: Final = Address(host="127.0.0.1", port=8081)
Listen = Annotated[Address, BeforeValidator(_address)]


class TypeSettings(BaseModel):
    """[types.NAME] of the settings file: what stands above a message type's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    send_time: Annotated[time, BeforeValidator(_whole_minutes)] | None = None
    spread_minutes: Annotated[int, Field(ge=0, le=60, strict=True)] | None = None
    late_window: Annotated[timedelta, BeforeValidator(_window)] | None = None
    leap_day: Literal["feb28", "mar1", "skip"] | None = None
    priority: Annotated[int, Field(ge=0, le=1000, strict=True)] | None = None  # lower goes first
    doubt: Literal["prefer_no_duplicate", "prefer_delivery"] | None = None
    channels: Annotated[tuple[str, ...], Field(min_length=1)] | None = None  # in the order of fail-over
    per_address_per_day: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None  # whoever's messages they are


class Settings(BaseModel):
    """One frozen struct, validated before anything starts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: Annotated[SecretStr, AfterValidator(_database_url)] | None = Field(
        None, alias="DATABASE_URL", description="PostgreSQL; unset: embedded"
    )
    read_database_url: Annotated[SecretStr, AfterValidator(_database_url), AfterValidator(_one_server)] | None = Field(
        None, alias="READ_DATABASE_URL", description="a streaming replica for the API's queries; unset: none"
    )
    amqp_url: Annotated[SecretStr, AfterValidator(_amqp_url)] | None = Field(
        None, alias="AMQP_URL", description="RabbitMQ, with commas several nodes; unset: in-process bus"
    )
    data_dir: Path = Field(Path(".ninebell"), alias="NINEBELL_DATA_DIR", description="embedded database, sink's file, keys")
    listen: Listen = Field(LOCAL_API, alias="NINEBELL_LISTEN", description="the HTTP API")
    sink_listen: Listen = Field(LOCAL_SINK, alias="NINEBELL_SINK_LISTEN", description="the built-in sink")
    ops_listen: Listen | None = Field(None, alias="NINEBELL_OPS_LISTEN", description="health and metrics of other roles")
    channel: Literal["sink", "http", "smtp"] = Field("sink", alias="NINEBELL_CHANNEL", description="who sends")
    http_url: str = Field("", alias="NINEBELL_HTTP_URL", description="where the http channel posts")
    http_idempotent: bool = Field(default=True, alias="NINEBELL_HTTP_IDEMPOTENT", description="the provider deduplicates by key")
    http_bulk: int = Field(1, ge=1, le=1000, alias="NINEBELL_HTTP_BULK", description="messages a call")
    sink_idempotent: bool = Field(default=True, alias="NINEBELL_SINK_IDEMPOTENT", description="the sink counts as idempotent")
    api_key: SecretStr | None = Field(None, alias="NINEBELL_API_KEY", description="the key, if set at first start")
    master_key: Annotated[SecretStr, AfterValidator(_master_key)] | None = Field(
        None, alias="NINEBELL_MASTER_KEY", description="base64 of 32 bytes; must be given with DATABASE_URL"
    )
    lease_seconds: float = Field(15.0, gt=0, le=3600, alias="NINEBELL_LEASE_SECONDS", description="until a silent worker is dead")
    only_to: str | None = Field(None, alias="NINEBELL_ONLY_TO", description="glob of recipients for trial sending")
    config: Path | None = Field(None, alias="NINEBELL_CONFIG", description="TOML with [types.NAME] and [channels.NAME]")
    types: dict[str, TypeSettings] = Field(default_factory=dict)
    channels: dict[str, ChannelSettings] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _belongs_together(self) -> "Settings":
        for channel in self.channels_in_use:
            timeout = channel.traits.call_timeout_seconds
            if self.lease_seconds <= timeout:
                raise ValueError(
                    f"NINEBELL_LEASE_SECONDS ({self.lease_seconds:g}) must be above the call time-out ({timeout:g} s)"
                )
        if self.database_url and not self.master_key:
            raise ValueError("NINEBELL_MASTER_KEY must be given with DATABASE_URL; make one with: openssl rand -base64 32")
        if self.read_database_url and not self.database_url:
            raise ValueError("READ_DATABASE_URL is a replica of DATABASE_URL, which must be given with it")
        return self

    @property
    def embedded(self) -> bool:
        """No database was named: PostgreSQL comes from the wheel."""
        return self.database_url is None

    @property
    def channels_in_use(self) -> tuple[ChannelInUse, ...]:
        """The usual one, then those that types name. Raises ValueError."""
        usual = Usual(
            http_url=self.http_url,
            http_idempotent=self.http_idempotent,
            sink_url=f"http://{self.sink_listen}/send",
            sink_idempotent=self.sink_idempotent,
            bulk=self.http_bulk,
        )
        named = dict.fromkeys((self.channel, *(name for kind in self.types.values() for name in kind.channels or ())))
        return tuple(channel_in_use(name, self.channels.get(name, ChannelSettings()), usual) for name in named)


_VARIABLES: Final = {field.alias: name for name, field in Settings.model_fields.items() if field.alias}


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process. Raises WrongSettings naming every wrong one at once."""
    given = {name: value for name, value in (os.environ if environment is None else environment).items() if value}
    wrong = [
        f"{name}: is not a setting; `ninebell doctor` lists them"
        for name in sorted(given)
        if name.startswith("NINEBELL_") and name not in _VARIABLES
    ]
    values: dict[str, Any] = {name: value for name, value in given.items() if name in _VARIABLES}
    try:
        settings = Settings.model_validate(values | _file(given.get("NINEBELL_CONFIG")))
    except ValidationError as error:
        wrong += [_line(one["loc"], one["msg"]) for one in error.errors()]
    if wrong:
        raise WrongSettings("\n".join(wrong))
    return settings


def environment_without(*names: str) -> dict[str, str]:
    """What a child process is told: all that this one was, less these."""
    return {name: value for name, value in os.environ.items() if name not in names}


def _file(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise WrongSettings(f"NINEBELL_CONFIG: {path} can't be read: {error}") from error
    if others := sorted(content.keys() - {"types", "channels"}):
        raise WrongSettings(f"NINEBELL_CONFIG: [{others[0]}] is not understood; [types.NAME] and [channels.NAME] are")
    return content


def _line(where: tuple[int | str, ...], message: str) -> str:
    name = ".".join(map(str, where))
    said = message.replace("Value error, ", "").replace("Extra inputs are not permitted", "is not understood here")
    return f"{name}: {said}".removeprefix(": ")


def described(settings: Settings) -> list[tuple[str, str, str]]:
    """(name, value with secrets masked, meaning), for `ninebell doctor`: every variable, then what the file says."""
    fields = Settings.model_fields
    variables = [
        (field.alias, _shown(getattr(settings, name)), field.description or "") for name, field in fields.items() if field.alias
    ]
    tables: dict[str, Mapping[str, BaseModel]] = {"types": settings.types, "channels": settings.channels}
    said = [(f"{table}.{name}", _said(one)) for table, named in tables.items() for name, one in named.items()]
    return variables + [(f"{where}.{field}", shown, "in NINEBELL_CONFIG") for where, each in said for field, shown in each]


def _said(table: BaseModel) -> list[tuple[str, str]]:
    return [(name, _shown(getattr(table, name))) for name in type(table).model_fields if name in table.model_fields_set]


def _shown(value: object) -> str:
    match value:
        case None:
            return "unset"
        case SecretStr():
            return MASK
        case Address():
            return str(value)
        case BaseModel():
            return ", ".join(f"{name} = {shown}" for name, shown in _said(value))
        case tuple():
            return " ".join(map(str, value))
        case str() if "://" in value:
            return _url_shown(value)
        case _:
            return str(value)


def _url_shown(url: str) -> str:
    """Without what a provider may know us by."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    _, at, place = parts.netloc.rpartition("@")
    netloc = f"{MASK}@{place}" if at else place
    return urlunsplit(parts._replace(netloc=netloc, query=MASK if parts.query else ""))
