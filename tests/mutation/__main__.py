"""`python -m tests.mutation [FILE …]`: try all mutants of these files, or of the engine's."""

import argparse
import sys
from pathlib import Path

from tests.mutation import run, survivors
from tests.mutation.run import Project

ROOT = Path(__file__).parents[2]
PROJECT = Project(
    ROOT,
    package="src/abe_redis",
    tests=(
        "tests/unit",
        "tests/contract",
        *(
            f"tests/integration/{name}"
            for name in (
                "streams", "consuming", "publishing/test_publish.py", "publishing/test_partitioner.py",
                "worker", "operations", "runtime", "cli/test_repair_commands.py",
            )
        ),
    ),
)  # fmt: skip
ENGINE = (
    *(
        f"src/abe_redis/{name}.py"
        for name in (
            "consuming/consumer",
            "worker/event_worker",
            "consuming/group_consumer",
            "consuming/lifecycle",
            "consuming/held",
            "consuming/in_flight",
            "consuming/leases",
            "consuming/settling",
            "consuming/duplicates",
            "consuming/unconfirmed",
            "consuming/ack_batcher",
            "consuming/scheduler",
            "consuming/prefetch",
            "consuming/ordered/consumer",
            "consuming/ordered/ownership",
            "consuming/ordered/owned_stream",
            "consuming/ordered/takeover",
            "consuming/ordered/conversation_queues",
            "worker/retry",
            "inspection/stats",
            "inspection/health",
            "inspection/situation",
            "operations/audit",
        )
    ),
    *sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "src/abe_redis/streams").rglob("*")
        if path.suffix in {".py", ".lua"}
    ),
)


def main() -> int:
    """Try them; 1 if one survived that tests/mutation/survivors.md does not explain."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("files", nargs="*", default=ENGINE)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--seconds", type=float, default=60, help="for so long, at most, does a mutant meet tests"
    )
    parser.add_argument("--only", default="", help="mutants whose line in the ledger holds this")
    parser.add_argument("--survivors", action="store_true", help="try again what survived")
    parser.add_argument("--survey", action="store_true", help="find out again which test runs what")
    arguments = parser.parse_args()
    outcome = run.run(PROJECT, arguments)
    left = survivors.unexplained(ROOT, outcome)
    for mutant in left:
        sys.stdout.write(f"{mutant.path}:{mutant.line} {mutant.owner}: {mutant.change}\n")
    sys.stdout.write(f"{len(left)} survivors that tests/mutation/survivors.md does not explain\n")
    return 1 if left else 0


if __name__ == "__main__":
    raise SystemExit(main())
