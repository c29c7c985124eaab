"""A Redis 7.0 in this process, as far as the engine uses one: its clock is the test's, and it can be copied.

streams.py          the data of a stream and its groups
stream_commands.py  the commands that begin with X
keyspace.py         keys with their types and times to live
commands.py         all other commands
scripts.py          the real Lua, run by a Lua 5.1 as in Redis
server.py           commands in their order, and reads that wait

test_server.py compares it with a real server, command by command.
"""
