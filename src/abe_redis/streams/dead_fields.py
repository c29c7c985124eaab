"""Fields of a dead letter, besides those of the buried entry."""

REASON, GROUP = b"abe:reason", b"abe:group"
FIRST_ID, ENTRY_ID = b"abe:id", b"abe:entry"
"""The id that the event had when it was published; and the one that it had last, if it was redriven since."""
CONSUMER, DELIVERIES = b"abe:consumer", b"abe:deliveries"
HANDLER, TRACE = b"abe:handler", b"abe:trace"
