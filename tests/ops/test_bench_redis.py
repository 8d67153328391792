"""Is a Redis of a benchmark's own there when asked, with a file that is flushed each second, and gone afterwards?"""

from __future__ import annotations

import shutil
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
import pytest

from ops.bench.redis import NAME, redis, redis_version

if TYPE_CHECKING:
    from pathlib import Path

PROBE = b"CONFIG GET appendfsync\r\nCONFIG GET appendonly\r\n"


def test_where_none_is_installed_there_is_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert redis_version() is None


@pytest.mark.skipif(shutil.which(NAME) is None, reason="Redis is compared with where it is installed")
def test_it_answers_keeps_what_it_is_told_and_ends(tmp_path: Path) -> None:
    assert (redis_version() or "")[0].isdigit()
    with redis(tmp_path / "redis") as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port), timeout=5) as client, client.makefile("rb") as said:
            client.sendall(PROBE)
            answers = [said.readline().strip() for _ in range(10)]
        assert {b"everysec", b"yes"} <= set(answers)
    assert not psutil.pid_exists(server.pid)
