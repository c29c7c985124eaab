"""A live view of the queue in a terminal: its state, its columns and figures, the screen, keys, the loop."""
