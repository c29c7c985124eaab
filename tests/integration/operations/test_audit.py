"""What agents have changed."""

import pytest
from redis.asyncio import Redis

from abe_redis.operations import audit, recording
from abe_redis.streams import names
from tests.integration.on_streams import now_ms


@pytest.mark.promise("`abe-redis audit` shows it.")
async def test_the_audit_lists_changes_newest_first(commands: Redis) -> None:
    for number in range(3):
        await recording.record(commands, "agent", "acked", {"id": f"{number}-0", "text": "ü"})
    changes = await audit.last(commands, 2)
    assert [(one.who, one.what, one.facts) for one in changes] == [
        ("agent", "acked", {"id": f"{number}-0", "text": "ü"}) for number in (2, 1)
    ]
    assert abs(changes[0].at.timestamp() * 1000 - await now_ms(commands)) < 60_000


async def test_what_anybody_wrote_there_is_told_as_far_as_it_can_be(commands: Redis) -> None:
    said = {
        b'{"ids": ["1-0"], "count": 2}': {"ids": ["1-0"], "count": 2},
        b'{"ids": [["1-0"]]}': {},
        b'["1-0"]': {},
        b"not JSON": {},
        b"\xff": {},
    }
    for facts in said:
        await commands.xadd(names.AUDIT, {"who": b"\xff", "facts": facts})
    found = await audit.last(commands, 9)
    assert [one.facts for one in found] == list(said.values())[::-1]
    assert {(one.who, one.what) for one in found} == {("\ufffd", "")}


async def test_only_the_last_ten_thousand_changes_are_kept(commands: Redis) -> None:
    many = "for i = 1, 10500 do redis.call('XADD', KEYS[1], '*', 'who', i) end"
    await commands.eval(many, 1, names.AUDIT)
    await recording.record(commands, "agent", "acked", {})
    assert 10_000 <= await commands.xlen(names.AUDIT) < 10_200, "a node of a stream has a hundred entries"
