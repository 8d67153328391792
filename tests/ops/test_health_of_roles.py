"""Does a role without an API tell how it is, where it was told to?"""

import asyncio

import aiohttp

from api.app import HEALTH
from infrastructure.in_process_bus import InProcessBus
from ops.installation import Installation
from ops.roles import _addresses
from ops.run_api import run_api
from ops.running import Stop
from ops.serving import bound
from ops.settings import Address, read_settings
from ops.wiring import build

MASTER_KEY = bytes(32)
NOWHERE = "postgresql://127.0.0.1:1/none?connect_timeout=1"


async def test_a_role_whose_database_is_away_lives_and_is_not_ready() -> None:
    parts = build(read_settings({}), Installation(NOWHERE, MASTER_KEY), name="test")
    assert isinstance(parts.bus, InProcessBus)
    listener, stop = bound(Address(host="127.0.0.1", port=0), "NINEBELL_OPS_LISTEN"), Stop()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    serving = asyncio.create_task(run_api(parts, listener, stop, HEALTH))
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{address}/healthz") as healthy:
            assert healthy.status == 200
        async with session.get(f"{address}/v1/users") as elsewhere:
            assert elsewhere.status == 401
        async with session.get(f"{address}/readyz") as ready:
            assert (ready.status, (await ready.json())["red"]) == (503, ["database"])
    stop.set()
    await serving
    parts.database.close()


def test_a_sink_by_itself_has_no_database_to_tell_of_and_leaves_the_address_to_others() -> None:
    settings = read_settings({"NINEBELL_OPS_LISTEN": "127.0.0.1:9101"})
    assert list(_addresses(("sink",), settings)) == ["sink"]
    assert list(_addresses(("worker", "sink"), settings)) == ["sink", "ops"]
    assert list(_addresses(("worker",), settings)) == ["ops"]
