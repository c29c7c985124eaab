"""Tables in a page of the docs, between two marks, and what server they are about."""

import subprocess
from pathlib import Path


def write_between(page: Path, begin: str, text: str, end: str) -> None:
    """Put a text between the marks of a page, in place of what is there."""
    before, _, rest = page.read_text("utf-8").partition(begin)
    page.write_text(f"{before}{begin}{text}\n{end}{rest.partition(end)[2]}", "utf-8")


def version_of(binary: Path) -> str:
    """What a server says of its version."""
    said = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    return " ".join(said.split()[:3])
