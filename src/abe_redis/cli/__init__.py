"""The command line, one file per family of commands.

Exit codes: 0 done, 1 it failed (the reason is on stderr), 2 the command line or a setting is wrong.
"""

import sys

from abe_redis.errors import AbeRedisError, SettingsError


def main() -> None:
    """Run the command line; a failure we know is a sentence on stderr, not a traceback."""
    # They put their commands on the app.
    from abe_redis.cli import (  # noqa: F401, PLC0415
        dashboard,
        dead,
        demo,
        doctor,
        erase,
        group,
        mcp,
        queue,
        worker,
    )
    from abe_redis.cli.app import app  # noqa: PLC0415
    from abe_redis.cli.top import command  # noqa: F401, PLC0415

    try:
        app()
    except AbeRedisError as error:
        print(f"abe-redis: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2 if isinstance(error, SettingsError) else 1) from None
