"""Do a log's rows come back from a file byte by byte, and is every damage to it noticed?"""

import gzip
import os
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import pytest

from application.retain_months import ArchiveDamaged
from infrastructure.archive_file import Manifest, StoredEvent, check, find, manifest_of, read, settle, write

MAY = date(2027, 5, 1)
AT = datetime(2027, 5, 15, 9, 0, 0, 123456, tzinfo=UTC)
STATES = {
    "what a log has": b'{"event":{"type":"message.sent.v1","timezone":"Am\xc3\xa9rica"},"who":"worker"}',
    "spaces": b'{"event" : { } }',
    "a line's end": b'{"event":{}}\n',
    "a line's end within": b'{"event":\n{}}',
    "no JSON": b"{half of it",
    "no text": b'\xff\x00{"',
    "no text in JSON": b'{"event":"\xff"}',
    "nothing": b"",
    "a number": b"7",
}


def events(*states: bytes) -> list[StoredEvent]:
    return [
        StoredEvent(position, UUID(int=position), 1, AT, "message.sent.v1", state) for position, state in enumerate(states, 1)
    ]


def written(directory: Path, *states: bytes) -> tuple[Path, Manifest]:
    manifest = write(directory, MAY, 9, events(*states))
    return directory / manifest.file, manifest


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_bytes_come_back_as_they_were(tmp_path: Path, state: bytes) -> None:
    path, manifest = written(tmp_path, state)
    assert list(read(path)) == events(state)
    assert find(tmp_path, MAY, 9) == manifest
    assert gzip.decompress(path.read_bytes()).count(b"\n") == 1


def test_an_empty_month_has_a_file_as_well(tmp_path: Path) -> None:
    path, manifest = written(tmp_path)
    assert (list(read(path)), manifest.events, manifest.first_position, manifest.last_position) == ([], 0, 0, 0)


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    assert written(tmp_path / "one", *STATES.values())[1] == written(tmp_path / "other", *STATES.values())[1]


@pytest.mark.parametrize("how", ["cut", "a bit", "no block", "gone", "more"])
def test_damage_is_noticed(tmp_path: Path, how: str) -> None:
    path, manifest = written(tmp_path, *STATES.values())
    content = bytearray(path.read_bytes())
    check(path, manifest.sha256)
    if how == "gone":
        path.unlink()
    else:
        content[-20] ^= how == "a bit"
        content[10] |= 0b110 * (how == "no block")  # RFC 1951, 3.2.3: of a kind that there is none of
        path.write_bytes(content[:-9] if how == "cut" else content + b"x" * (how == "more"))
    with pytest.raises(ArchiveDamaged):
        check(path, manifest.sha256)
    with pytest.raises(ArchiveDamaged):
        list(read(path))


@pytest.mark.parametrize("damaged", [b"{}", b'{"file":"\xff"}'])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, damaged: bytes) -> None:
    path, _ = written(tmp_path)
    manifest_of(path).write_bytes(damaged)
    with pytest.raises(ArchiveDamaged, match="is no manifest"):
        find(tmp_path, MAY, 9)
    assert find(tmp_path, MAY, 10) is None


def test_every_name_on_the_way_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = written(tmp_path / "new" / "archive", *STATES.values())
    flushed: set[int] = set()
    really = os.fsync

    def fsync(file: int) -> None:
        flushed.add(os.fstat(file).st_ino)
        really(file)

    monkeypatch.setattr("os.fsync", fsync)
    settle(path)
    assert flushed >= {each.stat().st_ino for each in (path, manifest_of(path), path.parent, tmp_path / "new", tmp_path)}
    path.unlink()
    with pytest.raises(ArchiveDamaged, match="can't be read"):
        settle(path)
