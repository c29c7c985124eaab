"""Break everything at random, under load, and count: `python -m tests.chaos --help`, or `make chaos`."""
