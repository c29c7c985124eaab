"""One program per contestant: `publisher` and `consumer` as its users would write them, and no more.

Each runs in an environment of its own, so it imports its library, the standard library and `benchmarks.side`.
To add one: a file here, and an entry in `contestants.py`.
"""
