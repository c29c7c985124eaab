"""The command line, one file per family of commands."""

from abe_redis.cli.app import main

__all__ = ["main"]
