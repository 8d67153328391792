"""Are worker processes started again, ended, killed and given up as they should be?"""

import asyncio
import os
import sys
from contextlib import asynccontextmanager

import psutil
import pytest
from prometheus_client import REGISTRY

from ops import crew as crews
from ops.autoscale import bounds_of
from ops.crew import Crew
from ops.lifeline import lifeline
from ops.running import Stop
from ops.settings import WrongSettings

LOOK_SECONDS = 0.02
GOOD = "import time; time.sleep(600)"
DEAF = "import os, signal, time; signal.signal(15, signal.SIG_IGN); open(os.environ['READY'], 'w').close(); time.sleep(600)"
REFUSES = "import sys; sys.exit(2)"
BOUND_TO_STDIN = "from ops.lifeline import end_with_stdin; end_with_stdin(); import time; time.sleep(600)"


@asynccontextmanager
async def crew_of(program, most=3, stop=None):
    """Ended in good order, whatever the test does."""
    with lifeline() as end:
        async with asyncio.TaskGroup() as tasks:
            crew = Crew([sys.executable, "-c", program], end, most, tasks, stop or Stop())
            try:
                yield crew
            finally:
                crew.resize(0)


@pytest.fixture
def deaf_is_ready(tmp_path, monkeypatch):
    """Where a DEAF process shows that it heeds nothing any more."""
    monkeypatch.setenv("READY", str(tmp_path / "ready"))
    return (tmp_path / "ready").exists


def processes():
    """The crew's, among the children of this process."""
    found = []
    for child in psutil.Process().children():
        try:
            if child.cmdline()[1:2] == ["-c"] and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


async def until(found):
    while not (value := found()):  # noqa: ASYNC110  other processes set no event of ours
        await asyncio.sleep(LOOK_SECONDS)
    return value


def restarts():
    return REGISTRY.get_sample_value("ninebell_workers_restarted")


async def until_count(count):
    return await until(lambda: found if len(found := processes()) == count else None)


async def test_a_crew_grows_and_shrinks_and_leaves_nobody():
    async with crew_of(GOOD) as crew:
        crew.resize(2)
        await until_count(2)
        crew.resize(1)
        await until_count(1)
        await until(lambda: crew.resize(3) or len(processes()) == 3)  # a place is free once the end of who held it has been seen
    assert processes() == []


async def test_a_killed_worker_is_made_good():
    before = restarts()
    async with crew_of(GOOD) as crew:
        crew.resize(1)
        [worker] = await until_count(1)
        worker.kill()
        await until(lambda: [found.pid for found in processes()] not in ([], [worker.pid]))
    assert restarts() == before + 1


async def test_a_worker_that_does_not_heed_is_killed(monkeypatch, deaf_is_ready):
    monkeypatch.setattr(crews, "END_SECONDS", 0.1)
    async with crew_of(DEAF) as crew:
        crew.resize(1)
        await until(deaf_is_ready)
    assert processes() == []


async def test_workers_that_refuse_to_start_are_not_started_again():
    before, stop = restarts(), Stop()
    async with crew_of(REFUSES, stop=stop) as crew:
        crew.resize(2)
        await stop.loop.wait()
    assert crew.refused
    assert restarts() == before


async def test_whoever_still_has_to_leave_takes_a_place_up(monkeypatch, deaf_is_ready):
    monkeypatch.setattr(crews, "END_SECONDS", 0.5)
    async with crew_of(DEAF, most=1) as crew:
        crew.resize(1)
        await until(deaf_is_ready)
        crew.resize(0)
        crew.resize(1)
        await until(lambda: processes() == [])
        await until(lambda: crew.resize(1) or len(processes()) == 1)  # as above


async def test_a_program_that_cannot_be_started_is_tried_again():
    stop = Stop()
    before = restarts()
    with lifeline() as end:
        async with asyncio.TaskGroup() as tasks:
            crew = Crew(["/nowhere/ninebell"], end, 1, tasks, stop)
            crew.resize(1)
            await until(lambda: restarts() > before)
            crew.resize(0)
    assert not crew.refused


async def test_a_process_ends_when_its_lifeline_is_cut():
    read, write = os.pipe()
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", BOUND_TO_STDIN, stdin=read)
    os.close(read)
    os.close(write)
    assert await worker.wait() == -15


@pytest.mark.parametrize("said", ["", "3", "a:b", "0:3", "5:4", "1:2:3", "1:", "-1:4", "1:1001", "worker"])
def test_what_is_no_range_of_workers_is_refused(said):
    with pytest.raises(WrongSettings, match="MIN:MAX"):
        bounds_of(said)


def test_a_range_of_workers():
    assert (bounds_of("2:20").least, bounds_of("2:20").most, bounds_of("3:3").most) == (2, 20, 3)
