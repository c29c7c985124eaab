"""The keys of groups: scripts that find them by themselves find those that they are given elsewhere."""

import pytest
from redis.asyncio import Redis

from abe_redis.streams import names
from abe_redis.streams.scripts import LUA, Script
from tests.unit.streams.test_names import GROUPS

BESIDE = Script(
    (LUA / "shared" / "beside.lua").read_text("utf-8")
    + """
local found = {records_beside(KEYS[2])}
for i = 2, #ARGV do found[i] = beside(KEYS[1], ARGV[i], ARGV[1]) end
return found
"""
)


@pytest.mark.parametrize(("stream", "group"), GROUPS)
async def test_a_script_finds_the_keys_of_a_group(commands: Redis, stream: str, group: str) -> None:
    kinds = {
        "pending": names.pending,
        "due": names.due,
        "reasons": names.reasons,
        "leases": names.leases,
        "held": names.held,
    }
    keys = [names.records(stream), names.due(stream, group)]
    found = await BESIDE(commands, keys, [group, *kinds])
    expected = [names.records(stream), *(kind(stream, group) for kind in kinds.values())]
    assert [key.decode() for key in found] == expected
