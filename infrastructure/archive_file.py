"""How do events lie in an archive: a line of JSON each, compressed with gzip, a manifest with its checksum beside it?"""

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Final, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Raw, Struct, field

from application.retain_months import ArchiveDamaged

LEVEL: Final = 1  # a third of the time of 6, for a tenth more of bytes
PIECE: Final = 1 << 20
_decoded: Final = msgspec.json.Decoder()


class StoredEvent(NamedTuple):
    """A row of a log, as it stands there."""

    position: int
    stream_id: UUID
    version: int
    at: datetime
    topic: str
    state: bytes


class Line(Struct, frozen=True, omit_defaults=True):
    """`state` is what the log has, byte by byte; what is no JSON on one line stands in hexadecimal."""

    position: int
    id: UUID
    version: int
    at: datetime
    name: str
    state: Raw = Raw(b"")
    state_hex: str = ""


class Manifest(Struct, frozen=True, kw_only=True):
    """What lies in a file, and how its bytes are told to be those that were written."""

    month: date
    file: str
    sha256: str  # as `sha256sum` says it
    bytes: int
    events: int
    messages: int
    first_position: int
    last_position: int
    ordered_by: tuple[str, ...] = field(default=("id", "version"))


def write(directory: Path, month: date, last_position: int, events: Iterable[StoredEvent]) -> Manifest:
    """Under another name until all of it is on the disk; the manifest comes last, and a file without one counts for nothing.

    `events` by ID and version. The new names are on the disk only after `settle`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / file_name(month, last_position)
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("wb") as file:
        manifest = _written(file, month, path.name, events)
        _flush(file)
    unfinished.replace(path)
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    unfinished = manifest_of(path).with_name(f"{path.name}.unfinished")
    with unfinished.open("wb") as file:
        file.write(text)
        _flush(file)
    unfinished.replace(manifest_of(path))
    return manifest


def settle(path: Path) -> None:
    """So that the file and its manifest outlive a power cut, whoever wrote them: their bytes, and every name on the way to them.

    Raises ArchiveDamaged.
    """
    for file in (path, manifest_of(path)):
        try:
            _flush_at(file)
        except OSError as error:
            raise ArchiveDamaged(f"{file} can't be read: {error.strerror}") from error
    for directory in path.parents:
        with suppress(PermissionError):  # above what is ours
            _flush_at(directory)


def find(directory: Path, month: date, last_position: int) -> Manifest | None:
    """Of a file that was written to its end. Raises ArchiveDamaged."""
    path = manifest_of(directory / file_name(month, last_position))
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except ValueError as error:  # of msgspec's, or of a text that is no UTF-8
        raise ArchiveDamaged(f"{path} is no manifest") from error


def check(path: Path, expected_sha256: str) -> None:
    """Read the whole file. Raises ArchiveDamaged."""
    found = sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                found.update(piece)
    except OSError as error:
        raise ArchiveDamaged(f"{path} can't be read: {error.strerror}") from error
    if found.hexdigest() != expected_sha256:
        raise ArchiveDamaged(f"{path} is damaged: its SHA-256 is {found.hexdigest()} and not {expected_sha256}")


def read(path: Path) -> Iterator[StoredEvent]:
    """By ID and version, a line at a time. Raises ArchiveDamaged; `check` tells of damage before anything is read."""
    decode = msgspec.json.Decoder(Line).decode
    try:
        with gzip.open(path) as lines:
            for line in lines:
                yield _event(decode(line))
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ArchiveDamaged(f"{path} can't be read to its end: {type(error).__name__}") from error


def file_name(month: date, last_position: int) -> str:
    """A month that was restored, went on and is archived again has another last position, and so a file of its own."""
    return f"messages_{month:%Y_%m}-{last_position}.jsonl.gz"


def manifest_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".jsonl.gz") + ".json")


class _Hashing:
    """A file that knows the checksum of what was written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.sha256, self.size = file, sha256(), 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def _written(file: IO[bytes], month: date, name: str, events: Iterable[StoredEvent]) -> Manifest:
    encode, hashing = msgspec.json.Encoder().encode, _Hashing(file)
    count = streams = 0
    positions: tuple[int, int] | None = None
    with gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=hashing, mtime=0) as lines:
        for event in events:
            lines.write(encode(_line(event)) + b"\n")
            count += 1
            streams += event.version == 1
            low, high = positions or (event.position, event.position)
            positions = min(low, event.position), max(high, event.position)
    first, last = positions or (0, 0)
    return Manifest(
        month=month,
        file=name,
        sha256=hashing.sha256.hexdigest(),
        bytes=hashing.size,
        events=count,
        messages=streams,
        first_position=first,
        last_position=last,
    )


def _line(event: StoredEvent) -> Line:
    position, stream_id, version, at, topic, state = event
    if _fits(state):
        return Line(position, stream_id, version, at, topic, Raw(state))
    return Line(position, stream_id, version, at, topic, state_hex=state.hex())


def _fits(state: bytes) -> bool:
    """Whether the bytes come back from a line of JSON as they were."""
    if not (state.startswith(b"{") and state.endswith(b"}")) or b"\n" in state:
        return False
    try:
        _decoded.decode(state)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


def _event(line: Line) -> StoredEvent:
    state = bytes(line.state) or bytes.fromhex(line.state_hex)
    return StoredEvent(line.position, line.id, line.version, line.at, line.name, state)


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _flush_at(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
