"""Bolt apps as the worker's handlers; `abe_redis.bolt` is the public name of this package."""
