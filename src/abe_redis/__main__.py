"""`python -m abe_redis` is `abe-redis`."""

from abe_redis.cli import main

if __name__ == "__main__":
    main()
