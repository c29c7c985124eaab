"""From Redis to the caller of `consume()`: the only place that leases, delivers and settles events.

Every method that sends commands raises `redis.RedisError` when the server refuses one or cannot be reached.
Its caller is the consumer's loop (see `group_consumer`), which waits and tries again.
"""
