"""The command line, one file per family of commands.

Exit codes: 0 done, 1 it failed (the reason is on stderr), 2 the command line or a setting is wrong.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

from abe_redis.errors import AbeRedisError, InvalidArgumentError, InvalidNameError, SettingsError
from abe_redis.runtime.groups import distinct


def main() -> None:
    """Run the command line. An expected failure is a sentence on stderr, not a traceback."""
    # Importing a module adds its commands to the app.
    from abe_redis.cli import (  # noqa: F401, PLC0415
        dashboard,
        dead,
        demo,
        doctor,
        erase,
        group,
        listen,
        mcp,
        queue,
        worker,
    )
    from abe_redis.cli.app import app  # noqa: PLC0415
    from abe_redis.cli.text import never_fail  # noqa: PLC0415
    from abe_redis.cli.top import command  # noqa: F401, PLC0415

    never_fail()
    try:
        app()
    except AbeRedisError as error:
        _end([error])
    except BaseExceptionGroup as several:  # several tasks failed, most of them for the same reason
        errors = [error for error in distinct(several) if isinstance(error, AbeRedisError)]
        if len(errors) < len(distinct(several)):
            raise
        _end(errors)


_WRONG = (SettingsError, InvalidNameError, InvalidArgumentError)
"""Errors about a setting or an argument, whatever state the queue is in."""


def _end(errors: Sequence[AbeRedisError]) -> NoReturn:
    for error in errors:
        print(f"abe-redis: {error}", file=sys.stderr)  # noqa: T201
    raise SystemExit(2 if all(isinstance(error, _WRONG) for error in errors) else 1)
