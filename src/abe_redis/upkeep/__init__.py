"""What a person does to the queue now and then: dead letters, groups, erasure; one file each.

The rules stand here; `abe_redis.streams` has the commands, and a door such as the command line the words.
"""

from abe_redis.upkeep.dead_letters import Choice, DeadLetters
from abe_redis.upkeep.erasure import erase
from abe_redis.upkeep.groups import Groups

__all__ = ["Choice", "DeadLetters", "Groups", "erase"]
