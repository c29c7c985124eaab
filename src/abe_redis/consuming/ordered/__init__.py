"""Order per conversation: its events are handled one at a time, in the order of their stream.

consumer.py             the consumer of a group that does so
ownership.py            which streams are its own: each has one owner, and the consumers share them equally
owned_stream.py         the states of such a stream: claimed, ready, being revoked
takeover.py             the entries that a previous owner left unfinished
conversation.py         one conversation: what waits, and what is being handled
conversation_queues.py  all conversations, and the one whose turn it is
timer.py                wakes the consumer at a given time
"""
