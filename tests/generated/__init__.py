"""Calls and events made at random. A sample runs in the suite, all of it with `make generated`."""
