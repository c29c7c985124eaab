"""Work by hand of a person or an agent: the only place for rules that commands, tools and buttons share.

Every operation raises an `AbeRedisError` with a sentence for its caller. `audit` and `agent_leases`, which
work below the operations, let a `redis.RedisError` pass.
"""
