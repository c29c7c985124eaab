"""What is broken and when, by a seed."""

import random
import re
from pathlib import Path

FAULTS = {
    "kill a worker": 4,
    "freeze a worker beyond its lease": 3,
    "cut connections": 4,
    "cut answers in the middle": 4,
    "reset connections": 3,
    "restart the server": 2,
    "freeze the server": 2,
    "delete the group": 2,
    "delete a consumer": 2,
    "delete a drained stream": 4,
    "fork a worker": 3,
    "set the server's clock": 3,
}
"""Kinds of fault, by how often they come."""

CLOCK_STEPS = (-20, 3, 30, -5)
"""Seconds by which the server's clock is set ahead or back."""

DELETE_IF_DRAINED = """
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
local drained = 0
for _, row in ipairs(groups.err and {} or groups) do
  local of = {}
  for i = 1, #row, 2 do of[row[i]] = row[i + 1] end
  if of["pending"] == 0 and of["lag"] == 0 then drained = drained + 1 end
end
if drained == #ARGV then return redis.call("DEL", KEYS[1]) end
return 0
"""


def is_alive(consumer: str) -> bool:
    """Whether the process of a consumer is there: what a dead one held, nobody has in hand to put back."""
    found = re.fullmatch(r".+-(\d+)-[0-9a-f]+", consumer)
    return found is None or Path("/proc", found[1]).exists()


def schedule(seed: int, seconds: float) -> list[tuple[float, str, int]]:
    """When which fault happens, and to which worker: the same for the same seed."""
    chance = random.Random(seed)
    faults, at = [], 0.5
    while at < seconds:
        (kind,) = chance.choices(list(FAULTS), list(FAULTS.values()))
        faults.append((at, kind, chance.randrange(1000)))
        at += chance.uniform(0.3, 1.2)
    return faults
