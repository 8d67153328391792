"""Where is this installation's database, and under which master key are its users sealed?"""

import base64
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES
from pathlib import Path
from threading import Event, Thread
from typing import Final

import structlog
from msgspec import Struct

from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.keyring import WrongMasterKey, is_claimed
from infrastructure.postgres_cluster import PostgresNotStarted
from ops.settings import MASTER_KEY_BYTES, Settings, WrongSettings

LOOK_SECONDS: Final = 1.0
PUT_BACK: Final = "put back the one there was, or set NINEBELL_MASTER_KEY to it, in base64"

log = structlog.get_logger()


class Installation(Struct, frozen=True):
    """A database, and the key to what is sealed in it. Not to be printed."""

    dsn: str
    master_key: bytes


@contextmanager
def opened(settings: Settings, *, owner: bool = False) -> Iterator[Installation]:
    """The database named in the settings, else the data directory's own, started if it is down and stopped by its last user.

    `owner`: as `up`, of which there is one a data directory.

    Raises WrongSettings, WrongMasterKey, DataDirectoryBusy, PostgresNotStarted.
    """
    if settings.database_url and settings.master_key:
        master_key = base64.b64decode(settings.master_key.get_secret_value())
        yield Installation(settings.database_url.get_secret_value(), master_key)
        return
    _see_to(settings.data_dir)
    with EmbeddedPostgres.start(settings.data_dir, guest=not owner) as postgres, _kept_alive(postgres):
        yield Installation(postgres.dsn, _embedded_master_key(settings, postgres.dsn))


@contextmanager
def _kept_alive(postgres: EmbeddedPostgres) -> Iterator[None]:
    """A server that dies (killed for its memory, say) is started again, as whoever runs one elsewhere has it supervised."""
    stopping = Event()

    def watch() -> None:
        while not stopping.wait(LOOK_SECONDS):
            try:
                if postgres.revive():
                    log.warning("postgres_started_again", pid=postgres.pid)
            except PostgresNotStarted as error:
                log.error("postgres_does_not_start", said=str(error))

    watching = Thread(target=watch, name="postgres watch", daemon=True)
    watching.start()
    try:
        yield
    finally:
        stopping.set()
        watching.join()


def _see_to(data_dir: Path) -> None:
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
        if not os.access(data_dir, os.W_OK | os.X_OK):
            raise PermissionError(EACCES, "nothing can be written there")
    except OSError as error:
        raise WrongSettings(f"NINEBELL_DATA_DIR={data_dir}: {error.strerror}; set NINEBELL_DATA_DIR to another") from error


def _embedded_master_key(settings: Settings, dsn: str) -> bytes:
    """The one given, else the data directory's own, made at the first start and readable by its owner alone.

    Raises WrongMasterKey for one that is lost or cut short: whoever has a copy finds its place empty.
    """
    if settings.master_key:
        return base64.b64decode(settings.master_key.get_secret_value())
    file = settings.data_dir / "master.key"
    if not file.exists():
        if is_claimed(dsn) and not file.exists():  # looked for again: whoever claims has written it before
            raise WrongMasterKey(f"{file} is not there, and this database began with a master key: {PUT_BACK}")
        _write_once(file, secrets.token_bytes(MASTER_KEY_BYTES))
    master_key = file.read_bytes()
    if len(master_key) != MASTER_KEY_BYTES:
        raise WrongMasterKey(f"{file} must have {MASTER_KEY_BYTES} bytes, not {len(master_key)}: {PUT_BACK}")
    return master_key


def _write_once(file: Path, content: bytes) -> None:
    """Linked into place whole: of two first starts at once, both read the same key."""
    draft = file.with_suffix(f".{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    try:
        file.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
