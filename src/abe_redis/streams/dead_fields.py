"""Fields of a dead letter, besides those of the buried entry."""

REASON, GROUP, FIRST_ID = b"abe:reason", b"abe:group", b"abe:id"
CONSUMER, DELIVERIES = b"abe:consumer", b"abe:deliveries"
HANDLER, TRACE = b"abe:handler", b"abe:trace"
