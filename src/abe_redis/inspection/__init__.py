"""The state of the streams: the only place that judges their health.

A function that asks Redis raises `redis.RedisError` when the server refuses or cannot be reached.
"""
