"""The command line, one file per family of commands.

Exit codes: 0 done, also when the answer is empty; 1 it failed, or something that was named is not there (the
reason is on stderr); 2 the command line or a setting is wrong. docs/command-line.md has the whole table.
"""

import errno
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from abe_redis.errors import (
    AbeRedisError,
    InvalidArgumentError,
    InvalidNameError,
    RequestError,
    SettingsError,
)
from abe_redis.runtime.collector import idle_during_imports
from abe_redis.runtime.early_end import at_interrupt, at_sigterm, begin
from abe_redis.runtime.exception_groups import distinct, equal_failures_as_one

if TYPE_CHECKING:
    import typer


def main() -> None:
    """Run the command line. An expected failure is a sentence on stderr, not a traceback."""
    at_sigterm(sys.argv[1:])
    at_interrupt()
    with idle_during_imports():
        # Importing a module adds its commands to the app.
        from abe_redis.cli import (  # noqa: F401, PLC0415
            audit,
            count,
            dashboard,
            dead,
            dead_changes,
            demo,
            doctor,
            erase,
            group,
            listen,
            mcp,
            mcp_install,
            publish,
            read,
            settle,
            stats,
            worker,
        )
        from abe_redis.cli.app import app, in_order, with_stream_option  # noqa: PLC0415
        from abe_redis.cli.encoding import never_fail  # noqa: PLC0415
        from abe_redis.cli.top import command  # noqa: F401, PLC0415

    in_order(app)
    with_stream_option(app)
    never_fail()
    begin()
    try:
        with equal_failures_as_one():
            _run(app)
    except KeyboardInterrupt:  # while typer builds the commands
        from abe_redis.cli.failure import end_interrupted  # noqa: PLC0415

        end_interrupted()
        raise SystemExit(INTERRUPTED) from None
    except AbeRedisError as error:
        _end([error])
    except BaseExceptionGroup as several:  # several tasks failed, most of them for the same reason
        errors = [error for error in distinct(several) if isinstance(error, AbeRedisError)]
        if len(errors) < len(distinct(several)):
            raise
        _end(errors)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        sys.stdout = None  # what is left in its buffer cannot be written either
        _end([AbeRedisError(f"The disk is full, so not everything could be written ({error.strerror}).")])


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended."""

_WRONG = (SettingsError, InvalidNameError, InvalidArgumentError)
"""Errors about a setting or an argument, whatever state the queue is in."""

_OF_A_CALL = (InvalidArgumentError, RequestError)


def _run(app: "typer.Typer") -> None:
    """Run a command. An error about its arguments repeats nothing that could control the terminal."""
    import typer  # noqa: PLC0415

    from abe_redis.cli.failure import end_interrupted, tell  # noqa: PLC0415

    try:
        code = app(standalone_mode=False, prog_name="abe-redis")
    except typer.Abort:
        tell(["Nothing was changed."])
        raise SystemExit(1) from None
    except Exception as wrong:
        if not isinstance(wrong, typer.BadParameter.__mro__[2]):  # whatever is wrong with a command line
            raise
        from abe_redis.cli.usage import in_words  # noqa: PLC0415
        from abe_redis.sanitize.secrets import mask  # noqa: PLC0415

        error: Any = wrong
        tell([mask(in_words(error))])
        raise SystemExit(error.exit_code) from None
    if code == INTERRUPTED:
        end_interrupted()
    raise SystemExit(code if isinstance(code, int) else 0)


def _end(errors: Sequence[AbeRedisError]) -> NoReturn:
    from abe_redis.cli.failure import tell  # noqa: PLC0415
    from abe_redis.cli.usage import with_options  # noqa: PLC0415
    from abe_redis.sanitize.secrets import mask  # noqa: PLC0415

    # A secret may stand in the wrong place.
    tell([mask(with_options(str(one)) if isinstance(one, _OF_A_CALL) else str(one)) for one in errors])
    raise SystemExit(2 if all(isinstance(error, _WRONG) for error in errors) else 1)
