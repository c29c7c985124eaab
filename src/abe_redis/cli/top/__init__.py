"""A live view of the queue in a terminal: view and rates, screen, live and keys."""
