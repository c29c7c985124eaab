"""`python scripts/check_lua.py`: luacheck reads the scripts for Redis, each with the pieces it includes.

Where luacheck is missing (Debian: `apt-get install lua-check`), this says so and checks nothing; CI fails.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from abe_redis.streams.scripts import LUA, lines

_OPTIONS = (
    "--std=lua51 --read-globals redis cjson KEYS ARGV --max-line-length 110 --codes --formatter plain".split()  # noqa: SIM905
)
_FINDING = re.compile(r"(?P<script>[^:]+)\.lua:(?P<line>\d+):(?P<column>\d+): (?P<said>.*)")
_UNUSED = "(W211)"


def main() -> int:
    """Say what luacheck finds, and where; 1 if it finds anything."""
    if (luacheck := shutil.which("luacheck")) is None:
        sys.stderr.write(
            "luacheck is not installed, so the Lua scripts were not linted (Debian: lua-check).\n"
        )
        return 1 if os.environ.get("CI") else 0
    scripts = {path.stem: list(lines(path)) for path in sorted(LUA.glob("*.lua"))}
    with tempfile.TemporaryDirectory() as directory:
        for name, script in scripts.items():
            whole = "".join(line.text for line in script)
            Path(directory, f"{name}.lua").write_text(whole, encoding="utf-8")
        run = subprocess.run(  # noqa: S603
            [luacheck, *_OPTIONS, *(f"{name}.lua" for name in scripts)],
            cwd=directory, capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
    if run.returncode and not run.stdout:
        sys.stderr.write(run.stderr)
        return 1
    found: dict[str, set[str]] = defaultdict(set)
    """What is said of which line, and of which scripts that have it."""
    users: dict[str, set[str]] = defaultdict(set)
    """Which scripts have something of a file."""
    for name, script in scripts.items():
        for line in script:
            users[str(line.path)].add(name)
    for finding in map(_FINDING.fullmatch, run.stdout.splitlines()):
        if finding is None:
            continue
        line = scripts[finding["script"]][int(finding["line"]) - 1]
        found[f"{line.path}:{line.number}:{finding['column']}: {finding['said']}"].add(finding["script"])
    # A piece may have more than a script needs, but nothing that none does.
    said = [
        text for text, where in found.items() if _UNUSED not in text or where == users[text.split(":")[0]]
    ]
    said += [
        f"{path}: no script includes it" for path in map(str, LUA.glob("shared/*.lua")) if path not in users
    ]
    sys.stdout.writelines(f"{text}\n" for text in sorted(said))
    if not said:
        sys.stdout.write(f"luacheck: {len(scripts)} scripts, nothing found\n")
    return 1 if said else 0


if __name__ == "__main__":
    raise SystemExit(main())
