"""Where `abe-redis` and `python -m abe_redis` begin: what Ctrl-C does comes first, and imports come later."""

import sys

from abe_redis.runtime.early_end import at_interrupt, at_sigterm


def main() -> None:
    """Run the command line."""
    at_sigterm(sys.argv[1:])
    at_interrupt()
    from abe_redis.cli import main as run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
