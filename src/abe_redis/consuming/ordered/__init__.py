"""Order per conversation: its events are handled one at a time, in the order of their stream.

consumer.py   the member of a group that does so
ownership.py  which streams are its own: each has one owner at a time, and the members share them
alarm.py      what wakes it by the clock
queues.py     what waits, by conversation, and which may be handed out
"""
