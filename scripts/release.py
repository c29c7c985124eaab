"""Say what a release is: `python scripts/release.py v1.0.0` prints its section of CHANGELOG.md.

The tag must name the version of pyproject.toml, which server.json repeats, and the section must be there
and say something. With `--outputs FILE`, `version` and `final` (whether it is no pre-release) are appended
to that file, as GitHub's jobs hand them on.
"""

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


class NotReadyError(Exception):
    """What is tagged is not what stands here; the message says what to do."""


def version(root: Path | None = None) -> str:
    """The version, which stands in pyproject.toml and is repeated in server.json."""
    root = root or ROOT
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    server = json.loads((root / "server.json").read_text("utf-8"))
    found: str = project["version"]
    repeated = {server["version"], *(package["version"] for package in server["packages"])}
    if repeated != {found}:
        raise NotReadyError(f"pyproject.toml has version {found}, server.json {', '.join(sorted(repeated))}.")
    return found


def check_tag(tag: str, version: str) -> None:
    """Raise unless the tag names the version."""
    if tag != f"v{version}":
        raise NotReadyError(
            f"The tag is {tag}, but pyproject.toml has version {version}: its tag is v{version}."
        )


def section(changelog: str, version: str) -> str:
    """What the changelog says of a version (or of `Unreleased`), without its heading."""
    parts = re.split(r"^## \[([^\]]+)\].*\n", changelog, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    if version not in sections:
        raise NotReadyError(f"CHANGELOG.md has no section [{version}], only {', '.join(sections)}.")
    # Links by reference stand at the end of the file; they are no news of the last section.
    said = re.sub(r"^\[[^\]]+\]: .*\n?", "", sections[version], flags=re.MULTILINE).strip()
    if not said:
        raise NotReadyError(f"CHANGELOG.md says nothing of {version}.")
    return f"{said}\n"


def is_final(version: str) -> bool:
    """Whether it is a release for everybody: 1.2.3, not 1.2.3rc1 or 1.2.3.dev0."""
    return re.fullmatch(r"\d+(\.\d+)*(\.post\d+)?", version) is not None


def main(arguments: list[str] | None = None) -> int:
    """Print the notes of the release, or say on stderr what is not ready."""
    parser = argparse.ArgumentParser(description="the notes of the release that a tag names")
    parser.add_argument("tag")
    parser.add_argument("--outputs", type=Path, help="a file to which version and final are appended")
    given = parser.parse_args(arguments)
    try:
        released = version()
        check_tag(given.tag, released)
        notes = section((ROOT / "CHANGELOG.md").read_text("utf-8"), released)
    except NotReadyError as reason:
        sys.stderr.write(f"{reason}\n")
        return 1
    if given.outputs:
        with given.outputs.open("a", encoding="utf-8") as outputs:
            outputs.write(f"version={released}\nfinal={str(is_final(released)).lower()}\n")
    sys.stdout.write(notes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
