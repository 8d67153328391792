"""Are settings read once, checked together, and every wrong one named?"""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from application.provider_limit import ProviderLimit
from ops.channel_settings import ChannelSettings
from ops.settings import WrongSettings, described, read_settings

ROOT = Path(__file__).parents[2]
MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def test_without_any_setting_everything_is_embedded():
    settings = read_settings({})
    assert settings.embedded
    assert str(settings.listen) == "127.0.0.1:8080"
    (channel,) = settings.channels_in_use
    assert (channel.name, channel.kind, channel.url) == ("sink", "sink", "http://127.0.0.1:8081/send")


def test_what_is_not_set_is_as_promised():
    settings = read_settings({"NINEBELL_CHANNEL": "http", "NINEBELL_HTTP_URL": "http://127.0.0.1/send"})
    assert (str(settings.data_dir), settings.lease_seconds, settings.http_bulk) == (".ninebell", 15, 1)
    (channel,) = settings.channels_in_use
    assert (channel.traits.idempotent, channel.traits.bulk, channel.traits.key_lifetime) == (True, 1, timedelta(hours=24))


def test_every_wrong_setting_is_named_at_once():
    wrong = {"NINEBELL_LISTEN": "8080", "NINEBELL_FOO": "1", "NINEBELL_CHANNEL": "fax", "NINEBELL_HTTP_BULK": "0"}
    with pytest.raises(WrongSettings) as refused:
        read_settings(wrong)
    for name in wrong:
        assert name in str(refused.value)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"DATABASE_URL": "postgresql://db/x"}, "NINEBELL_MASTER_KEY must be given"),
        ({"READ_DATABASE_URL": "postgresql://db/x"}, "READ_DATABASE_URL is a replica of DATABASE_URL"),
        (
            {"DATABASE_URL": "postgresql://db/x", "NINEBELL_MASTER_KEY": MASTER_KEY, "READ_DATABASE_URL": "postgresql://a,b/x"},
            "READ_DATABASE_URL: must name one server",
        ),
        ({"AMQP_URL": "amqps://u:p@one/,amqps://u:p@two/?cafile=/nowhere.pem"}, "AMQP_URL: cafile=/nowhere.pem: no such file"),
        ({"NINEBELL_LEASE_SECONDS": "10"}, "must be above the call time-out (10 s)"),
        ({"NINEBELL_CHANNEL": "http"}, "NINEBELL_HTTP_URL must be given"),
        ({"NINEBELL_CHANNEL": "http", "NINEBELL_HTTP_URL": "mail.example.com"}, "NINEBELL_HTTP_URL must be of the form"),
        ({"NINEBELL_MASTER_KEY": "c2hvcnQ="}, "must be 32 bytes, not 5"),
        ({"NINEBELL_MASTER_KEY": "no base64!"}, "must be base64"),
    ],
    ids=[
        "no-master-key",
        "replica-alone",
        "two-replicas",
        "no-cafile",
        "lease-too-short",
        "no-url",
        "wrong-url",
        "short-key",
        "not-base64",
    ],
)
def test_settings_that_do_not_go_together_are_refused(environment, named):
    with pytest.raises(WrongSettings, match=named.replace("(", r"\(").replace(")", r"\)")):
        read_settings(environment)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "secret"),
        ("DATABASE_URL", "mysql://ninebell:secret@db/ninebell"),
        ("DATABASE_URL", "host=db passphrase=secret"),
        ("AMQP_URL", "secret"),
        ("AMQP_URL", "ninebell:secret@broker"),
        ("AMQP_URL", "http://ninebell:secret@broker/"),
        ("AMQP_URL", "amqp://ninebell:secret@broker:port/"),
        ("AMQP_URL", "amqp://ninebell:secret@one/,ninebell:secret@two/"),
    ],
)
def test_an_address_of_another_form_is_refused_and_not_quoted(name, url):
    with pytest.raises(WrongSettings, match=f"{name}: must be written") as refused:
        read_settings({name: url, "NINEBELL_MASTER_KEY": MASTER_KEY})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql://postgres@/ninebell?host=%2Ftmp%2Fsocket&port=5432"),
        ("DATABASE_URL", "postgres://ninebell:secret@[::1]:5432,other:5433/ninebell?sslmode=require"),
        ("DATABASE_URL", "host=db dbname=ninebell"),
        ("AMQP_URL", "amqp://broker"),
        ("AMQP_URL", "amqps://ninebell:secret@broker:5671/%2Fninebell?heartbeat=30"),
    ],
)
def test_every_usual_form_of_an_address_is_taken(name, url):
    read_settings({name: url, "NINEBELL_MASTER_KEY": MASTER_KEY})


def test_secrets_are_masked_when_settings_are_shown():
    environment = {"DATABASE_URL": "postgresql://u:hunter2@db/x", "NINEBELL_MASTER_KEY": MASTER_KEY, "NINEBELL_API_KEY": "sesame"}
    shown = str(described(read_settings(environment)))
    assert "hunter2" not in shown
    assert MASTER_KEY not in shown
    assert "sesame" not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://mail.example.com/send", "https://mail.example.com/send"),
        ("https://api:hunter2@mail.example.com:8443/send", "https://********@mail.example.com:8443/send"),
        ("https://hunter2@mail.example.com/send", "https://********@mail.example.com/send"),
        ("https://mail.example.com/send?token=hunter2", "https://mail.example.com/send?********"),
        ("https://[hunter2", "********"),
    ],
)
def test_what_a_provider_knows_us_by_is_masked_as_well(url, shown):
    assert ("NINEBELL_HTTP_URL", shown) in [
        (name, value) for name, value, _ in described(read_settings({"NINEBELL_HTTP_URL": url}))
    ]


def test_what_the_file_says_is_shown_and_nothing_else_of_it(tmp_path):
    file = tmp_path / "ninebell.toml"
    file.write_text(
        '[types.BIRTHDAY]\nlate_window = "36h"\nchannels = ["mail", "post"]\nper_address_per_day = 1\n'
        '[channels.mail]\nkind = "http"\nurl = "https://api:hunter2@mail.example.com/"\nrate = {calls = 100, per = "60s"}\n'
        '[channels.post]\nkind = "smtp"\nsmtp = {host = "mx.example.com", sender = "us@example.com"}\n'
    )
    rows = {name: shown for name, shown, _ in described(read_settings({"NINEBELL_CONFIG": str(file)})) if name[0].islower()}
    assert rows == {
        "types.BIRTHDAY.late_window": "1 day, 12:00:00",
        "types.BIRTHDAY.channels": "mail post",
        "types.BIRTHDAY.per_address_per_day": "1",
        "channels.mail.kind": "http",
        "channels.mail.url": "https://********@mail.example.com/",
        "channels.mail.rate": "calls = 100, per = 0:01:00",
        "channels.post.kind": "smtp",
        "channels.post.smtp": "host = mx.example.com, sender = us@example.com",
    }


def test_the_settings_file_says_what_variables_cannot(tmp_path):
    file = tmp_path / "ninebell.toml"
    file.write_text(
        '[types.BIRTHDAY]\nsend_time = "10:30"\nlate_window = "36h"\n\n[channels.sink]\ncall_timeout_seconds = 2\n'
        'rate = {calls = 100, per = "60s"}\n'
    )
    settings = read_settings({"NINEBELL_CONFIG": str(file), "NINEBELL_LEASE_SECONDS": "3"})
    assert str(settings.types["BIRTHDAY"].send_time) == "10:30:00"
    assert settings.types["BIRTHDAY"].late_window == timedelta(hours=36)
    (channel,) = settings.channels_in_use
    assert channel.traits.call_timeout_seconds == 2
    assert channel.traits.limit == ProviderLimit(most=100, per_seconds=60)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[types.BIRTHDAY]\nsend_tiem = "10:30"\n', "types.BIRTHDAY.send_tiem"),
        ('[types.BIRTHDAY]\nlate_window = "soon"\n', "types.BIRTHDAY.late_window"),
        ('[types.BIRTHDAY]\nlate_window = "0h"\n', "types.BIRTHDAY.late_window"),
        ('[channels.sink]\nrate = {calls = 100, per = "soon"}\n', "channels.sink.rate.per"),
        ('[channels.sink]\nrate = {calls = 0, per = "60s"}\n', "channels.sink.rate.calls"),
        ('[channels.sink]\nrate = {per = "60s"}\n', "must name either calls or recipients"),
        ('[channels.sink]\nrate = {calls = 1, recipients = 1, per = "60s"}\n', "must name either calls or recipients"),
        ('[types.BIRTHDAY]\nsend_time = "09:00:30"\n', "types.BIRTHDAY.send_time"),
        ("[types.BIRTHDAY]\nspread_minutes = 61\n", "types.BIRTHDAY.spread_minutes"),
        ("[types.BIRTHDAY]\npriority = 1001\n", "types.BIRTHDAY.priority"),
        ("[types.BIRTHDAY]\nper_address_per_day = 0\n", "types.BIRTHDAY.per_address_per_day"),
        ("[colours]\n", "colours"),
        ("[types", "can't be read"),
    ],
    ids=[
        "unknown-key",
        "no-length-of-time",
        "no-time-at-all",
        "rate-per-nothing",
        "rate-of-no-calls",
        "rate-of-nothing",
        "rate-of-both",
        "seconds",
        "spread",
        "priority",
        "no-place-at-all",
        "unknown-table",
        "no-toml",
    ],
)
def test_a_wrong_line_of_the_settings_file_is_named(tmp_path, text, named):
    file = tmp_path / "ninebell.toml"
    file.write_text(text)
    with pytest.raises(WrongSettings, match=named):
        read_settings({"NINEBELL_CONFIG": str(file)})


TWO_CHANNELS = """
[types.BIRTHDAY]
channels = ["http", "backup"]
[channels.http]
bulk = 50
rate = {recipients = 100, per = "60s", burst = 60}
spacing_ms = 20
daily_quota = 50000
key_lifetime = "48h"
[channels.backup]
kind = "smtp"
concurrency = 4
smtp = {host = "mail.example.com", sender = "us@example.com"}
"""


def in_file(tmp_path, text, **environment):
    file = tmp_path / "ninebell.toml"
    file.write_text(text)
    return read_settings({"NINEBELL_CONFIG": str(file), **environment})


def test_a_type_may_go_through_several_channels_each_called_in_its_own_way(tmp_path):
    settings = in_file(tmp_path, TWO_CHANNELS, NINEBELL_HTTP_URL="http://127.0.0.1/send")
    sink, http, backup = settings.channels_in_use
    assert (sink.name, http.name, backup.name) == ("sink", "http", "backup")
    assert (http.kind, http.url, http.traits.idempotent, http.traits.bulk) == ("http", "http://127.0.0.1/send", True, 50)
    assert http.traits.limit == ProviderLimit(
        unit="messages", most=100, per_seconds=60, burst=60, spacing_seconds=0.02, daily_quota=50_000
    )
    assert http.traits.key_lifetime == timedelta(hours=48)
    assert (backup.kind, backup.traits.idempotent, backup.traits.bulk, backup.traits.concurrency) == ("smtp", False, 1, 4)
    assert (backup.smtp.host, backup.smtp.port, backup.smtp.tls) == ("mail.example.com", 587, "starttls")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[types.BIRTHDAY]\nchannels = ["backup"]\n', "channels.backup.kind must be given"),
        ('[types.BIRTHDAY]\nchannels = ["b"]\n[channels.b]\nkind = "http"\n', "channels.b.url must be given"),
        (
            '[types.BIRTHDAY]\nchannels = ["b"]\n[channels.b]\nkind = "http"\nurl = "http://a:b:c/"\n',
            "channels.b.url must be of the form",
        ),
        ('[types.BIRTHDAY]\nchannels = ["smtp"]\n', "channels.smtp.smtp must be given"),
        ("[types.BIRTHDAY]\nchannels = []\n", "types.BIRTHDAY.channels"),
        ('[types.BIRTHDAY]\nchannels = ["b"]\n[channels.b]\nkind = "fax"\n', "channels.b.kind"),
        (
            '[channels.sink]\nbulk = 100\nrate = {recipients = 50, per = "60s"}\n',
            "rate.recipients .50. must not be less than the 100",
        ),
        ("[channels.sink]\nbulk = 100\ndaily_quota = 50\n", "daily_quota .50. must not be less than the 100"),
        ("[channels.sink]\ncall_timeout_seconds = 20\n", "must be above the call time-out .20 s."),
        (
            '[types.BIRTHDAY]\nchannels = ["smtp"]\n[channels.smtp]\nsmtp = {host = "m", sender = "a@b", user = "u"}\n',
            "go together",
        ),
        (
            '[types.BIRTHDAY]\nchannels = ["smtp"]\n[channels.smtp]\nidempotent = true\nsmtp = {host = "m", sender = "a@b"}\n',
            "idempotent means nothing to SMTP",
        ),
    ],
    ids=[
        "no-kind",
        "no-url",
        "wrong-url",
        "no-server",
        "none",
        "fax",
        "call-above-rate",
        "call-above-quota",
        "lease",
        "login",
        "smtp-key",
    ],
)
def test_channels_that_can_not_work_are_refused(tmp_path, text, named):
    with pytest.raises(WrongSettings, match=named):
        in_file(tmp_path, text)


MAIL = '[types.BIRTHDAY]\nchannels = ["smtp"]\n[channels.smtp]\nsmtp = {{host = "m", {}}}\n'


def test_a_mail_login_that_is_an_address_is_the_sender_too(tmp_path):
    _, mail = in_file(tmp_path, MAIL.format('user = "us@example.com", password_file = "/p"')).channels_in_use
    assert (mail.smtp.sender, mail.smtp.user) == ("us@example.com", "us@example.com")
    _, mail = in_file(tmp_path, MAIL.format('user = "us@example.com", password_file = "/p", sender = "a@b"')).channels_in_use
    assert mail.smtp.sender == "a@b"


@pytest.mark.parametrize("login", ['user = "us", password_file = "/p"', "port = 25"], ids=["login-is-no-address", "no-login"])
def test_mail_that_nobody_writes_is_refused(tmp_path, login):
    with pytest.raises(WrongSettings, match=r"channels\.smtp\.smtp\.sender: must be one address such as"):
        in_file(tmp_path, MAIL.format(login))


def test_the_settings_that_the_page_on_channels_shows_are_understood(tmp_path):
    page = (ROOT / "docs" / "channels.md").read_text()
    settings = in_file(tmp_path, page.split("```toml\n")[1].split("```")[0])
    _, http, mail = settings.channels_in_use
    assert (http.traits.bulk, http.traits.limit.burst, mail.smtp.user) == (100, 20, "hello")
    shown = set(ChannelSettings.model_fields) - {"kind", "smtp"}
    assert all(f"\n{name} = " in page for name in shown)


def test_reading_them_loads_no_client_of_a_broker():
    """Every command reads them; that client alone takes a third as long to load as all of it."""
    loaded = "import sys, ops.settings; sys.exit('aiormq' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], cwd=Path(__file__).parents[2], check=False).returncode == 0
