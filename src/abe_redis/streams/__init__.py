"""Every Redis command that touches a stream is sent from here, one file per family.

What all functions share stands here and not in each docstring: `redis` is the client that sends the
commands, `stream` and `group` are names, and a `redis.RedisError` says that the server refused a command or
could not be reached.

redis-py types a reply as the union of all that any protocol and option may answer; where that is
too wide to help, a reply is `Any` here, and the functions' own types say what it is.
"""
